"""What needs no training, carried out: hidden pixels interpolated in time, noise taken off by a filter of cosines."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from theodolite.video_unet.cosine_code import along_every_axis, cosines

Array = NDArray[np.float64]
Clips = TypeVar("Clips", bound=NDArray[np.floating])


def interpolated(given: Clips, hidden: NDArray[np.bool_]) -> Clips:
    """Return clips (n, frames, height, width, channels) with their hidden pixels interpolated linearly in time.

    All places of a clip that are hidden in the same frames are one product with a matrix; a place that is always hidden
    gets the mean visible colour, and mid-grey where the whole clip is hidden.
    """
    made = given.copy()
    for clip, result, where in zip(given, made, hidden, strict=True):
        patterns, number = np.unique(where.reshape(len(where), -1), axis=1, return_inverse=True)
        places, filled = clip.reshape(len(clip), -1, clip.shape[-1]), result.reshape(len(clip), -1, clip.shape[-1])
        for which, pattern in enumerate(patterns.T):
            here = number.ravel() == which
            if pattern.all():
                filled[:, here] = clip[~where].mean(axis=0) if not where.all() else 0.5
            else:
                filled[:, here] = np.tensordot(_between(pattern), places[:, here], axes=1)
    return made


def _between(pattern: NDArray[np.bool_]) -> Array:
    """Return the matrix (frames, frames) that fills in from the frames that are not hidden."""
    visible, frames = np.flatnonzero(~pattern), np.arange(len(pattern))
    matrix = np.zeros((len(pattern), len(pattern)))
    for column, unit in zip(visible, np.eye(len(visible)), strict=True):
        matrix[:, column] = np.interp(frames, visible, unit)
    return matrix


def filtered(fit: Array, given: Array, noise: float) -> Array:
    """Return noisy clips after a Wiener filter: each cosine coefficient shrunk by its share of energy that is clip."""
    bases = [cosines(side) for side in fit.shape[1:]]
    energy = np.mean(along_every_axis(fit, bases) ** 2, axis=0)
    shrunk = along_every_axis(given, bases) * (energy / (energy + noise**2))
    return along_every_axis(shrunk, [basis.T for basis in bases])
