"""Who fits, who calibrates, who is tested: no sample ever in two roles of one test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
TAG = 0xF01D


def training_fakes(reals: int, fakes: int) -> int:
    """How many of the generated samples fit the score; the others calibrate it.

    Calibration sets how small a missed mass can be named, so it gets two thirds at least, and all beyond two fakes a
    real.
    """
    return min(fakes // 3, 2 * reals)


@dataclass(frozen=True)
class Folds:
    """Reals in two halves, fakes in two roles, as indices.

    Each half is tested with a score fitted on the other half and the training fakes, and calibrated by the
    calibration fakes.
    """

    reals: tuple[Indices, Indices]
    training: Indices
    calibration: Indices

    @classmethod
    def draw(cls, reals: int, fakes: int, seed: int) -> "Folds":
        """Draw the roles at random: a function of the counts and the seed."""
        rng = np.random.default_rng([seed, TAG])
        order, fake_order = rng.permutation(reals), rng.permutation(fakes)
        cut = training_fakes(reals, fakes)
        return cls(
            reals=(np.sort(order[: reals // 2]), np.sort(order[reals // 2 :])),
            training=np.sort(fake_order[:cut]),
            calibration=np.sort(fake_order[cut:]),
        )
