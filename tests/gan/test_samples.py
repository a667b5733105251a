"""Samples drawn of a trained generator, into files and out of bounds."""

import numpy as np
import pytest
from tests.tolerances import assert_single

from theodolite import families
from theodolite.gan.samples import TrainedGAN


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("samples") / "run"
    return families.train("gan", out, data="digits", steps=2, width=8, depth=0, device="cpu")


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
