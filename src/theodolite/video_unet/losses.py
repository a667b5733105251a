"""The loss of a reconstructed clip, and tensors from clips."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.similarity import structural_similarity

Clip = Float[Tensor, "batch channels frames height width"]

SMOOTH = 1e-3
"""Below errors of this size (a quarter of a grey level) the Charbonnier loss is quadratic."""


def reconstruction_loss(config: VideoUNetConfig, reconstruction: Clip, clip: Clip) -> Float[Tensor, ""]:
    """Return the mean pixel loss, plus `temporal_weight` and `structural_weight` times two losses that see more.

    That of the differences between successive frames: an error that flickers costs more than the same error standing
    still. And the structural dissimilarity, (1 − SSIM)/2 in [0, 1], in windows over space and time: what takes the
    contrast out of a texture costs more than what makes it a little lighter.

    Notes
    -----
    Charbonnier et al. 1994; Wang et al. 2004; their sum as a loss, Zhao et al. 2017, "Loss functions for image
    restoration with neural networks".
    """
    error = reconstruction - clip
    loss = _penalty(config, error)
    if clip.shape[2] > 1 and config.temporal_weight:
        flicker = error[:, :, 1:] - error[:, :, :-1]
        loss = loss + config.temporal_weight * _penalty(config, flicker)
    if config.structural_weight:
        loss = loss + config.structural_weight * (1.0 - structural_similarity(reconstruction, clip)) / 2.0
    return loss


def _penalty(config: VideoUNetConfig, error: Tensor) -> Float[Tensor, ""]:
    if config.loss == "squared":
        return error.square().mean()
    if config.loss == "root":
        # √(mean e² + ε²) − ε of each clip, so that those with the largest errors do not own the gradient
        return ((error.square().mean(dim=(1, 2, 3, 4)) + SMOOTH**2).sqrt() - SMOOTH).mean()
    # √(e² + ε²) − ε, Charbonnier et al. 1994: for large errors their size, so that edges are not averaged away
    return ((error.square() + SMOOTH**2).sqrt() - SMOOTH).mean()


def to_tensor(clips: NDArray[np.uint8], device: torch.device) -> Clip:
    """Return uint8 clips (n, frames, height, width, channels) as float32 in [0, 1], channels second."""
    return rearrange(torch.from_numpy(clips).to(device), "n f h w c -> n c f h w").float() / 255.0


def to_pixels(reconstruction: Clip) -> NDArray[np.uint8]:
    """Return reconstructions as uint8 clips (n, frames, height, width, channels), clamped to [0, 1]."""
    pixels = (reconstruction.detach().float().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    return np.asarray(rearrange(pixels, "n c f h w -> n f h w c").cpu().numpy())
