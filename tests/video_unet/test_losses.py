import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.losses import SMOOTH, reconstruction_loss, to_pixels, to_tensor
from theodolite.video_unet.similarity import structural_similarity


def slow_loss(made, clip, weight, penalty):
    """Pixel by pixel, in Python."""
    error = made - clip
    total, flicker = [], []
    for place in np.ndindex(error.shape):
        total.append(penalty(error[place]))
        if place[2] > 0:
            before = (*place[:2], place[2] - 1, *place[3:])
            flicker.append(penalty(error[place] - error[before]))
    return np.mean(total) + (weight * np.mean(flicker) if flicker else 0.0)


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [("charbonnier", lambda e: np.sqrt(e * e + SMOOTH**2) - SMOOTH), ("squared", lambda e: e * e)],
)
@pytest.mark.parametrize("frames", [1, 4])
def test_the_loss_is_that_of_a_slow_loop(loss, penalty, frames):
    random = np.random.default_rng(0)
    made, clip = random.random((2, 2, 3, frames, 3, 4))
    config = VideoUNetConfig(loss=loss, temporal_weight=0.7, structural_weight=0)
    fast = reconstruction_loss(config, torch.from_numpy(made), torch.from_numpy(clip))
    assert_identity(fast.item(), slow_loss(made, clip, 0.7, penalty))


def test_structure_is_weighed_beside_the_pixels():
    made, clip = torch.rand(2, 2, 3, 4, 12, 13, dtype=torch.float64)
    without, with_it = (
        reconstruction_loss(VideoUNetConfig(structural_weight=weight), made, clip).item() for weight in (0.0, 0.3)
    )
    assert_identity(with_it - without, 0.3 * (1 - structural_similarity(made, clip).item()) / 2)


def test_plain_squared_error_is_the_mean_square_alone():
    made, clip = torch.rand(2, 2, 3, 4, 5, 6, dtype=torch.float64)
    config = VideoUNetConfig(loss="squared", temporal_weight=0, structural_weight=0)
    assert_identity(reconstruction_loss(config, made, clip).item(), np.mean((made - clip).numpy() ** 2))


def test_a_root_is_that_of_each_clip():
    made, clip = torch.rand(2, 3, 3, 4, 5, 6, dtype=torch.float64)
    config = VideoUNetConfig(loss="root", temporal_weight=0, structural_weight=0)
    by_hand = [
        np.sqrt(np.mean((a - b) ** 2) + SMOOTH**2) - SMOOTH for a, b in zip(made.numpy(), clip.numpy(), strict=True)
    ]
    assert_identity(reconstruction_loss(config, made, clip).item(), np.mean(by_hand))


@pytest.mark.parametrize("loss", ["charbonnier", "squared", "root"])
def test_a_perfect_reconstruction_costs_nothing_and_has_a_gradient(loss):
    clip = torch.rand(1, 3, 4, 5, 6, dtype=torch.float64)
    made = clip.clone().requires_grad_(True)
    cost = reconstruction_loss(VideoUNetConfig(loss=loss), made, clip)
    cost.backward()
    assert_identity(cost.item(), 0)
    assert torch.isfinite(made.grad).all()


def test_an_error_that_flickers_costs_more_than_one_that_stands():
    clip = torch.zeros(1, 1, 6, 4, 4)
    standing = torch.full_like(clip, 0.1)
    flickering = standing * torch.tensor([1.0, -1.0] * 3)[None, None, :, None, None]
    config = VideoUNetConfig()
    assert reconstruction_loss(config, flickering, clip) > reconstruction_loss(config, standing, clip)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 3]))
def test_clips_survive_the_way_to_tensors_and_back(n, frames, side, channels):
    clips = np.random.default_rng(0).integers(0, 256, (n, frames, side, side, channels), dtype=np.uint8)
    tensor = to_tensor(clips, torch.device("cpu"))
    assert tensor.shape == (n, channels, frames, side, side)
    assert 0 <= tensor.min() <= tensor.max() <= 1
    np.testing.assert_array_equal(to_pixels(tensor), clips)


def test_pixels_are_clamped():
    assert to_pixels(torch.tensor([-3.0, 7.0]).reshape(1, 1, 2, 1, 1)).ravel().tolist() == [0, 255]
