"""A cosine code carried out: clips are transformed by matrices, most coefficients dropped, the rest turned back."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rebuilt(fit: Array, clips: Array, size: int) -> Array:
    """Return the clips (n, frames, height, width, channels) as `size` cosine coefficients each bring them back.

    The coefficients kept are those with the largest mean energy over the clips `fit`.
    """
    bases = [cosines(side) for side in fit.shape[1:]]
    energy = np.mean(along_every_axis(fit, bases) ** 2, axis=0)
    kept = np.zeros(energy.size, dtype=bool)
    kept[np.argsort(-energy.ravel(), kind="stable")[:size]] = True
    coded = along_every_axis(clips, bases) * kept.reshape(energy.shape)
    return along_every_axis(coded, [basis.T for basis in bases])


def cosines(size: int) -> Array:
    """Return the orthonormal cosine basis of one axis, a row a frequency."""
    frequency, position = np.arange(size)[:, None], np.arange(size)[None, :]
    basis = np.cos(np.pi * frequency * (position + 0.5) / size) * np.sqrt(2.0 / size)
    basis[0] /= np.sqrt(2.0)
    return np.asarray(basis)


def along_every_axis(clips: Array, bases: list[Array]) -> Array:
    """Return clips (n, …) with each axis after the first multiplied by its basis (rows are frequencies)."""
    for axis, basis in enumerate(bases, start=1):
        clips = np.moveaxis(np.tensordot(clips, basis, axes=(axis, 1)), -1, axis)
    return clips
