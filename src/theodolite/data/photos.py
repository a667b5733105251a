"""The two photographs that scikit-learn carries: real, coloured, and there without a download."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images


@cache
def photos() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a temple in China and a flower.

    Returns
    -------
    tuple of two arrays (427, 640, 3)
        RGB, uint8; they are shared, and so cannot be written to.
    """
    temple, flower = (np.asarray(image, dtype=np.uint8) for image in load_sample_images().images)
    temple.setflags(write=False)
    flower.setflags(write=False)
    return temple, flower
