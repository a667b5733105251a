"""Structural similarity against a slow computation window by window, its limits, and its gradient."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from tests.tolerances import assert_identity

from theodolite.video_unet.similarity import structural_similarity, window


def slow_similarity(one, other):
    """One channel of one clip, (frames, height, width): every window by itself, weights and all."""
    taps = [min(11, size if size % 2 else size - 1) for size in one.shape]
    gaussians = [np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * 1.5**2)) for n in taps]
    weight = np.einsum("i,j,k->ijk", *gaussians)
    weight /= weight.sum()
    found = []
    for place in itertools.product(*(range(size - n + 1) for size, n in zip(one.shape, taps, strict=True))):
        part = tuple(slice(at, at + n) for at, n in zip(place, taps, strict=True))
        a, b = one[part], other[part]
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
        covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        found.append(luminance * (2 * covariance + 9e-4) / (var_a + var_b + 9e-4))
    return np.mean(found)


def clips(*size, seed=0):
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.random(size), (0, 0, 1, 1, 1))
    return smooth, np.clip(smooth + 0.1 * random.standard_normal(size), 0, 1)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 12), (10, 13, 4), (12, 12, 12), (1, 16, 15)])
def test_it_is_that_of_a_slow_loop_over_windows(size):
    one, other = clips(2, 3, *size)
    slow = [slow_similarity(one[n, c], other[n, c]) for n in range(2) for c in range(3)]
    assert_identity(structural_similarity(torch.from_numpy(one), torch.from_numpy(other)).item(), np.mean(slow))


def test_a_large_clip_agrees_with_gaussian_filters():
    """Another library's filter, away from the border: `scipy.ndimage` cut at 5 positions either way."""
    one, other = (clip[0, 0] for clip in clips(1, 1, 14, 15, 16))

    def averaged(x):
        return gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5, 5:-5]

    mean_one, mean_other = averaged(one), averaged(other)
    covariance = averaged(one * other) - mean_one * mean_other
    variances = averaged(one**2 + other**2) - mean_one**2 - mean_other**2
    similarity = (2 * mean_one * mean_other + 1e-4) * (2 * covariance + 9e-4)
    similarity /= (mean_one**2 + mean_other**2 + 1e-4) * (variances + 9e-4)
    tensors = [torch.from_numpy(each)[None, None] for each in (one, other)]
    assert_identity(structural_similarity(*tensors).item(), similarity.mean())


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(0, 1000))
def test_it_is_symmetric_bounded_and_one_for_equal_clips(size, seed):
    one, other = (torch.from_numpy(each) for each in clips(1, 2, *size, seed=seed))
    value = structural_similarity(one, other).item()
    assert -1 <= value < 1
    assert_identity(structural_similarity(other, one).item(), value)
    assert_identity(structural_similarity(one, one).item(), 1)


def test_the_gradient_is_that_of_finite_differences():
    one, other = (torch.from_numpy(each).requires_grad_(True) for each in clips(1, 1, 3, 4, 12))
    assert torch.autograd.gradcheck(structural_similarity, (one, other))


def test_a_lost_contrast_costs_more_than_a_change_of_brightness_of_the_same_size():
    one = torch.from_numpy(clips(1, 1, 6, 16, 16)[0])
    flat = one.mean() + 0.5 * (one - one.mean())
    lighter = one + (flat - one).square().mean().sqrt()
    assert structural_similarity(one, flat) < structural_similarity(one, lighter)


@pytest.mark.parametrize(("size", "taps"), [(1, 1), (2, 1), (3, 3), (10, 9), (11, 11), (64, 11)])
def test_the_window_is_the_largest_odd_one_that_fits(size, taps):
    assert window(size) == taps
