"""Samples drawn of a trained generator, into files and out of bounds."""

import numpy as np
import pytest
from tests.tolerances import assert_single

from theodolite import families
from theodolite.gan.samples import TrainedGAN, write_samples
from theodolite.kernel.errors import DataError, UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("samples") / "run"
    return families.train("gan", out, data="digits", steps=2, width=8, depth=0, device="cpu")


def test_samples_have_the_shape_and_grain_of_the_data(run, tmp_path):
    path = write_samples(run, 7, tmp_path / "made.npy")
    made = np.load(path)
    assert made.shape == (7, 8, 8)
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made * 16, np.round(made * 16))


def test_a_sample_is_the_same_however_many_are_drawn(run):
    trained = TrainedGAN(run)
    few, many = trained.draw(3), trained.draw(50)
    np.testing.assert_array_equal(few, many[:3])
    assert not np.array_equal(trained.draw(3, "others"), few)
    assert len(np.unique(many.reshape(50, -1), axis=0)) == 50
    assert trained.draw(0).shape == (0, 8, 8)


def test_scores_are_one_a_sample(run):
    trained = TrainedGAN(run)
    samples = trained.draw(5)
    assert trained.score(samples).shape == (5,)
    assert_single(trained.score(samples)[3], trained.score(samples[3:4])[0])


@pytest.mark.parametrize(
    ("count", "name", "says"), [(0, "a.npy", "-n 0 must lie between 1"), (3, "a.png", "ending in")]
)
def test_what_cannot_be_meant_is_refused(run, tmp_path, count, name, says):
    with pytest.raises(UsageError, match=says):
        write_samples(run, count, tmp_path / name)


def test_a_folder_that_does_not_exist_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="in a folder that exists"):
        write_samples(run, 3, tmp_path / "no" / "a.npy")


def test_a_run_of_another_family_is_refused(run, tmp_path):
    other = families.train("linear-vae", tmp_path / "vae", steps=1, device="cpu")
    with pytest.raises(DataError, match="is a run of linear-vae"):
        write_samples(other, 3, tmp_path / "a.npy")


def test_a_run_without_weights_says_how_to_go_on(run, tmp_path):
    from theodolite.gan.config import GANConfig, GANTraining
    from theodolite.gan.dataset import load, record
    from theodolite.gan.plan import plan
    from theodolite.kernel.runs import RunFolder

    config = GANConfig(data="line")
    begun = RunFolder.create(tmp_path / "begun", "gan", config, GANTraining(), plan(config))
    record(begun, config, load(config))
    with pytest.raises(DataError, match="continue it with --resume"):
        write_samples(begun, 3, tmp_path / "a.npy")
