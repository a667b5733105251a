"""What a generator makes too little of, fixed as a set before any fresh sample is looked at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from theodolite.coverage.certificates import choose_threshold
from theodolite.coverage.discriminator import Score
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Floats
from theodolite.gan.blur import Blurred, usual_distance

Scoring = Callable[[Floats], Floats]
WIDTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 4.0)  # of the blur, in usual distances to the fifth neighbour
BLOCK = 8192  # samples scored at once
LARGEST_RATIO = 1e6
WORST = 0.1  # that q is taken for: where nothing at all is made well, the mass decides


@dataclass(frozen=True)
class Shortfall:
    """A set A = {score ≥ threshold}, and the ratio p_θ/p_r as a function of the score.

    Attributes
    ----------
    seen_by : str
        What scores, in words.
    score : callable
        From samples (n, *shape) to scores (n,).
    threshold : float
        From which on a sample is in A.
    real, generated : float
        P̂_r(A) and P̂_θ(A), from scores out of fold.
    ratio : callable
        From scores to p̂_θ/p̂_r.
    of_train : (n,)
        Out-of-fold scores of the train reals that it was found from.
    """

    seen_by: str
    score: Scoring
    threshold: float
    real: float
    generated: float
    ratio: Scoring
    of_train: Floats

    def inside(self, samples: Floats) -> NDArray[np.bool_]:
        """Return which samples are in A."""
        return in_blocks(self.score, samples) >= self.threshold


def find_shortfall(train: Floats, fake: Floats, detailed: Score, tau: float) -> Shortfall:
    """Choose what scores, and from which score on a sample is missed at τ; train reals and fakes alone decide.

    The choice is between the audit's D̂ and blurred densities of several widths. D̂ sees most, of an imperfect
    generator too much: where all is told by its detail all is missed, and no further generator of the same make would
    mend it. How well this make does is seen where it does anything: of the mass 1 − M that is not missed, it makes
    q = (1 − TV)/(1 − M). Taken is what has the largest M·q²: a large mass missed, and as well made as it must be.

    Parameters
    ----------
    train : (n, *shape)
        Train reals that `detailed` was fitted on.
    fake : (m, *shape)
        Generated samples that it was fitted on.
    detailed : Score
        The audit's D̂.
    tau : float
        A point is missed where p_θ ≤ τ·p_r.
    """
    best, most = None, -np.inf
    for seen_by, score, on_real, on_fake in _candidates(train, fake, detailed):
        threshold = choose_threshold(HeldOut(np.zeros(0), np.zeros(0), on_real, on_fake), tau)
        real, generated = float((on_real >= threshold).mean()), float((on_fake >= threshold).mean())
        value = mendable(real - generated / tau, _total_variation(on_real, on_fake))
        if best is None or value > most:
            most, ratio = value, ratio_of_score(on_real, on_fake)
            best = Shortfall(seen_by, score, threshold, real, generated, ratio, on_real)
    if best is None:
        raise ValueError("there is always a candidate")
    return best


def mendable(missed: float, total_variation: float) -> float:
    """M·q² with q = (1 − TV)/(1 − M), a pure number: how much is missed, and how well what is not missed is made."""
    if missed <= 0:
        return missed
    made_well = (1 - total_variation) / max(1 - missed, 1 - total_variation, 1e-12)
    return missed * max(made_well, WORST) ** 2


def _candidates(train: Floats, fake: Floats, detailed: Score) -> Iterator[tuple[str, Scoring, Floats, Floats]]:
    yield "the audit's D̂", detailed.log_odds, detailed.out_of_fold_real, detailed.out_of_fold_fake
    real, generated = _flat(train), _flat(fake)
    unit = usual_distance(real)
    for width in WIDTHS:
        blurred = Blurred(real, generated, width * unit)
        yield f"densities blurred by {width * unit:.3g}", _of_flat(blurred), *blurred.on_own()


def _of_flat(blurred: Blurred) -> Scoring:
    return lambda samples: blurred(_flat(samples))


def _flat(samples: Floats) -> Floats:
    return np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)


def _total_variation(on_real: Floats, on_fake: Floats) -> float:
    """Return the largest P̂_r(s ≥ t) − P̂_θ(s ≥ t) over thresholds t."""
    at = np.unique(on_real)
    real = 1 - np.searchsorted(np.sort(on_real), at, side="left") / on_real.size
    return float((real - 1 + np.searchsorted(np.sort(on_fake), at, side="left") / on_fake.size).max())


def ratio_of_score(on_real: Floats, on_fake: Floats) -> Scoring:
    """p_θ/p_r given the score: D of the score alone, which can only rise with it, by isotonic regression.

    Zadrozny and Elkan (2002) calibrate classifiers so.
    """
    is_real = np.repeat([1.0, 0.0], [on_real.size, on_fake.size])
    even = np.repeat([1 / on_real.size, 1 / on_fake.size], [on_real.size, on_fake.size])
    model = IsotonicRegression(out_of_bounds="clip").fit(np.concatenate([on_real, on_fake]), is_real, even)

    def ratio(scores: Floats) -> Floats:
        d = np.maximum(model.predict(scores), expit(-np.log(LARGEST_RATIO)))
        return np.asarray((1 - d) / d)

    return ratio


def in_blocks(score: Scoring, samples: Floats) -> Floats:
    """Score samples a block at a time, so that memory stays small."""
    blocks = [score(samples[start : start + BLOCK]) for start in range(0, len(samples), BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros(0)
