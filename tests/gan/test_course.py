"""What is noted while a GAN is trained, and what is shown of it."""

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.tolerances import assert_identity

from theodolite import families
from theodolite.gan.config import GANConfig
from theodolite.gan.course import COMPARED, _interval, _modes, course, note
from theodolite.gan.dataset import load
from theodolite.gan.examination import Modes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    sizes = {"steps": 60, "width": 8, "depth": 0, "device": "cpu"}
    return {
        name: families.train("gan", folder / name, data=name, objective=objective, **sizes)
        for name, objective in (("ring8", "relativistic"), ("digits", "minimax"))
    }


def shown(run):
    config = run.settings(GANConfig)
    data = load(config)
    counted = data.counted
    modes = Modes(counted, counted.weights, counted.weights > 0, np.ones(1), 100) if counted else None
    return {exhibit.kind + exhibit.title[:12]: exhibit for exhibit in course(data, modes, config.objective, run)}


def test_real_samples_cover_the_reals_as_theory_says_and_those_of_one_place_do_not():
    data = load(GANConfig(data="ring8"))
    told = note(data, data.train[:2000], tau=0.1)
    assert told["coverage"] > 0.98
    assert told["modes"] == 8
    assert told["high_quality"] > 0.97
    assert note(data, np.zeros((2000, 2)), tau=0.1) == {"coverage": 0.0, "modes": 0.0, "high_quality": 0.0}
    assert set(note(load(GANConfig(data="digits")), np.zeros((100, 8, 8)), tau=0.1)) == {"coverage"}


def test_the_interval_is_that_of_an_exact_binomial_test():
    shares = np.array([0.0, 0.3, 0.998, 1.0])
    low, high = _interval(shares, COMPARED)
    for share, below, above in zip(shares, low, high, strict=True):
        exact = binomtest(round(share * COMPARED), COMPARED).proportion_ci(0.95, method="exact")
        assert_identity(below, exact.low)
        assert_identity(above, exact.high)


def test_a_run_is_noted_thirty_times_and_at_its_end(runs):
    rows = [row for row in runs["ring8"].metrics() if "coverage" in row]
    assert len(rows) == 30
    assert rows[-1]["step"] == 59
    kept = sorted((runs["ring8"].path / "course").glob("*.npy"))
    assert [path.stem for path in kept[:2] + kept[-1:]] == ["000000002", "000000004", "000000060"]
    assert np.load(kept[-1]).shape == (2000, 2)


def test_points_are_shown_as_planes_and_images_on_sheets(runs):
    points, images = shown(runs["ring8"]), shown(runs["digits"])
    assert [name[:5] for name in points] == ["chart", "chart", "chart", "gridT"]
    assert [name[:5] for name in images] == ["chart", "chart", "galle"]
    sheets = np.load(runs["digits"].exhibits / "course.npy")
    assert sheets.shape == (6, 26, 26)
    assert sheets.dtype == np.uint8
    last = np.load(max((runs["digits"].path / "course").glob("*.npy")))
    for number, image in enumerate(last):
        row, column = (9 * place for place in divmod(number, 3))
        assert_identity(sheets[-1, row : row + 8, column : column + 8], np.round(255 * image))
    assert set(sheets[:, 8].ravel()) == set(sheets[:, :, 17].ravel()) == {128}


def test_the_value_of_the_game_is_what_the_losses_say(runs):
    for name, even in (("ring8", -np.log(2)), ("digits", -np.log(4))):
        rows = runs[name].metrics()
        chart = next(iter(shown(runs[name]).values()))
        value, cost, level = (np.array(layer.columns["value"]) for layer in chart.layers)
        assert 30 <= len(value) == len(rows) <= 60
        assert_identity(value, np.array([row["penalty"] - row["loss"] for row in rows]))
        assert_identity(cost, np.array([row["generator_loss"] for row in rows]))
        assert_identity(level, np.full(len(rows), even))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([5, 8, 8], "8 of 8 modes were made from step 200 to the end"),
        ([8, 6, 8], "8 of 8 modes were made from step 300 to the end"),
        ([5, 8, 6], "8 of 8 modes were made by step 200, 6 are left when training ends"),
        ([3, 3, 3], "3 of 8 modes were made from step 100 to the end"),
    ],
)
def test_modes_that_were_lost_on_the_way_are_not_said_to_have_been_there(made, said):
    counted = load(GANConfig(data="ring8")).counted
    noted = [{"step": 100.0 * n - 1, "modes": float(m), "high_quality": 0.5} for n, m in enumerate(made, start=1)]
    assert _modes(noted, Modes(counted, counted.weights, counted.weights > 0, np.ones(1), 100)).title == said


def test_a_run_that_was_never_noted_shows_nothing(runs, tmp_path):
    begun = families.train("gan", tmp_path / "begun", data="ring8", steps=1, width=4, depth=0, device="cpu")
    assert shown(begun) == {}
