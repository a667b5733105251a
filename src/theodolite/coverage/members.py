"""What D̂ is stacked from: the features, and kinds of classifier that see different faults of a generator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it says nothing of its types

from theodolite.coverage.convolution import Convolution, are_images
from theodolite.coverage.distances import moments
from theodolite.coverage.marginals import Grids, Marginals
from theodolite.coverage.perceptron import Perceptron
from theodolite.coverage.prototypes import Prototypes
from theodolite.coverage.references import References
from theodolite.coverage.self_training import SelfTrained
from theodolite.kernel.errors import DataError

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]
Scorer = Callable[[NDArray[Any]], NDArray[Any]]

MOST_COLUMNS = 256  # more are replaced by their principal axes
PRINCIPAL_AXES = 64
SMALL_COVARIANCE = 1024  # columns
NEIGHBOURS = (1, 5)
MOST_FAKES, MOST_REALS = 3000, 5000  # that neighbours are looked for among
MOST_CENTRES = 2000  # of a kernel density estimate
BLOCK = 1024  # rows reduced at once
LARGEST_LOG_ODDS = 20.0


@dataclass(frozen=True)
class Inputs:
    """What the classifiers see: columns as they came, (samples, columns), and standardised ones with their norm.

    Of images also the axes of what a convolution sees.
    """

    raw: Floats
    scaled: Floats
    pieces: Floats | None = None

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, chosen: Flags) -> "Inputs":
        return Inputs(self.raw[chosen], self.scaled[chosen], None if self.pieces is None else self.pieces[chosen])


class Features:
    """Turns samples into `Inputs`; fitted on training samples only.

    Above `MOST_COLUMNS` columns, the first principal axes and the norm of what they leave out take the columns' place.
    """

    def __init__(self, samples: NDArray[Any], scorer: Scorer | None, seed: int = 0) -> None:
        self.scorer = scorer
        self.convolution = Convolution(samples, seed) if are_images(samples.shape) else None
        rows = samples.reshape(len(samples), -1)
        self.reduction = _principal(rows) if rows.shape[1] > MOST_COLUMNS else None
        columns = self._columns(rows)
        self.mean, spread = columns.mean(axis=0), columns.std(axis=0)
        # a column that is constant here keeps its unit, so that a sample which differs there is still seen
        self.spread = np.where(spread > 0, spread, 1.0)

    def __call__(self, samples: NDArray[Any]) -> Inputs:
        """Return what the classifiers see of `samples`."""
        columns = self._columns(samples.reshape(len(samples), -1))
        scaled = np.clip((columns - self.mean) / self.spread, -10.0, 10.0)
        parts = [scaled, np.log1p(np.linalg.norm(scaled, axis=1, keepdims=True))]
        if self.scorer is not None:
            parts.append(ask(self.scorer, samples)[:, None])
        pieces = None if self.convolution is None else self.convolution(samples)
        return Inputs(columns, np.concatenate(parts, axis=1), pieces)

    def _columns(self, rows: NDArray[Any]) -> Floats:
        if self.reduction is None:
            return np.asarray(rows, dtype=np.float64)
        return np.concatenate([self._reduced(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)])

    def _reduced(self, rows: NDArray[Any]) -> Floats:
        assert self.reduction is not None
        mean, axes = self.reduction
        off = rows - mean
        along = off @ axes.T
        rest = np.einsum("ij,ij->i", off, off) - np.einsum("ij,ij->i", along, along)
        return np.column_stack([along, np.sqrt(np.maximum(rest, 0.0))])


def _principal(rows: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean, and the first principal axes, (axes, columns)."""
    count, columns = min(PRINCIPAL_AXES, len(rows) - 1), rows.shape[1]
    if columns > SMALL_COVARIANCE:
        with np.errstate(invalid="ignore"):  # the shares of the variance, not used here, where there is none
            found = PCA(count, svd_solver="randomized", random_state=0).fit(np.asarray(rows, dtype=np.float64))
        return found.mean_, found.components_
    # exact is faster where the covariance is small, and needs the rows in double precision only block by block
    mean, covariance = moments(rows)
    axes = eigh(covariance, subset_by_index=(columns - count, columns - 1), overwrite_a=True)[1].T[::-1]
    # an eigenvector has no sign of its own: its largest entry is to be above 0
    largest = axes[np.arange(count), np.abs(axes).argmax(axis=1)]
    return mean, axes * np.where(largest < 0, -1.0, 1.0)[:, None]


def ask(scorer: Scorer, samples: NDArray[Any]) -> Floats:
    """Return what a given discriminator says, (samples,), or say in one line what is wrong with it."""
    try:
        scores = np.asarray(scorer(samples), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"the given discriminator returned no numbers: {str(error).splitlines()[0]}") from error
    if scores.size != len(samples) or not np.isfinite(scores).all():
        raise DataError(
            f"the given discriminator returned shape {scores.shape} for {len(samples)} samples; it must return one "
            "finite number for each"
        )
    return scores.reshape(-1)


