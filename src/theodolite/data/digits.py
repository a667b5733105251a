"""The embedded handwritten digits: 1,797 real scans of 8 × 8 pixels, and the split that every family shares."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from theodolite.kernel.errors import UsageError

SIDE = 8  # pixels
WHITE = 16.0  # the scans count the dark ones among 4 × 4 finer pixels
SPLIT = 0x5917  # stream of the random split


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the digits and what each one shows.

    Returns
    -------
    images : ndarray of shape (1797, 8, 8)
        Darkness of each pixel in [0, 1], in steps of 1/16.
    labels : ndarray of shape (1797,)
        The digit, 0 to 9.

    Notes
    -----
    The test part of Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, as scikit-learn ships it.
    """
    bunch: Any = load_digits()
    return np.asarray(bunch.images, dtype=np.float64) / WHITE, np.asarray(bunch.target, dtype=np.int64)


def split(n: int, held_out_share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the ids 0 … n − 1 at random into those to train on and those held out.

    Parameters
    ----------
    n : int
        Number of samples.
    held_out_share : float
        Share in [0, 1) to hold out; rounded to whole samples, at least one where the share is positive.
    seed : int
        The split is a function of `n`, the share and this seed alone.

    Returns
    -------
    train_ids, held_out_ids : ndarray of int64
        Disjoint, each in increasing order, together all ids.

    Raises
    ------
    UsageError
        If the share is outside [0, 1) or leaves nothing to train on.
    """
    if not 0 <= held_out_share < 1:
        raise UsageError(f"held_out_share={held_out_share} must lie in [0, 1)")
    held_out = max(round(n * held_out_share), 1 if held_out_share > 0 else 0)
    if held_out >= n:
        raise UsageError(f"held_out_share={held_out_share} of {n} samples leaves none to train on; give more samples")
    order = np.random.default_rng([seed, SPLIT]).permutation(n)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
