"""Coverage by nearest neighbours, where real and generated samples come from one distribution."""

import math


def expected_coverage(real: int, fake: int, k: int) -> float:
    """Expected share of reals with a generated sample nearer than their k-th real neighbour, a probability.

    Holds when: all samples are independent draws of one distribution without repeated values.
    Source: Naeem et al. (2020), equation 10: 1 − Π_{i<k} (n − 1 − i)/(n + m − 1 − i), as the k nearest of the others
    must all be real for a real to stay uncovered.
    """
    return 1 - math.prod((real - 1 - i) / (real + fake - 1 - i) for i in range(k))
