"""Stacked digits: what they are made of, and whether their judge can be trusted."""

import numpy as np
from tests.tolerances import assert_identity, assert_sampling

from theodolite.data.digits import digits, split
from theodolite.data.stacked import StackedDigits, stack


def test_each_colour_is_one_of_the_scans():
    images, labels = digits()
    stacked, modes = stack(images, labels, 50, seed=3)
    assert stacked.shape == (50, 8, 8, 3)
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for image, mode in zip(stacked, modes, strict=True):
        shown = [known[np.ascontiguousarray(image[..., colour]).tobytes()] for colour in range(3)]
        assert int("".join(map(str, shown))) == mode


def test_the_same_seed_stacks_the_same_and_another_does_not():
    images, labels = digits()
    first, again, other = (stack(images, labels, 20, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_weights_are_those_of_the_scans():
    truth = StackedDigits()
    assert_identity(truth.weights.sum(), 1.0)
    _, modes = stack(*digits(), 20_000, seed=0)
    hundreds = truth.weights.reshape(10, 100).sum(axis=1)
    for digit in range(10):
        assert_sampling(modes // 100 == digit, hundreds[digit])


def test_the_judge_knows_real_scans_and_is_not_fooled_by_noise():
    images, labels = digits()
    _, held_out = split(len(images), 0.3, 0)
    real, modes = stack(images[held_out], labels[held_out], 2000, seed=0)
    told, sure = StackedDigits().assign(real)
    assert sure.mean() > 0.97
    assert (told == modes)[sure].mean() > 0.99
    random = np.random.default_rng(0)
    noise = {
        "even": random.random((2000, 8, 8, 3)),
        "shuffled": random.permuted(real.reshape(2000, 64, 3), axis=1).reshape(real.shape),
        "blank": np.zeros((10, 8, 8, 3)),
    }
    for name, images in noise.items():
        assert StackedDigits().assign(images)[1].mean() < 0.01, name
