"""Both densities, the trained discriminator and the best one over a grid: the truth where the data are a mixture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, xlogy

from theodolite.data.mixtures import Mixture
from theodolite.gan.samples import TrainedGAN

Floats = NDArray[np.float64]
DRAWN = 400_000  # generated samples that p_θ is counted from
CELLS = {1: 200, 2: 100}  # a side, by dimension
EXPECTED = 10  # generated samples due in a cell, fewer than which may be missing by chance
MARGIN = 5.0  # spreads beyond the outermost centre


@dataclass(frozen=True)
class Landscape:
    """Cells of the line or the plane. An array has one axis a dimension, and one cell more at no place: all the rest.

    Attributes
    ----------
    edges : list of (cells + 1,) arrays
        Where cells begin and end along each axis.
    real : array
        P_r of every cell, exact.
    fake : array
        P_θ of every cell, counted.
    said : array
        D of the trained discriminator, a probability, at the middle of every cell.
    """

    edges: list[Floats]
    real: Floats
    fake: Floats
    said: Floats

    @property
    def middles(self) -> list[Floats]:
        """Middle of the cells along each axis."""
        return [(edge[1:] + edge[:-1]) / 2 for edge in self.edges]

    @property
    def volume(self) -> float:
        """Volume of a cell."""
        return float(np.prod([edge[1] - edge[0] for edge in self.edges]))

    @property
    def best(self) -> Floats:
        """D* = p_r/(p_r + p_θ) of every cell; NaN where both are nothing."""
        total = self.real + self.fake
        return np.divide(self.real, total, out=np.full_like(total, np.nan), where=total > 1 / DRAWN)

    def missed(self, tau: float) -> NDArray[np.bool_]:
        """Cells of Ω_τ that hold so much of the data that they are not empty by chance."""
        return (self.fake <= tau * self.real) & (self.real > EXPECTED / DRAWN)

    def missed_mass(self, tau: float) -> float:
        """P_r(Ω_τ) over all cells, a probability; those of the tails that are empty by chance count as missed."""
        return float(self.real[self.fake <= tau * self.real].sum())

    def overlap(self) -> float:
        """Mass that real and generated share over the cells and the rest, a probability."""
        rest = min(1 - self.real.sum(), 1 - self.fake.sum())
        return float(np.minimum(self.real, self.fake).sum() + rest)

    def best_value(self) -> float:
        """Value of the game at D*, in nats, over the cells and the rest."""
        real, fake = (np.append(cells.ravel(), max(1 - cells.sum(), 0.0)) for cells in (self.real, self.fake))
        total = np.maximum(real + fake, 1e-300)
        # Σ p_r log(p_r/(p_r + p_θ)) + p_θ log(p_θ/(p_r + p_θ))
        return float(np.sum(xlogy(real, real / total) + xlogy(fake, fake / total)))


def survey(trained: TrainedGAN, truth: Mixture, offset: float) -> Landscape:
    """Lay both densities and the trained discriminator out over the cells.

    Parameters
    ----------
    trained : TrainedGAN
        Whose generator is sampled.
    truth : Mixture
        What the data were drawn of, of one or two dimensions.
    offset : float
        Score at which D says 1/2; see `even_score`.
    """
    low, high = truth.centres.min(axis=0), truth.centres.max(axis=0)
    margin, cells = MARGIN * truth.spread, CELLS[truth.dimensions]
    edges = [np.linspace(a - margin, b + margin, cells + 1) for a, b in zip(low, high, strict=True)]
    drawn = trained.draw(DRAWN, "landscape")
    fake = np.histogramdd(drawn, bins=edges)[0] / DRAWN
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, truth.dimensions)
    said = expit(trained.score(points) - offset).reshape(fake.shape)
    return Landscape(edges, truth.cell_masses(edges), fake, said)


def even_score(real_scores: Floats, fake_scores: Floats) -> float:
    """Score c at which sigmoid(score − c) is the best probability that a sample is real, of all such c.

    A relativistic D tells differences only: at its optimum the score is log p_r/p_θ and any constant.

    Holds when: both sets have the weight of one half; the likelihood of a logistic model with an offset alone.
    Source: Jolicoeur-Martineau (2019); the derivative of the log-likelihood in c set to zero.
    """

    def excess(c: float) -> float:
        # mean D over reals and mean D over generated samples sum to 1 at the best c
        return float(expit(real_scores - c).mean() + expit(fake_scores - c).mean() - 1)

    low = min(real_scores.min(), fake_scores.min()) - 1.0
    high = max(real_scores.max(), fake_scores.max()) + 1.0
    return float(brentq(excess, low, high))
