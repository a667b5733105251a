"""The peers' numbers, side by side with ours: precision, recall, density and coverage by nearest neighbours."""

from typing import Any

from numpy.typing import NDArray

from theodolite.coverage.clouds import clouds
from theodolite.coverage.distances import frechet, frechet_unbiased, kernel_distance
from theodolite.coverage.neighbours import balls_both_ways, kth_neighbours
from theodolite.coverage.support import SupportSize, same_within, support
from theodolite.kernel.errors import UsageError
from theodolite.kernel.records import Record


class PeerMetrics(Record):
    """The peers' numbers for one pair of samples. They are estimates without a guarantee, and none names a sample.

    Attributes
    ----------
    neighbours : int
        k of the four numbers that follow.
    precision, recall, density, coverage : float
        See `prdc`.
    frechet, frechet_unbiased : float
        Fréchet distance as it is usually given, and read at infinitely many samples; squared units of the data.
    kernel, kernel_error : float
        Kernel distance and its standard error.
    support, real_support : SupportSize
        How many different samples the generator makes, and the same asked of the reals.
    """

    neighbours: int
    precision: float
    recall: float
    density: float
    coverage: float
    frechet: float
    frechet_unbiased: float
    kernel: float
    kernel_error: float
    support: SupportSize
    real_support: SupportSize


def peers(
    real: NDArray[Any], fake: NDArray[Any], k: int = 5, within: float | None = None, seed: int = 0
) -> PeerMetrics:
    """Measure what the peers measure, all in one call.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        At least 20 each.
    k : int
        Neighbours of precision, recall, density and coverage.
    within : float or None
        Distance up to which two samples count as the same; None takes half the usual distance of real neighbours.
    seed : int
        Of the shuffles.
    """
    kernel = kernel_distance(real, fake, seed=seed)
    within = same_within(real) if within is None else within
    return PeerMetrics(
        neighbours=k,
        **prdc(real, fake, k),
        frechet=frechet(real, fake),
        frechet_unbiased=frechet_unbiased(real, fake, seed),
        kernel=kernel.value,
        kernel_error=kernel.standard_error,
        support=support(fake, within),
        real_support=support(real, within),
    )


def prdc(real: NDArray[Any], fake: NDArray[Any], k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage by balls that reach to the k-th nearest neighbour, pure numbers.

    All but density lie in [0, 1]. They are estimates without a guarantee. Distances are exact and no matrix of all of
    them is made.

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        Memory-maps are read in blocks.
    k : int
        Neighbours; fewer than n and m.

    Returns
    -------
    dict
        ``precision`` and ``recall``: share of fakes within reach of a real, and of reals within reach of a fake
        (Kynkäänniemi et al. 2019). ``density`` and ``coverage``: how many reals reach a fake, over k, and the share of
        reals that reach a fake (Naeem et al. 2020). A point at the very end of a reach is not within it.

    Raises
    ------
    UsageError
        If k is not between 1 and the smaller count less one.
    DataError
        If a value is not a finite number, or the widths differ.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(500, 3))
    >>> prdc(points, points + 100)
    {'precision': 0.0, 'recall': 0.0, 'density': 0.0, 'coverage': 0.0}
    """
    fewest = min(len(real), len(fake))
    if not 1 <= k < fewest:
        raise UsageError(f"k={k} must lie between 1 and {fewest - 1}, one less than the samples")
    reals, fakes = clouds(real, fake)
    of_reals, of_fakes = balls_both_ways(reals, fakes, kth_neighbours(reals, k), kth_neighbours(fakes, k))
    return {
        "precision": float((of_reals.held_by > 0).mean()),
        "recall": float((of_fakes.held_by > 0).mean()),
        "density": float(of_reals.held_by.mean()) / k,
        "coverage": float((of_reals.holding > 0).mean()),
    }
