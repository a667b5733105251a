"""Three digits in one image, one a colour: a thousand modes of real scans, each told by a judge of single digits."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from theodolite.data.digits import SIDE, digits

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

STACKED_DIGITS = "stacked-digits"  # what they are called on the command line
SURE = 0.9  # probability above which the judge's word on a digit counts
PLACES = np.array([100, 10, 1])  # of the three digits in the number of a mode
LANDMARKS = 800
KERNEL_WIDTH = 0.2  # inverse squared distance; scans of one digit are about 2 apart
STIFFNESS = 1000.0  # inverse weight of the ridge: sure of 99.8% of the scans, and of less than 0.1% of noise
TAG = 0x57AC  # keeps these draws apart from those of other data with the same seed


class StackedDigits:
    """The thousand modes 000 to 999 of images (8, 8, 3), each colour one scanned digit.

    Source: Metz et al. (2017), Unrolled generative adversarial networks, section 3.3.1, there of larger digits; that a
    sample counts only where the judge is sure of all three is ours: told by its likeliest digits alone, noise too
    shows hundreds of modes.

    Attributes
    ----------
    modes : int
        A thousand.
    weights : ndarray of shape (1000,)
        Probability of each: the digits of the scans are as good as equally frequent.
    """

    modes = 1000
    high_quality = f"show three digits, each with a judge surer than {SURE:g}"

    def __init__(self) -> None:
        share = np.bincount(digits()[1], minlength=10) / len(digits()[1])
        self.weights: Floats = np.einsum("i,j,k->ijk", share, share, share).ravel()

    def assign(self, images: Floats) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the mode of each image (n, 8, 8, 3), and whether the judge is sure of all its digits."""
        single = np.moveaxis(np.asarray(images, dtype=np.float64), -1, 1).reshape(-1, SIDE * SIDE)
        probability = np.asarray(_judge().predict_proba(single))
        digit, sure = probability.argmax(axis=1), probability.max(axis=1) > SURE
        return digit.reshape(-1, 3) @ PLACES, sure.reshape(-1, 3).all(axis=1)

    def describe(self, mode: int) -> str:
        """Write the three digits of a mode."""
        return f"{mode:03d}"


def stack(images: Floats, labels: Ids, count: int, seed: int) -> tuple[Floats, Ids]:
    """Draw images of three digits, each an independent uniform draw among the given scans.

    Parameters
    ----------
    images, labels : (n, 8, 8), (n,)
        Scans and what they show.
    count : int
        Images to draw.
    seed : int
        The draws are a function of it, of `count` and of the scans alone.

    Returns
    -------
    stacked : (count, 8, 8, 3)
    modes : (count,) int64
        0 to 999: the digit of the first colour is its hundreds.
    """
    chosen = np.random.default_rng([seed, TAG]).integers(0, len(images), (count, 3))
    return np.moveaxis(images[chosen], 1, -1), labels[chosen] @ PLACES


@cache
def _judge() -> Any:
    """Logistic regression over a Gaussian kernel's features: far from every scan it is sure of nothing."""
    images, labels = digits()
    kernel = Nystroem(gamma=KERNEL_WIDTH, n_components=LANDMARKS, random_state=0)
    return make_pipeline(kernel, LogisticRegression(C=STIFFNESS, max_iter=2000)).fit(
        images.reshape(len(images), -1), labels
    )
