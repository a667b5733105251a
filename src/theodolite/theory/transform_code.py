"""Linear codes of clips: what a cosine transform and principal components leave over when few numbers are kept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Array = NDArray[np.float64]


def psnr(mean_squared_error: Array | float, peak: float = 1.0) -> Array:
    """Peak signal-to-noise ratio, in dB.

    Holds when: the error is greater than 0; an error of 0 gives infinity.
    Source: 10·log₁₀(peak²/MSE), ITU-T J.340 (2010), section 5.
    """
    error = np.asarray(mean_squared_error, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(peak**2 / error))


def cosine_code_error(fit: Array, clips: Array, sizes: Sequence[int]) -> Array:
    """Mean squared error per number of each clip when `sizes` cosine coefficients are kept, as (sizes, clips).

    Which coefficients are kept is fixed once: those with the largest mean energy over the clips `fit`. So the code is
    linear, of the same form for every clip.

    Holds when: both arrays are (n, …) of one shape, all axes after the first are transformed.
    Source: the orthonormal DCT-II keeps energy (Parseval), so the error is the energy of what is dropped; Ahmed,
    Natarajan & Rao 1974; zonal sampling, Jain 1989, section 11.5.
    """
    axes = tuple(range(1, fit.ndim))
    learned = dctn(fit, axes=axes, norm="ortho").reshape(len(fit), -1) ** 2
    order = np.argsort(-learned.mean(axis=0), kind="stable")
    energy = dctn(clips, axes=axes, norm="ortho").reshape(len(clips), -1)[:, order] ** 2
    dropped = np.cumsum(energy[:, ::-1], axis=1)[:, ::-1]
    dropped = np.concatenate([dropped, np.zeros((len(clips), 1))], axis=1)
    return np.asarray(dropped[:, list(sizes)].T / energy.shape[1])


def principal_code_error(fit: Array, clips: Array, sizes: Sequence[int]) -> Array:
    """Mean squared error per number of each clip when `sizes` principal components are kept, as (sizes, clips).

    Holds when: every size is at most ``len(fit) − 1``, the rank of the centred clips. Of all linear codes this is the
    best for the clips it was fitted to; for others it is an estimate that too few clips make too pessimistic.
    Source: Eckart & Young 1936; Baldi & Hornik 1989 (the optimum of a linear auto-encoder).
    """
    if max(sizes, default=0) > len(fit) - 1:
        raise ValueError(f"{max(sizes)} components were asked of {len(fit)} clips, which have at most {len(fit) - 1}")
    mean = fit.reshape(len(fit), -1).mean(axis=0)
    X = fit.reshape(len(fit), -1) - mean
    Y = clips.reshape(len(clips), -1) - mean
    # eigenvectors of the small Gram matrix X Xᵀ give the principal directions Vᵀ = Λ^(−1/2) Uᵀ X
    eigenvalues, U = np.linalg.eigh(X @ X.T)
    keep = np.argsort(-eigenvalues)[: len(fit) - 1]
    # a direction without variance (clips that occur twice) keeps nothing: its eigenvector is noise
    scale = np.where(eigenvalues[keep] > 1e-12 * eigenvalues.max(), eigenvalues[keep], np.inf)
    scores = (Y @ X.T) @ (U[:, keep] / np.sqrt(scale))
    kept = np.concatenate([np.zeros((len(Y), 1)), np.cumsum(scores**2, axis=1)], axis=1)[:, list(sizes)]
    left = np.sum(Y**2, axis=1)[:, None] - kept
    return np.asarray(np.maximum(left, 0.0).T / Y.shape[1])


def wiener_error(fit: Array, clips: Array, noise: float) -> tuple[Array, Array]:
    """Mean squared error per number of each clip after the best filter of cosine coefficients, expected over noise.

    The filter multiplies coefficient k by g = E_k / (E_k + σ²), where E_k is its mean energy over the clips `fit`; of
    all multipliers these have the least expected error on clips of such energies. Beside it the standard deviation
    that chance gives the error; both as (clips,).

    Holds when: both arrays are (n, …) of one shape, and noise is white and normal with standard deviation `noise`.
    Source: Wiener 1949; in a transform's coefficients, Jain 1989, section 8.3.
    """
    axes = tuple(range(1, fit.ndim))
    E = np.mean(dctn(fit, axes=axes, norm="ortho") ** 2, axis=0)
    g = E / (E + noise**2)
    c = dctn(clips, axes=axes, norm="ortho")
    # (g (c + ν) − c)²: what the filter takes from the clip, and what it leaves of the noise ν
    taken, left = (1.0 - g) ** 2 * c**2, g**2 * noise**2
    # its variance: of the product, 4 (1 − g)² g² c² σ², and of the square, 2 g⁴ σ⁴; the two do not covary
    variance = np.sum(4.0 * taken * left + 2.0 * left**2, axis=axes)
    return np.mean(taken + left, axis=axes), np.sqrt(variance) / E.size
