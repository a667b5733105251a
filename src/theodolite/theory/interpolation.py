"""What linear interpolation in time makes of hidden pixels: what a network that fills them in has to beat."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def interpolation_error(clips: Array, hidden: NDArray[np.bool_]) -> Array:
    """Mean squared error of each clip over its hidden numbers, in squared units of the clips, as (n,).

    A hidden pixel lies on the straight line between the last visible one before it and the first after it, at the
    same place; where there is but one of them it is that one, and where there is none, the mean visible colour.

    Holds when: clips are (n, frames, height, width, channels), `hidden` is (n, frames, height, width), and in every
    clip something is hidden and something visible.
    Source: linear interpolation between samples, the optimum for a Brownian motion observed at both ends (Wiener
    1949); frame by frame the usual baseline of video interpolation.
    """
    frames = clips.shape[1]
    t = np.arange(frames)[None, :, None, None]
    before = np.maximum.accumulate(np.where(hidden, -1, t), axis=1)
    after = np.minimum.accumulate(np.where(hidden, frames, t)[:, ::-1], axis=1)[:, ::-1]
    alone = (before < 0) & (after == frames)
    t0 = np.where(alone, 0, np.where(before < 0, after, before))
    t1 = np.where(alone, 0, np.where(after == frames, before, after))
    # x(t) = x(t₀) + (t − t₀)/(t₁ − t₀) · (x(t₁) − x(t₀))
    part = ((t - t0) / np.maximum(t1 - t0, 1))[..., None]
    x0, x1 = (np.take_along_axis(clips, at[..., None], axis=1) for at in (t0, t1))
    filled = np.where(alone[..., None], _visible_colour(clips, hidden), x0 + part * (x1 - x0))
    squares = np.where(hidden[..., None], (filled - clips) ** 2, 0.0)
    return np.asarray(squares.mean(axis=(1, 2, 3, 4)) / hidden.mean(axis=(1, 2, 3)))


def _visible_colour(clips: Array, hidden: NDArray[np.bool_]) -> Array:
    """Mean of the visible pixels of each clip: (n, 1, 1, 1, channels)."""
    visible = ~hidden[..., None]
    total = np.sum(clips * visible, axis=(1, 2, 3), keepdims=True)
    return np.asarray(total / np.sum(visible, axis=(1, 2, 3), keepdims=True))
