"""Noise on what D sees: the least from neighbours, how it falls, and what noise leaves of a wave."""

import itertools
import math

import pytest
import torch
from tests.tolerances import assert_identity, assert_sampling, assert_single

from theodolite.gan import noise
from theodolite.gan.noise import COARSEST, FINEST, FIRST, NoisyInputs, Waves, least_noise, lowest_level
from theodolite.gan.sizes import WAVES


def test_the_least_noise_of_points_evenly_on_a_line_is_eight_gaps():
    # of sixteen neighbours, eight are on either side
    assert_single(least_noise(torch.arange(1000.0)[:, None] * 0.004), 8 * 0.004)


def test_features_share_the_distance():
    # the same line, turned into the diagonal of three dimensions
    points = (torch.arange(1000.0)[:, None] * 0.004).expand(-1, 3)
    assert_single(least_noise(points), 8 * 0.004)


def test_repeated_and_reordered_samples_change_nothing():
    points = torch.randn(500, 2)
    again = points.repeat(30, 1)[torch.randperm(15_000)]
    assert least_noise(again) == least_noise(points)


def test_neighbours_are_found_across_blocks(monkeypatch):
    points = torch.randn(300, 2) / 3
    whole = least_noise(points)
    monkeypatch.setattr(noise, "BLOCK", 7)
    assert least_noise(points) == whole


@pytest.mark.parametrize(("points", "bound"), [(torch.zeros(50, 2), FINEST), (10 * torch.randn(200, 60), COARSEST)])
def test_the_least_noise_is_bounded(points, bound):
    assert least_noise(points) == bound


def test_the_lowest_level_falls_evenly_and_stays():
    assert_identity(lowest_level(0, 0.02), math.log(FIRST))
    falling = [lowest_level(progress / 10, 0.02) for progress in range(9)]
    assert_identity([b - a for a, b in itertools.pairwise(falling)], [math.log(0.02 / FIRST) / 8] * 8)
    assert_identity(lowest_level(1, 0.02), math.log(0.02))


def test_noise_leaves_of_a_wave_what_is_passed_on():
    waves = Waves(2)
    least, level = torch.tensor(math.log(0.05)), torch.full((1, 1), math.log(0.3))
    x = torch.randn(1, 2)
    # the wave itself is what noise of no size would pass on
    itself = waves(x + 0.3 * torch.randn(4000, 2), torch.full((4000, 1), -50.0), least)
    passed = waves(x, level, least)[0]
    for number in range(0, WAVES, 16):
        assert_sampling(itself[:, number], float(passed[number]))
    assert itself.std(dim=0)[-1] > 0.9  # of spread about 1
    assert passed[-1] == 0  # drowned


def test_the_level_is_told_from_minus_one_to_one():
    inputs = NoisyInputs(3)
    inputs.least.fill_(math.log(0.04))
    x = torch.randn(2, 3)
    told = inputs(x, torch.tensor([[math.log(0.04)], [0.0]]))
    assert told.shape == (2, 3 + 1 + WAVES)
    assert_single(told[:, 3], torch.tensor([-1.0, 1.0]))
    assert_single(told[1, :3], x[1] / math.sqrt(2))
    assert torch.equal(inputs(x), inputs(x, inputs.least.expand(2, 1)))


def test_a_program_of_the_inputs_takes_any_batch():
    inputs = NoisyInputs(2)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(inputs, (torch.zeros(2, 2),), dynamic_shapes=({0: batch},), strict=False).module()
    x = torch.randn(7, 2)
    assert_single(program(x), inputs(x))
