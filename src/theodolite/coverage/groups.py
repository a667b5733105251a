"""How much of the data a generator misses in each group: of clusters that the audit finds, and of given labels."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.certificates import choose_threshold
from theodolite.coverage.clusters import FEWEST, Cells, Expected
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Flags, Floats
from theodolite.coverage.result import FromBelow, Group
from theodolite.kernel.errors import DataError, UsageError
from theodolite.theory.coverage import certified_missed_mass
from theodolite.theory.gaussian import NORMAL_95

Samples = NDArray[Any]
Indices = NDArray[np.intp]

MOST_LABELS = 1000
EXAMPLES = 8
NOWHERE = -1


def check_groups(groups: Any, count: int) -> NDArray[Any]:
    """Return one label a real sample, or say in one line what is wrong with them."""
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise DataError(f"groups have shape {labels.shape}; one label is needed for each of {count:,} real samples")
    if labels.dtype.kind not in "biuUSf" or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        raise DataError(f"groups hold {labels.dtype}; labels are whole numbers or words, and none may be missing")
    if (different := np.unique(labels).size) > MOST_LABELS:
        raise UsageError(f"groups hold {different:,} different labels; at most {MOST_LABELS:,} can be told apart")
    return labels


def find_groups(
    fits: tuple[HeldOut, ...],
    folds: Folds,
    real: Samples,
    fake: Samples,
    labels: NDArray[Any] | None,
    missed: Flags,
    tau: float,
    confidence: float,
) -> tuple[tuple[Group, ...], Indices]:
    """Group what is missed, and certify of each group how much of the data it holds that the generator misses.

    *A cluster* is a cell C of the data space: the points nearest to one centre. Centres are found among the reals
    that one D̂ was fitted on and calls missed out of fold; thresholds t are chosen there too. For A = C ∩ {D̂ ≥ t}

        P_r(Ω_τ ∩ C) ≥ P_r(A ∩ Ω_τ) = P_r(A) − P_r(A outside Ω_τ) ≥ P_r(A) − P_θ(A)/τ,

    because outside Ω_τ p_r < p_θ/τ. The reals of the other half and the calibrating fakes, which had no part in C
    and t, bound P_r(A) from below and P_θ(A) from above (Clopper and Pearson).

    *A label* y belongs to the reals alone; generated samples have none. For any set A

        P_r(Y = y, X ∈ Ω_τ) ≥ P_r(Y = y, A) − P_r(A outside Ω_τ) ≥ P_r(Y = y, A) − P_θ(A)/τ,

    and A is where the labels of the nearest reals of the fitted half let y be expected: that keeps P_θ(A) small, and
    costs power where it is wrong, never validity. Either half certifies, and the better bound is kept.

    All bounds hold together at the stated confidence: the error probability is shared out evenly over clusters and
    labels (Bonferroni). How many clusters there are is decided by the fitted half, and which of them are too small for
    a bound above 0, so that they need no share; labels are the user's, and one that the fitted half lacks has the
    bound 0.

    (The second half cannot certify the same cells: their centres were found among its reals.)

    Parameters
    ----------
    fits, folds
        Held-out scores, and who had which role.
    real, fake : array (n, …), (m, …)
    labels : array (n,) or None
    missed : bool array (n,)
        Named missed.

    Returns
    -------
    groups : tuple of Group
        Clusters, the largest first; then labels in their order.
    cluster : int array (n,)
        Cluster of each real that is named missed; −1 of the others.
    """
    rows, others = real.reshape(len(real), -1), fake.reshape(len(fake), -1)
    parts = [
        _Part(fit, rows, others, tested, fitted, folds, tau)
        for fit, tested, fitted in zip(fits, folds.reals, folds.reals[::-1], strict=True)
    ]
    cells = parts[0].cells(rows) if missed.any() else None
    names, codes = np.unique(labels, return_inverse=True) if labels is not None else (np.zeros(0), np.zeros(0, int))
    score = np.zeros(len(rows))
    for part in parts:
        score[part.tested] = part.fit.real
    found: list[Group] = []
    cluster = np.full(len(rows), NOWHERE, dtype=np.intp)
    worth: list[int] = []
    if cells is not None:
        cluster[missed] = _largest_first(cells, cells(rows[missed]))
        parts[0].fall(cells)
        alone = 1 - (1 - confidence) / (1 + names.size)
        worth = [place for place in range(len(cells)) if parts[0].promises(place, alone)]
    each = 1 - (1 - confidence) / max(len(worth) + names.size, 1)
    if cells is not None:
        found += _clusters(parts[0], worth, cluster, len(cells), score, each)
    if labels is not None:
        for part in parts:
            part.fall(Expected(rows[part.fitted], codes[part.fitted]))
        found += _labels(parts, names, codes, missed, score, each)
    return tuple(found), cluster


class _Part:
    """One D̂, what it was fitted on and what certifies; and which region each sample with a high score falls into."""

    def __init__(
        self, fit: HeldOut, rows: Samples, others: Samples, tested: Indices, fitted: Indices, folds: Folds, tau: float
    ) -> None:
        self.fit, self.tested, self.fitted, self.tau = fit, tested, fitted, tau
        self.threshold = choose_threshold(fit, tau)
        # nothing below is in any set, so that few samples need a region
        floor = min(self.threshold, -0.5 * float(np.log(tau)))
        self.high = {
            "real": (rows, tested, fit.real, fit.real >= floor),
            "fake": (others, folds.calibration, fit.fake, fit.fake >= floor),
            "training_real": (rows, fitted, fit.training_real, fit.training_real >= floor),
            "training_fake": (others, folds.training, fit.training_fake, fit.training_fake >= floor),
        }
        self.region: dict[str, Indices] = {}

    def cells(self, rows: Samples) -> Cells | None:
        called = self.fitted[self.fit.training_real >= self.threshold]
        return Cells(rows[called]) if called.size >= FEWEST else None

    def fall(self, where: Callable[[Samples], Indices]) -> None:
        for name, (rows, chosen, scores, high) in self.high.items():
            region = np.full(scores.size, NOWHERE, dtype=np.intp)
            if high.any():
                region[high] = where(rows[chosen[high]])
            self.region[name] = region

    def promises(self, region: int, each: float) -> bool:
        """Whether as many tested reals as there were fitted ones, and no fake, would be certified."""
        share = (self.region["training_real"] == region).mean()
        n, m = self.fit.real.size, self.fit.fake.size
        return bool(certified_missed_mass(share * n, n, 0, m, self.tau, each) > 0)

    def certify(self, region: int, each: float, of: Flags | None = None) -> FromBelow:
        """Bound the missed mass of a region; `of` says which reals count as its own, without it all do."""
        inside = {name: found == region for name, found in self.region.items()}
        if of is not None:
            inside["real"] = inside["real"] & of[self.tested]
            inside["training_real"] = inside["training_real"] & of[self.fitted]
        t = _threshold(
            self.fit.training_real[inside["training_real"]],
            self.fit.training_real.size,
            self.fit.training_fake[inside["training_fake"]],
            self.fit.training_fake.size,
            self.tau,
        )
        n, m = self.fit.real.size, self.fit.fake.size
        hits = int((self.fit.real[inside["real"]] >= t).sum())
        leaks = int((self.fit.fake[inside["fake"]] >= t).sum())
        lower = float(certified_missed_mass(hits, n, leaks, m, self.tau, each))
        p, q = (hits + 2) / (n + 4), (leaks + 2) / (m + 4)  # as in `certificates`
        error = NORMAL_95 * float(np.sqrt(p * (1 - p) / n + q * (1 - q) / m / self.tau**2))
        return FromBelow(lower=lower, estimate=max(hits / n - leaks / m / self.tau, lower), uncertainty=error)


def _threshold(real: Floats, reals: int, fake: Floats, fakes: int, tau: float) -> float:
    """Choose t as `certificates.choose_threshold` does, among the scores of one region."""
    if not real.size:
        return np.inf
    thresholds, fake = np.unique(real), np.sort(fake)
    p = (real.size - np.searchsorted(np.sort(real), thresholds, side="left")) / reals
    q = (fake.size - np.searchsorted(fake, thresholds, side="left") + 1) / (fakes + 2)
    error = np.sqrt(p * (1 - p) / reals + q * (1 - q) / fakes / tau**2)
    return float(thresholds[int(np.argmax(p - q / tau - 2 * error))])


def _largest_first(cells: Cells, found: Indices) -> Indices:
    """Put the cells into the order of how many they hold, and number what was found in them anew."""
    order = np.argsort(-np.bincount(found, minlength=len(cells)), kind="stable")
    cells.centres = cells.centres[order]
    return np.asarray(np.argsort(order)[found])


def _clusters(
    part: _Part, worth: list[int], cluster: Indices, cells: int, score: Floats, each: float
) -> Iterator[Group]:
    for place in range(cells):
        named = np.flatnonzero(cluster == place)
        mass = part.certify(place, each)
        yield Group(
            kind="cluster",
            name=f"group {place + 1}",
            samples=named.size,
            named=named.size,
            missed_mass=mass if place in worth else mass.model_copy(update={"lower": 0.0}),
            examples=_highest(named, score),
        )


def _labels(
    parts: list[_Part], names: NDArray[Any], codes: Indices, missed: Flags, score: Floats, each: float
) -> Iterator[Group]:
    half = 1 - (1 - each) / len(parts)
    for code, name in enumerate(names):
        of = codes == code
        masses = [part.certify(code, half, of) for part in parts]
        lower = max(mass.lower for mass in masses)
        yield Group(
            kind="label",
            name=str(name),
            samples=int(of.sum()),
            named=int((of & missed).sum()),
            missed_mass=FromBelow(
                lower=lower,
                estimate=max(float(np.mean([mass.estimate for mass in masses])), lower),
                uncertainty=float(np.sqrt(np.mean([mass.uncertainty**2 for mass in masses]))),
            ),
            examples=_highest(np.flatnonzero(of & missed), score),
        )


def _highest(places: Indices, score: Floats) -> tuple[int, ...]:
    return tuple(int(place) for place in places[np.argsort(-score[places], kind="stable")][:EXAMPLES])
