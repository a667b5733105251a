"""A kernel machine that learns from reals of unknown kind: which of them are missed is not known, only guessed better.

Labels real and generated are poor labels of what is missed: where a generator covers the data they are the toss of a
coin. Of two steps (Liu et al. 2003, for learning from positive and unlabelled examples): the first fit ranks the
training reals, and those that stand out are taken for missed, the others for covered; the next fits learn that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from sklearn.metrics.pairwise import euclidean_distances

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

CENTRES = 1000
WIDTH = 0.3  # of the kernel, squared, in units of the usual squared distance
STIFF, SUPPLE = 1e-3, 1e-4  # ridges: of the first fit, whose labels are noise, and of the next ones
ROUNDS = 3
STANDS_OUT = 0.3  # the reals of a set count as missed where it holds 1/0.3 times as many of them as of the fakes
MISSED_SHARE = 0.3  # of the weight, given to what is taken for missed
FEWEST_MISSED = 5
SAME, ROUNDING = 1e-6, 1e-9  # squared distances that count as none, of the largest one and of the largest norm
BLOCK = 4096


class SelfTrained:
    """Ridge regression on a Gaussian kernel, by the Nyström approximation; fitted when it is built.

    Parameters
    ----------
    points : array (samples, columns)
    is_real : bool array (samples,)
    seed : int
        Of the centres of the kernel.
    """

    def __init__(self, points: Floats, is_real: Flags, seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        self.centres = points[rng.permutation(len(points))[:CENTRES]]
        squares = euclidean_distances(self.centres, squared=True)
        # equal images differ by rounding: of a collapsed generator that would be the usual distance
        apart = squares[
            squares > max(SAME * float(squares.max()), ROUNDING * float(np.square(self.centres).sum(1).max()))
        ]
        usual = float(np.median(apart)) if apart.size else 1.0
        self.width = WIDTH * usual
        gram = np.exp(-0.5 * squares / self.width)
        self.root = np.linalg.cholesky(gram + 1e-6 * np.eye(len(gram)))
        features = self._features(points)
        target, weight = np.where(is_real, 1.0, -1.0), np.where(is_real, 0.5 / is_real.sum(), 0.5 / (~is_real).sum())
        fitted, unseen = _ridge(features, target, weight * len(points), STIFF)
        self.weights = [fitted, fitted]
        for _ in range(ROUNDS):
            missed = is_real & (unseen >= _standing_out(unseen[is_real], unseen[~is_real]))
            if missed.sum() < FEWEST_MISSED or missed.sum() == is_real.sum() == len(points):
                break
            weight = np.where(missed, MISSED_SHARE / missed.sum(), (1 - MISSED_SHARE) / (~missed).sum())
            self.weights[1], unseen = _ridge(features, np.where(missed, 1.0, -1.0), weight * len(points), SUPPLE)

    def __call__(self, points: Floats) -> Floats:
        """Return what the first and the last fit say, (samples, 2); higher means more real."""
        return np.concatenate(
            [
                self._features(points[start : start + BLOCK]) @ np.column_stack(self.weights)
                for start in range(0, len(points), BLOCK)
            ]
        )

    def _features(self, points: Floats) -> Floats:
        """Coordinates in which the kernel is an inner product, (samples, centres)."""
        kernel = np.exp(-0.5 * euclidean_distances(points, self.centres, squared=True) / self.width)
        return np.asarray(solve_triangular(self.root, kernel.T, lower=True).T)


def _ridge(features: Floats, target: Floats, weight: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Coefficients, and what the fit without a sample says of it.

    With H the hat matrix, that is (f − H_ii·y)/(1 − H_ii) (Allen 1974).
    """
    gram = features.T @ (features * weight[:, None]) + ridge * len(features) * np.eye(features.shape[1])
    factor = cho_factor(gram)
    coefficients = cho_solve(factor, features.T @ (weight * target))
    leverage = weight * np.einsum("ij,ji->i", features, cho_solve(factor, features.T))
    return np.asarray(coefficients), np.asarray((features @ coefficients - leverage * target) / (1 - leverage))


def _standing_out(real: Floats, fake: Floats) -> float:
    """Threshold above which reals outnumber fakes most, in excess of 1/`STANDS_OUT` to 1, less one standard error."""
    real, fake = np.sort(real), np.sort(fake)
    thresholds = real[np.unique(np.linspace(0, real.size - 1, 200).astype(int))]
    p = (real.size - np.searchsorted(real, thresholds)) / real.size
    q = (fake.size - np.searchsorted(fake, thresholds) + 1) / (fake.size + 2)
    error = np.sqrt(p * (1 - p) / real.size + q * (1 - q) / fake.size / STANDS_OUT**2)
    return float(thresholds[int(np.argmax(p - q / STANDS_OUT - error))])
