"""How a step size falls over training."""

import math


def half_cosine(number: int, total: int) -> float:
    """Share of the step size that is left at step `number` of `total`: from 1 to 0 along half a cosine.

    Source: Loshchilov & Hutter (2017), without restarts.
    """
    return (1 + math.cos(math.pi * number / total)) / 2
