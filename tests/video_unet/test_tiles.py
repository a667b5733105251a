"""Tiles cover a frame once and join without a seam; what streaming takes is bounded, not far above what it takes."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.video_unet.test_streaming import Memory, network
from torch import nn

from theodolite.kernel.errors import ResourceError
from theodolite.theory.convolution import unet_halo
from theodolite.video_unet import streaming
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.streaming import streamed
from theodolite.video_unet.tiles import FRAMES, ROWS, Span, cell, halo, streaming_bytes, tiles

ENOUGH = 2**50
FAR_ABOVE = 3.0
"""Times that the bound may exceed what is taken."""


@pytest.mark.parametrize(
    ("stages", "convolutions", "kernel", "pool"), [(1, 1, 3, 2), (3, 2, 3, 2), (2, 1, 5, 3), (2, 2, 1, 2)]
)
def test_the_halo_read_from_the_layers_is_that_of_theory(stages, convolutions, kernel, pool):
    built = network(stages=stages, convs_per_stage=convolutions, kernel=kernel, pool=pool, base=1)
    whole_cells = pool**stages * -(-max(unet_halo(stages, convolutions, kernel, pool), 0) // pool**stages)
    assert (cell(built, ROWS), halo(built, ROWS)) == (pool**stages, whole_cells)


def test_what_lets_a_frame_be_whole_lets_it_be_whole():
    (tile,) = tiles(network(), 100, 300, 1, ENOUGH)
    assert (tile.rows, tile.columns) == (Span(0, 100, 0, 100), Span(0, 300, 0, 300))


@settings(max_examples=25)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(60, 120), st.sampled_from(["up", "down"]))
@example(129, 193, 60, "up")  # only with more than sixteen tiles a side
def test_tiles_cover_every_pixel_once_and_fit(height, width, side, rounding):
    built = network(stages=2, rounding=rounding)
    memory = streaming_bytes(built, side, side, 2)
    covered = np.zeros((height, width), int)
    for tile in tiles(built, height, width, 2, memory):
        covered[tile.rows.first : tile.rows.stop, tile.columns.first : tile.columns.stop] += 1
        assert (
            streaming_bytes(built, tile.rows.end - tile.rows.begin, tile.columns.end - tile.columns.begin, 2) <= memory
        )
    assert (covered == 1).all()


@pytest.mark.parametrize("rounding", ["up", "down"])
def test_tiles_join_without_a_seam(rounding):
    built = network(stages=2, rounding=rounding)
    video = torch.rand(1, 3, 9, 61, 66, dtype=torch.float64)
    cut = tiles(built, 61, 66, 3, streaming_bytes(built, 56, 60, 3))
    assert len(cut) > 1
    with torch.no_grad():
        whole = built(video)
    joined = torch.full_like(whole, torch.nan)
    for tile in cut:
        rows, columns = tile.rows, tile.columns
        part = video[..., rows.begin : rows.end, columns.begin : columns.end]
        made = torch.cat(list(streamed(built, part.split(3, dim=2), 3)), dim=2)
        inner = made[..., rows.first - rows.begin :, columns.first - columns.begin :]
        joined[..., rows.first : rows.stop, columns.first : columns.stop] = inner[
            ..., : rows.stop - rows.first, : columns.stop - columns.first
        ]
    assert (joined - whole).abs().max() <= streaming.ERROR[torch.float64] * whole.abs().max()


def test_what_fits_in_no_tile_is_refused():
    with pytest.raises(ResourceError, match=r"frames of 200×100 would take about .* scale the video down"):
        tiles(network(), 100, 200, 1, 1000)


@pytest.mark.parametrize(
    "fields", [{}, {"skips": False}, {"stages": 2, "kernel": 5}, {"rounding": "down"}, {"convs_per_stage": 1}]
)
@pytest.mark.parametrize("most", [1, 4])
def test_streaming_takes_no_more_than_its_bound(fields, most):
    torch.manual_seed(0)
    built = VideoUNet(VideoUNetConfig(base=4, **fields))
    chunk = torch.rand(1, 3, most, 16, 16)
    with Memory() as memory:
        for _ in streamed(built, (chunk.clone() for _ in range(160 // most)), most):
            pass
    bound = streaming_bytes(built, 16, 16, most)
    assert memory.peak <= bound <= FAR_ABOVE * memory.peak


def test_an_up_convolution_that_repeats_sees_further():
    built = network(stages=1, convs_per_stage=1, pool=2)
    near = halo(built, FRAMES)
    built.decoders[0].up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv3d(4, 2, 9, padding=4)).double()
    assert halo(built, FRAMES) == near + 4
