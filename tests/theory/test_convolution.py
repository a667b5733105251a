"""Sizes, counts and reach, against slow loops that know no formula."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theodolite.theory.convolution import (
    convolution_parameters,
    convolution_size,
    live_taps,
    multiply_adds,
    pooled_size,
    taps_inside,
    transposed_size,
    unet_halo,
    unet_receptive_field,
    unet_window,
)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_convolution_size_counts_where_the_kernel_fits(size, kernel, stride, padding, dilation):
    reach = dilation * (kernel - 1)
    starts = [start for start in range(0, size + 2 * padding, stride) if start + reach < size + 2 * padding]
    assert max(0, convolution_size(size, kernel, stride, padding, dilation)) == len(starts)


@given(st.integers(1, 60), st.integers(1, 6))
def test_pooled_size_counts_windows(size, window):
    starts = range(0, size, window)
    assert pooled_size(size, window, "up") == len(starts)
    assert pooled_size(size, window, "down") == sum(start + window <= size for start in starts)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 5))
def test_transposed_size_is_where_the_last_tap_lands(size, kernel, stride):
    assert (
        transposed_size(size, kernel, stride)
        == max(position * stride + tap for position, tap in itertools.product(range(size), range(kernel))) + 1
    )


@given(st.integers(1, 20), st.integers(1, 4), st.integers(2, 5))
def test_a_transposed_convolution_undoes_the_size_of_a_convolution(size, kernel, stride):
    down = convolution_size(size * stride + kernel, kernel, stride)
    raised = transposed_size(down, kernel, stride)
    assert raised <= size * stride + kernel < raised + stride


def test_parameters_and_work_of_the_first_convolution_of_the_question():
    assert convolution_parameters((3, 3, 3), 3, 32) == 2592 + 32
    assert convolution_parameters((3, 3, 3), 3, 32, bias=False) == np.zeros((32, 3, 3, 3, 3)).size
    assert multiply_adds((3, 3, 3), 3, 32, (10, 32, 32)) == 2592 * 10_240


@given(st.integers(1, 12), st.sampled_from([1, 3, 5, 7]))
def test_taps_inside_are_counted_one_by_one(size, kernel):
    reads = itertools.product(range(size), range(-(kernel // 2), kernel // 2 + 1))
    assert taps_inside(size, kernel) == sum(0 <= output + tap < size for output, tap in reads)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 5, 7]))
def test_live_taps_are_those_that_some_output_reads(extent, used, kernel):
    r = kernel // 2
    live = [tap for tap in range(-r, r + 1) if any(0 <= output + tap < extent for output in range(used))]
    assert live_taps(extent, used, kernel) == len(live)


def slow_window(position, stages, convolutions, kernel, pool, resize=False):
    """Follow every single position backwards through the layers, skips included."""
    r = kernel // 2

    def spread(positions):
        for _ in range(convolutions):
            positions = {p + d for p in positions for d in range(-r, r + 1)}
        return positions

    needed, skipped = {position}, []
    for _ in range(stages):
        needed = spread(needed)
        skipped.append(needed)
        if resize:  # a convolution of what was repeated
            needed = {p + d for p in needed for d in range(-r, r + 1)}
        needed = {p // pool for p in needed}
    needed = spread(needed)
    for skip in reversed(skipped):
        needed = spread({pool * p + d for p in needed for d in range(pool)} | skip)
    return min(needed), max(needed), len(needed)


@pytest.mark.parametrize(
    ("stages", "convolutions", "kernel", "pool"), [(1, 1, 3, 2), (3, 2, 3, 2), (2, 1, 5, 2), (2, 2, 3, 3), (2, 3, 1, 2)]
)
@pytest.mark.parametrize("resize", [False, True])
def test_windows_against_a_walk_over_every_position(stages, convolutions, kernel, pool, resize):
    cell, network = pool**stages, (stages, convolutions, kernel, pool, resize)
    walked = [slow_window(position, *network) for position in range(cell)]
    assert [unet_window(p, *network) for p in range(cell)] == [w[:2] for w in walked]
    assert unet_receptive_field(*network) == max(count for _, _, count in walked)
    reach = [(-first, last - (cell - 1)) for first, last, _ in walked]
    assert unet_halo(*network) == max(max(pair) for pair in reach)


def test_the_window_moves_with_its_cell():
    first, last = unet_window(5, 3, 2, 3, 2)
    assert unet_window(5 + 8 * 11, 3, 2, 3, 2) == (first + 88, last + 88)
