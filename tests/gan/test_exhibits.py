"""What a calibration chart is made of."""

import numpy as np
from tests.tolerances import assert_identity, assert_sampling

from theodolite.gan.exhibits import _reliability


def test_a_calibrated_discriminator_is_right_in_every_bin():
    random = np.random.default_rng(0)
    said = random.random(40_000)
    real = random.random(40_000) < said
    said_of, true, error = _reliability(said[real], said[~real])
    assert error < 0.02
    assert np.abs(said_of - true).max() < 0.05
    assert_sampling(real, 0.5)


def test_one_that_is_always_sure_errs_by_what_it_is_wrong():
    # says 0.95 of everything, real and generated alike: it errs by 0.45
    _, true, error = _reliability(np.full(1000, 0.95), np.full(3000, 0.95))
    assert_identity(error, 0.45)
    assert_identity(true[0], 0.5)


def test_bins_with_hardly_a_sample_are_left_out():
    said, _, _ = _reliability(np.full(1000, 0.05), np.concatenate([np.full(1000, 0.05), np.full(3, 0.95)]))
    assert said.size == 1
