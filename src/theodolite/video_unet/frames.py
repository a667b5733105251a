"""PSNR and structural similarity of every frame by itself, in NumPy."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Array = NDArray[np.float64]

SIDE, DEVIATION = 11, 1.5
"""Taps and standard deviation of the Gaussian window (Wang et al. 2004); fewer taps where a side is shorter."""


def frame_psnr(original: Array, made: Array) -> Array:
    """Return the PSNR of every frame of clips (n, frames, height, width, channels) in dB: (n, frames)."""
    squared = np.mean((original - made) ** 2, axis=(2, 3, 4))
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(squared))


def frame_similarity(original: Array, made: Array) -> Array:
    """Return the structural similarity (SSIM) of every frame: (n, frames), each in [−1, 1].

    Mean over the windows that lie within the frame, and over channels, for values in [0, 1].
    Wang, Bovik, Sheikh & Simoncelli 2004, equation 13.
    """
    return np.stack([_similarity(x, y) for x, y in zip(original, made, strict=True)])


def _similarity(x: Array, y: Array) -> Array:
    mean_x, mean_y = _averaged(x), _averaged(y)
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    covariance = _averaged(x * y) - mean_x * mean_y
    variances = _averaged(x**2) - mean_x**2 + _averaged(y**2) - mean_y**2
    return np.asarray((luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean(axis=(1, 2, 3)))


def _averaged(x: Array) -> Array:
    """Average (frames, height, width, channels) in every window of rows and columns that lies within."""
    for axis in (1, 2):
        size = x.shape[axis]
        taps = min(SIDE, size if size % 2 else size - 1)
        weights = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / DEVIATION) ** 2)
        whole = correlate1d(x, weights / weights.sum(), axis=axis)
        x = np.take(whole, np.arange(taps // 2, size - taps // 2), axis=axis)
    return x
