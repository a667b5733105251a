"""The real samples: what is withheld, what is held out, units and grains, and files that cannot be used."""

import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.data.mixtures import Mixture
from theodolite.data.stacked import StackedDigits
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Units, high_quality_shares, load, record, recorded_units, reload
from theodolite.gan.plan import plan
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder


def saved(path, array):
    np.save(path, array)
    return GANConfig(data=str(path))


def run_of(path, config):
    return RunFolder.create(path, "gan", config, GANTraining(), plan(config))


@pytest.mark.parametrize("name", ["line", "digits"])
def test_what_is_withheld_is_held_out_but_not_trained_on(name):
    whole, rest = load(GANConfig(data=name)), load(GANConfig(data=name, withhold=2))
    np.testing.assert_array_equal(whole.held_out, rest.held_out)
    assert (rest.held_out_labels == 2).any()
    assert 0 < len(rest.train) < len(whole.train)
    kept = {row.tobytes() for row in rest.train}
    left = [row for row in whole.train if row.tobytes() not in kept]
    assert len(left) == len(whole.train) - len(rest.train)
    if name == "line":
        assert rest.truth is not None
        assert (rest.truth.nearest(np.array(left))[0] == 2).all()


def test_digits_lie_on_their_grain():
    data = load(GANConfig(data="digits"))
    assert data.image_shape == (8, 8)
    np.testing.assert_array_equal(data.units.write(data.units.standardise(data.train)), data.train)
    off = data.units.standardise(data.train + 0.4 / 16)
    np.testing.assert_array_equal(data.units.write(off), data.train)
    assert data.units.write(np.full((1, 64), 99.0)).max() == 1.0


def test_standard_samples_are_centred_with_a_spread_of_one():
    data = load(GANConfig(data="ring8"))
    standard = data.units.standardise(data.train)
    assert_identity(standard.mean(axis=0), np.zeros(2))
    assert_identity(standard.var(axis=0).mean(), 1.0)
    assert_identity(data.units.write(standard), data.train)


def test_a_file_of_whole_numbers_has_a_grain_of_one(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (50, 4, 4), dtype=np.uint8)
    data = load(saved(tmp_path / "images.npy", images))
    # measured on what is trained on: the held-out samples must not shape the generator
    assert (data.units.low, data.units.high, data.units.grain) == (data.train.min(), data.train.max(), 1.0)
    assert data.held_out_labels is None
    assert load(saved(tmp_path / "floats.npy", images / 255)).units.grain == 0


def test_units_come_back_from_the_run_folder(tmp_path):
    config = GANConfig(data="digits")
    run = run_of(tmp_path / "run", config)
    data = load(config)
    record(run, config, data)
    assert recorded_units(run) == data.units
    run.write_json("data.json", {"units": {"shape": [2]}})
    with pytest.raises(DataError, match="does not say the units"):
        recorded_units(run)


def test_other_data_than_those_trained_on_are_refused(tmp_path):
    samples = np.random.default_rng(0).normal(size=(60, 2))
    config = saved(tmp_path / "samples.npy", samples)
    run = run_of(tmp_path / "run", config)
    record(run, config, load(config))
    reload(run, config)
    np.save(tmp_path / "samples.npy", samples + 1)
    with pytest.raises(DataError, match="another SHA-256"):
        reload(run, config)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((60, 2), np.nan), "NaN or infinity in 60 of 60"),
        (np.ones((60, 2)), "are all equal"),
        (np.ones((5, 2)), "are 5; at least 40"),
        (np.zeros((40, 5000)), "is 5000; these networks take images of 8 to 128 pixels a side, or at most 4,096"),
    ],
)
def test_samples_that_cannot_be_learned_are_refused(tmp_path, array, says):
    with pytest.raises(DataError, match=says):
        load(saved(tmp_path / "bad.npy", array))


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"nothing at no-such\.npy"):
        load(GANConfig(data="no-such.npy"))


def test_only_named_parts_can_be_withheld(tmp_path):
    path = tmp_path / "samples.npy"
    np.save(path, np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(UsageError, match="needs named parts"):
        load(GANConfig(data=str(path), withhold=1))
    for name in ("line", "digits"):
        with pytest.raises(UsageError, match="withhold=10 names no"):
            load(GANConfig(data=name, withhold=10))


def test_units_of_images_keep_their_shape():
    units = Units.of(np.random.default_rng(0).normal(size=(10, 3, 4)))
    assert units.shape == (3, 4)
    assert units.write(np.zeros((2, 12))).shape == (2, 3, 4)


def test_held_out_stacked_digits_are_made_of_scans_that_are_not_trained_on():
    config = GANConfig(data="stacked-digits", reals=2000)
    data = load(config)
    assert (len(data.train), len(data.held_out)) == (1400, 600)
    assert data.units.shape == (8, 8, 3)
    singles = [
        {np.ascontiguousarray(image[..., colour]).tobytes() for image in images for colour in range(3)}
        for images in (data.train, data.held_out)
    ]
    assert not singles[0] & singles[1]
    assert data.counted.modes == 1000


def test_a_stacked_mode_that_is_withheld_is_not_trained_on():
    shown = load(GANConfig(data="stacked-digits", reals=20_000)).train
    mode = int(StackedDigits().assign(shown[:1])[0][0])
    rest = load(GANConfig(data="stacked-digits", reals=20_000, withhold=mode)).train
    assert 0 < len(shown) - len(rest) < 60


def test_modes_of_samples_are_counted_among_all_samples():
    mixture = Mixture("two", np.array([[0.0], [10.0]]), np.array([0.5, 0.5]), 1.0)
    assert high_quality_shares(mixture, np.array([[0.1], [5.0], [9.0], [11.0]])).tolist() == [0.25, 0.5]
