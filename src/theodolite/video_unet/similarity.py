"""Structural similarity of clips: means, contrasts and correlations in windows over space and time."""

import torch
from jaxtyping import Float
from torch import Tensor

Clip = Float[Tensor, "batch channels frames height width"]

SIDE = 11
"""Taps of the Gaussian window along an axis that holds as many; otherwise the largest odd number that fits."""
DEVIATION = 1.5
"""Standard deviation of the window, in positions along every axis."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""C₁ = (K₁ L)² and C₂ = (K₂ L)² for values in [0, 1]: what keeps the ratios finite where a window is even."""


def structural_similarity(one: Clip, other: Clip) -> Tensor:
    """Return the mean structural similarity of two batches of clips, a number in [−1, 1], 1 for equal ones.

    In every window that lies within the clip, with means μ, variances σ² and covariance σ₁₂ under Gaussian weights:
    (2 μ₁ μ₂ + C₁)(2 σ₁₂ + C₂) / ((μ₁² + μ₂² + C₁)(σ₁² + σ₂² + C₂)); then the mean over windows, channels and clips.

    Parameters
    ----------
    one, other : (batch, channels, frames, height, width)
        Values in [0, 1], though nothing is clamped; any size ≥ 1 along every axis.

    Notes
    -----
    Wang, Bovik, Sheikh & Simoncelli 2004, equation 13, with windows that extend over time as well. Differentiable.
    """
    mean_one, mean_other = _averaged(one), _averaged(other)
    product = mean_one * mean_other
    squares = mean_one.square() + mean_other.square()
    covariance = _averaged(one * other) - product
    variances = _averaged(one.square() + other.square()) - squares
    alike = (2.0 * product + LUMINANCE) * (2.0 * covariance + CONTRAST)
    similarity: Tensor = (alike / ((squares + LUMINANCE) * (variances + CONTRAST))).mean()
    return similarity


def window(size: int) -> int:
    """Return how many taps the window has along an axis of `size` positions."""
    return min(SIDE, size - 1 + size % 2)


def _averaged(x: Tensor) -> Tensor:
    """Average in every window: one matrix an axis, for the Gaussian is a product of three."""
    frames, height, width = (_weights(size, x) for size in x.shape[2:])
    x = height @ (x @ width.T)
    averaged: Tensor = torch.tensordot(x, frames, dims=([2], [1])).movedim(-1, 2)
    return averaged


def _weights(size: int, like: Tensor) -> Tensor:
    """Return the window at each of its places along an axis, a row a place: (places, size)."""
    taps = window(size)
    offset = torch.arange(size, device=like.device) - torch.arange(size - taps + 1, device=like.device)[:, None]
    inside = (offset >= 0) & (offset < taps)
    weights = torch.exp(-0.5 * ((offset.to(like.dtype) - (taps - 1) / 2) / DEVIATION).square()) * inside
    normalised: Tensor = weights / weights.sum(dim=1, keepdim=True)
    return normalised
