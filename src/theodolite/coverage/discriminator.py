"""D̂, an estimate of D*: a stack of classifiers that never scores a sample it was fitted on.

A bad D̂ costs power and never validity: nothing that the audit guarantees rests on it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from theodolite.coverage.members import Features, Flags, Floats, Inputs, Member, Scorer, members_for

INNER_FOLDS = 3
INNER_FOLDS_OF_FEW_IMAGES, FEW = 6, 2000  # a missed class then has a few tens of images: more of them in each fit


@dataclass(frozen=True)
class Score:
    """A fitted D̂. Higher means more real; the log-odds are at even prior odds.

    Log-odds of different fits are not comparable at the precision the tests need: rank within one fit, never across
    two.

    Attributes
    ----------
    out_of_fold_real, out_of_fold_fake : array
        Log-odds of the training samples, each from members that did not see it: good for choosing thresholds.
    """

    features: Features
    stacks: tuple[tuple[Member, ...], ...]
    weights: Floats
    intercept: float
    out_of_fold_real: Floats
    out_of_fold_fake: Floats

    def log_odds(self, samples: NDArray[Any]) -> Floats:
        """Return log p̂_r/p̂_θ, (samples,)."""
        x = self.features(samples)
        outputs = np.mean([_outputs(stack, x) for stack in self.stacks], axis=0)
        return np.asarray(outputs @ self.weights + self.intercept)


def fit_score(real: NDArray[Any], fake: NDArray[Any], *, scorer: Scorer | None = None, seed: int = 0) -> Score:
    """Fit D̂ on real and generated samples.

    The members are fitted three times on two thirds (of few images six times on five sixths), and combined by a
    logistic regression on the parts they did not see (Wolpert 1992; weights not negative, Breiman 1996).

    Parameters
    ----------
    real, fake : array (n, …), (m, …)
        Training samples; none of them may be tested with this score.
    scorer : callable or None
        A discriminator from elsewhere, ``samples -> (samples,)``: one more feature.
    seed : int
        Of the members' own randomness and of the inner folds.
    """
    samples = np.concatenate([real, fake])
    is_real = np.arange(len(samples)) < len(real)
    del real, fake  # of a caller that does not keep them, the memory goes
    features = Features(samples, scorer, seed)
    x = features(samples)
    del samples
    inner = _inner_folds(is_real, _how_many_folds(x, is_real), seed)
    stacks = [
        tuple(kind(x[inner != fold], is_real[inner != fold], seed) for kind in members_for(x))
        for fold in range(inner.max() + 1)
    ]
    parts = [_outputs(stack, x[inner == fold]) for fold, stack in enumerate(stacks)]
    unseen = np.zeros((len(x), parts[0].shape[1]))
    for fold, part in enumerate(parts):
        unseen[inner == fold] = part
    weights, intercept = _combine(unseen, is_real)
    log_odds = unseen @ weights + intercept
    return Score(features, tuple(stacks), weights, intercept, log_odds[is_real], log_odds[~is_real])


def _how_many_folds(x: Inputs, is_real: Flags) -> int:
    fewest = min(int(is_real.sum()), int((~is_real).sum()))
    few_images = x.pieces is not None and fewest >= 2 * INNER_FOLDS_OF_FEW_IMAGES and len(x) <= FEW
    return INNER_FOLDS_OF_FEW_IMAGES if few_images else INNER_FOLDS


def _inner_folds(is_real: Flags, count: int, seed: int) -> NDArray[np.intp]:
    """Fold of each training sample; reals and fakes are each spread evenly."""
    rng = np.random.default_rng([seed, 1])
    inner = np.zeros(len(is_real), dtype=np.intp)
    for kind in (is_real, ~is_real):
        inner[kind] = rng.permutation(int(kind.sum())) % count
    return inner


def _outputs(stack: tuple[Member, ...], x: Inputs) -> Floats:
    return np.concatenate([member.log_odds(x) for member in stack], axis=1)


def _combine(outputs: Floats, is_real: Flags) -> tuple[Floats, float]:
    """Logistic regression with weights ≥ 0; its intercept is brought from the odds n/m of the samples to even odds."""
    spread = outputs.std(axis=0) + 1e-12
    z = np.column_stack([outputs / spread, np.ones(len(outputs))])
    sign = np.where(is_real, 1.0, -1.0)
    ridge = np.append(np.ones(outputs.shape[1]), 0.0) / len(z)

    def loss(w: Floats) -> tuple[float, Floats]:
        margin = sign * (z @ w)
        value = np.logaddexp(0.0, -margin).mean() + 0.5 * float(ridge @ w**2)
        slope = -(z * (sign * expit(-margin))[:, None]).mean(axis=0) + ridge * w
        return float(value), slope

    bounds = [(0.0, None)] * outputs.shape[1] + [(None, None)]
    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    prior_log_odds = float(np.log(is_real.sum() / (~is_real).sum()))
    return w[:-1] / spread, float(w[-1]) - prior_log_odds