class Member(Protocol):
    """One classifier of the stack, fitted when it is built."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None: ...

    def log_odds(self, x: Inputs) -> Floats:
        """Return log p̂_r/p̂_θ up to a constant, (samples, outputs)."""


class Linear:
    """Logistic regression: a shift of the mean or of the overall size."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        self.model = LogisticRegression(C=0.1, max_iter=1000, random_state=seed).fit(x.scaled, is_real)

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log-odds, (samples, 1)."""
        return np.asarray(self.model.decision_function(x.scaled))[:, None]


class Trees:
    """Histogram gradient boosting: changes along single columns, at any scale."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        model = HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.1, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
        # so many short parallel regions that on a busy machine threads wait for each other longer than they work
        with threadpool_limits(1, user_api="openmp"):
            self.model = model.fit(x.scaled, is_real)

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log-odds, (samples, 1)."""
        return np.asarray(self.model.decision_function(x.scaled))[:, None]


class Network:
    """A perceptron with one hidden layer: directions that no single column shows."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        self.model = Perceptron(x.scaled, is_real, seed)

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log-odds, (samples, 1)."""
        return np.clip(self.model.log_odds(x.scaled), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)[:, None]


class Neighbours:
    """Log ratio of the distances to the nearest fakes and reals: copies, and thin regions in many dimensions."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        self.columns = [min(k, int(is_real.sum()), int((~is_real).sum())) - 1 for k in NEIGHBOURS]
        centre = x.scaled.mean(axis=0)
        self.near = [References(x.scaled[kind], centre) for kind in _some(is_real, seed, MOST_REALS, MOST_FAKES)]
        self.least = 1e-6 * float(np.sqrt(x.scaled.var(axis=0).sum())) + 1e-12

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log ratios, (samples, neighbours)."""
        k = max(self.columns) + 1
        real, fake = (np.log(near.distances(x.scaled, k)[:, self.columns] + self.least) for near in self.near)
        return np.asarray(fake - real)


class Kernels:
    """Log ratio of two kernel density estimates: a region that is empty on one side, such as a missing class.

    On the columns as they came: where all pixels share one scale, standardised ones hide what is missing. The width
    is the usual distance to the fifth real neighbour.
    """

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        real, fake = (x.raw[kind] for kind in _some(is_real, seed, MOST_CENTRES, MOST_CENTRES))
        self.width = _usual_neighbour(real)
        self.near = [References(points, real.mean(axis=0), self.width) for points in (real, fake)]

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log ratio, (samples, 1)."""
        real, fake = (near.log_density(x.raw) for near in self.near)
        return np.clip(real - fake, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)[:, None]


def _some(is_real: Flags, seed: int, reals: int, fakes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which reals and fakes serve as references: at random, as many as distances to them are worth their time."""
    rng = np.random.default_rng([seed, 3])
    real, fake = rng.permutation(np.flatnonzero(is_real)), rng.permutation(np.flatnonzero(~is_real))
    return np.sort(real[:reals]), np.sort(fake[:fakes])


def _usual_neighbour(points: Floats) -> float:
    """Median distance to the fifth other point, never 0."""
    near = NearestNeighbors(n_neighbors=min(6, len(points))).fit(points)
    distance = float(np.median(near.kneighbors(points)[0][:, -1]))
    return distance if distance > 0 else float(points.std()) + 1e-12


class Clusters:
    """Log ratio of two mixtures around the means of clusters: a mode that is missing, however rare."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        self.model = Prototypes(x.scaled, is_real, seed)

    def log_odds(self, x: Inputs) -> Floats:
        """Return the log ratio, (samples, 1)."""
        return _tamed(self.model(x.scaled))[:, None]


class Columns:
    """Naive Bayes over histograms of each column: what is beyond the edge of the other side, or a little off in all."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        del seed
        self.model = Marginals(x.scaled, is_real)

    def log_odds(self, x: Inputs) -> Floats:
        """Return sum, largest and smallest of the columns' log ratios, (samples, 3)."""
        return _tamed(self.model(x.scaled))


class Rounding:
    """Values that keep to a grid on one side only: there the two distributions share nothing."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        del seed
        self.model = Grids(x.raw, is_real)

    def log_odds(self, x: Inputs) -> Floats:
        """Return which side's grid is left, (samples, 1): 1 that of the fakes, −1 that of the reals."""
        return self.model(x.raw)[:, None]


def _tamed(ratio: Floats) -> Floats:
    """A log ratio with its slope lessened beyond `LARGEST_LOG_ODDS`; cut off there, the surest could not be ranked."""
    beyond = np.maximum(np.abs(ratio) - LARGEST_LOG_ODDS, 0.0)
    return np.asarray(np.clip(ratio, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS) + np.sign(ratio) * np.log1p(beyond))


class Pieces:
    """A kernel machine on what a convolution sees: a class of images that is missing."""

    def __init__(self, x: Inputs, is_real: Flags, seed: int) -> None:
        self.model = SelfTrained(_pieces(x), is_real, seed)

    def log_odds(self, x: Inputs) -> Floats:
        """Return what it says before and after it has trained itself, (samples, 2)."""
        return self.model(_pieces(x))


def _pieces(x: Inputs) -> Floats:
    if x.pieces is None:
        raise ValueError("only images have pieces")
    return x.pieces


MEMBERS: tuple[type[Member], ...] = (Linear, Trees, Network, Neighbours, Kernels, Clusters, Columns)


def members_for(x: Inputs) -> tuple[type[Member], ...]:
    """Which classifiers can say something of such samples.

    The rounding of a pixel is that of its file, and no content.
    """
    return (*MEMBERS, Rounding) if x.pieces is None else (*MEMBERS, Pieces)
