"""Distributions of the sanity checks: how each is drawn, and its density where there is one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]
Random = np.random.Generator
N = 1000


class Law(NamedTuple):
    """A distribution: how it is drawn, and its log density up to what it shares with the law it is compared with."""

    draw: Callable[[int, Random], Floats]
    log_density: Callable[[Floats], Floats]


def inside(flags: NDArray[np.bool_]) -> Floats:
    """Log of an indicator."""
    with np.errstate(divide="ignore"):
        return np.log(flags)


def mixture(centres: Any, spread: Any, weights: Any = None) -> Law:
    """Gaussians with independent coordinates; (modes, d) centres and one spread, or one for each coordinate."""
    mu = np.atleast_2d(np.asarray(centres, float))
    w = np.full(len(mu), 1 / len(mu)) if weights is None else np.asarray(weights, float) / np.sum(weights)
    sigma = np.broadcast_to(np.asarray(spread, float), mu.shape[1])

    def draw(n: int, rng: Random) -> Floats:
        return mu[rng.choice(len(mu), n, p=w)] + sigma * rng.standard_normal((n, mu.shape[1]))

    def log_density(x: Floats) -> Floats:
        # Σ over the coordinates of −z²/2 − log σ, a mode at a time
        modes = [-0.5 * (((x - centre) / sigma) ** 2).sum(axis=1) - np.log(sigma).sum() for centre in mu]
        return np.asarray(logsumexp(np.stack(modes, axis=1) + inside(w), axis=1))

    return Law(draw, log_density)


def gaussian(d: int, mean: float = 0.0, spread: float = 1.0) -> Law:
    """Gaussian with one mean and one spread in every coordinate."""
    return mixture(np.full((1, d), mean), spread)


def with_outlier(law: Law, place: Floats) -> Law:
    """One point more, which the density does not know."""
    return Law(lambda n, rng: np.concatenate([law.draw(n, rng), place[None]]), law.log_density)


def with_heavy_tail(law: Law) -> Law:
    """A second coordinate of Pareto's law with index 1.01, shared by both sides."""
    return Law(
        lambda n, rng: np.column_stack([law.draw(n, rng), 1 + rng.pareto(1.01, n)]), lambda x: law.log_density(x[:, :1])
    )


def box(d: int, start: float) -> Law:
    """Uniform on a cube with sides of length 1."""
    return Law(
        lambda n, rng: rng.uniform(start, start + 1, (n, d)),
        lambda x: inside(((x >= start) & (x <= start + 1)).all(axis=1)),
    )


def sphere(d: int, radius: float) -> Law:
    """Uniform on the surface of a sphere."""

    def draw(n: int, rng: Random) -> Floats:
        z = rng.standard_normal((n, d))
        return np.asarray(radius * z / np.linalg.norm(z, axis=1, keepdims=True))

    return Law(draw, lambda x: inside(np.abs(np.linalg.norm(x, axis=1) - radius) < 1e-9))


def in_ball(n: int, d: int, rng: Random) -> Floats:
    """Points uniform in the unit ball."""
    z = rng.standard_normal((n, d))
    return np.asarray(z / np.linalg.norm(z, axis=1, keepdims=True) * rng.random((n, 1)) ** (1 / d))


def ball(radius: float) -> Law:
    """Uniform in a ball of three dimensions."""
    return Law(lambda n, rng: radius * in_ball(n, 3, rng), lambda x: inside(np.linalg.norm(x, axis=1) <= radius))


def torus(tube: float) -> Law:
    """A ring of radius 1 around the ball, which it does not touch."""

    def draw(n: int, rng: Random) -> Floats:
        disc = tube * in_ball(n, 2, rng)
        angle = rng.uniform(0, 2 * np.pi, n)
        return np.column_stack([(1 + disc[:, 0]) * np.cos(angle), (1 + disc[:, 0]) * np.sin(angle), disc[:, 1]])

    return Law(draw, lambda x: inside(np.hypot(np.hypot(x[:, 0], x[:, 1]) - 1, x[:, 2]) <= tube))


def numbers(scale: float, rounded: bool) -> Law:
    """Normal numbers as they are, or rounded to integers; the two share nothing."""

    def draw(n: int, rng: Random) -> Floats:
        x = scale * rng.standard_normal((n, 1))
        return np.round(x) if rounded else x

    return Law(draw, lambda x: inside((x == np.round(x)).all(axis=1) == rounded))


class Pair(NamedTuple):
    """One point of a check: what is real, what is generated, how many of each; whether the reals are drawn anew."""

    real: Law
    fake: Law
    n: int = N
    m: int = N
    anew: bool = False
