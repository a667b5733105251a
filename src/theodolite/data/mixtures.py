"""Mixtures of Gaussians on the line and in the plane: known densities, so every audit can be held against the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

from theodolite.kernel.errors import UsageError

Floats = NDArray[np.float64]
BLOCK = 4096
NEAR = 3.0  # spreads: within so many a sample counts as one of the mode, as in Lin et al. (2018)
TAG = 0x6D69  # keeps these draws apart from those of other data with the same seed


@dataclass(frozen=True)
class Mixture:
    """A mixture of isotropic Gaussians of one spread.

    Attributes
    ----------
    name : str
        What it is called on the command line.
    centres : ndarray of shape (modes, dimensions)
        Means, in units of the data.
    weights : ndarray of shape (modes,)
        Probabilities, which sum to 1.
    spread : float
        Standard deviation of every mode in every direction.
    """

    name: str
    centres: Floats
    weights: Floats
    spread: float

    high_quality: ClassVar = f"lie within {NEAR:g} standard deviations of a mode"

    @property
    def modes(self) -> int:
        """Number of modes."""
        return len(self.centres)

    @property
    def dimensions(self) -> int:
        """Dimension of the space."""
        return int(self.centres.shape[1])

    def log_density(self, x: Floats) -> Floats:
        """Log density log p(x), in nats, at points of shape (n, dimensions).

        Holds when: the data are independent draws of the mixture.
        Source: Bishop (2006), Pattern Recognition and Machine Learning, equation 9.7.
        """
        squares = self._squares(x)
        log_peak = -0.5 * self.dimensions * np.log(2 * np.pi * self.spread**2)
        return np.asarray(logsumexp(np.log(self.weights) + log_peak - squares / 2, axis=1), dtype=np.float64)

    def density(self, x: Floats) -> Floats:
        """p(x), per unit of volume, at points of shape (n, dimensions)."""
        return np.exp(self.log_density(x))

    def cell_masses(self, edges: list[Floats]) -> Floats:
        """Probability of every cell of a grid, from the edges of its cells along each axis; one axis a dimension.

        Holds when: the modes are isotropic, so that each axis is on its own given the mode.
        Source: differences of the normal distribution function.
        """
        along = [
            np.diff(norm.cdf((np.asarray(cut)[:, None] - centres) / self.spread), axis=0)
            for cut, centres in zip(edges, self.centres.T, strict=True)
        ]
        # Σ over modes m of w_m · Π over axes of P(axis in its cell | m)
        cells = self.weights
        for axis in along:
            cells = cells[..., None, :] * axis
        return np.asarray(cells.sum(axis=-1), dtype=np.float64)

    def sample(self, count: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
        """Draw samples 0 … count−1: points (count, dimensions) and the mode of each.

        A sample depends on `seed` and its own number only, not on how many are drawn.
        """
        blocks = [self._block(seed, number) for number in range(-(-count // BLOCK))]
        points = np.concatenate([block[0] for block in blocks])[:count]
        return points, np.concatenate([block[1] for block in blocks])[:count]

    def nearest(self, x: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return the nearest mode of each point, and the distance to its centre in spreads."""
        squares = self._squares(x)
        return np.argmin(squares, axis=1), np.sqrt(squares.min(axis=1))

    def assign(self, x: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the nearest mode of each point, and whether its centre is within `NEAR` spreads."""
        mode, distance = self.nearest(x)
        return mode, distance <= NEAR

    def describe(self, mode: int) -> str:
        """Say where a mode is."""
        # + 0.0: no coordinate is written as −0
        centre = np.round(self.centres[mode], 1) + 0.0
        written = [f"{value:.1f}".removesuffix(".0" if centre.size == 1 else "").replace("-", "−") for value in centre]
        return f"at x = {written[0]}" if centre.size == 1 else f"at ({', '.join(written)})"

    def without(self, mode: int) -> "Mixture":
        """Return the mixture with one mode left out and the others weighted up to 1."""
        if not 0 <= mode < self.modes:
            raise UsageError(f"withhold={mode} names no mode of {self.name}: it has modes 0 to {self.modes - 1}")
        kept = np.arange(self.modes) != mode
        weights = self.weights[kept] / self.weights[kept].sum()
        return Mixture(f"{self.name} without mode {mode}", self.centres[kept], weights, self.spread)

    def _squares(self, x: Floats) -> Floats:
        """Squared distance to every centre in spreads, (n, modes)."""
        offsets = (np.asarray(x, dtype=np.float64)[:, None, :] - self.centres) / self.spread
        return np.asarray((offsets**2).sum(axis=2), dtype=np.float64)

    def _block(self, seed: int, number: int) -> tuple[Floats, NDArray[np.int64]]:
        """`BLOCK` samples at once: a draw per sample would be a hundred times slower."""
        random = np.random.default_rng([seed, TAG, number])
        modes = np.searchsorted(np.cumsum(self.weights)[:-1], random.random(BLOCK), side="right")
        points = self.centres[modes] + self.spread * random.standard_normal((BLOCK, self.dimensions))
        return points, modes.astype(np.int64)


def line() -> Mixture:
    """Three modes on the line, the last one small and apart: what a generator loses first."""
    return Mixture("line", np.array([[-3.0], [0.0], [8.0]]), np.array([0.5, 0.4, 0.1]), 0.5)


def ring8() -> Mixture:
    """Eight equal modes on a circle of radius 2, as Metz et al. (2017) have them, but ten times as wide.

    With their standard deviation of 0.02 modes can be counted but hardly looked into.
    """
    angles = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Mixture("ring8", centres, np.full(8, 1 / 8), 0.2)


def grid25() -> Mixture:
    """Twenty-five equal modes on a square grid of pitch 2, as Lin et al. (2018) have them, but four times as wide."""
    ticks = np.arange(-4.0, 5.0, 2.0)
    centres = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(25, 2)
    return Mixture("grid25", centres, np.full(25, 1 / 25), 0.2)


MIXTURES: dict[str, Callable[[], Mixture]] = {"line": line, "ring8": ring8, "grid25": grid25}
