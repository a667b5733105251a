"""A discriminator from elsewhere: whether it may have been trained on the very samples that are audited."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it says nothing of its types

from theodolite.coverage.members import Features, Flags, Floats, Scorer, Trees, ask

MOST = 3000  # samples of each kind
WORSE = 0.05  # AUC by which samples out of reach of training must be harder …
ERRORS = 3.0  # … and in standard errors
TAG = 0x917E


def memorised(scorer: Scorer, real: NDArray[Any], fake: NDArray[Any], seed: int) -> str | None:
    """Say so where a given discriminator tells the audited samples apart as only one that knew them could, else None.

    What it knows of samples in general can be learned; what it remembers of these cannot. So two pupils learn on one
    half of the samples and are asked about the other: one from the truth, and one from what the discriminator itself
    says. An honest discriminator may be far better than the first, as it has seen more; then the second comes near it.
    If it beats both, it knows these samples, or it sees what the pupils cannot see: which of the two, samples do not
    tell. A memory of a few reals, or a vague one, stays unseen as well.
    """
    rng = np.random.default_rng([seed, TAG])
    some = [x[np.sort(rng.permutation(len(x))[:MOST])] for x in (real, fake)]
    samples = np.concatenate(some)
    is_real = np.arange(len(samples)) < len(some[0])
    scores = ask(scorer, samples)
    given = _auc(is_real, scores)
    half = np.empty(len(samples), dtype=bool)
    for kind in (is_real, ~is_real):
        half[kind] = rng.permutation(int(kind.sum())) % 2 == 0
    rows = samples.reshape(len(samples), -1)
    best = max(_learned(pupil, rows, is_real, scores, half, seed) for pupil in (_from_truth, _from_its_answers))
    fewest = min(map(len, some))
    # no estimate of an AUC A from so many samples has a variance above A·(1 − A)/fewest (Birnbaum 1956)
    error = np.sqrt((given * (1 - given) + best * (1 - best)) / fewest)
    if given - best <= max(WORSE, ERRORS * error):
        return None
    return (
        f"The given discriminator tells real from generated samples (AUC {given:.3f}) as none does that had not seen "
        f"them (AUC {best:.3f} at most, by what is learned from the samples or from its own answers): if it was "
        "trained on these very samples, no guarantee holds; leave it out, or audit with samples that it has not seen."
    )


def _learned(
    pupil: Callable[..., Floats], rows: Floats, is_real: Flags, scores: Floats, half: Flags, seed: int
) -> float:
    """AUC of what was learned on one half and asked about the other, the mean of both ways."""
    found = []
    for learned in (half, ~half):
        x = Features(rows[learned], None, seed)
        seen, asked = x(rows[learned]), x(rows[~learned])
        found.append(_auc(is_real[~learned], pupil(seen, is_real[learned], scores[learned], asked, seed)))
    return float(np.mean(found))


def _from_truth(seen: Any, is_real: Flags, scores: Floats, asked: Any, seed: int) -> Floats:
    del scores
    return Trees(seen, is_real, seed).log_odds(asked)[:, 0]


def _from_its_answers(seen: Any, is_real: Flags, scores: Floats, asked: Any, seed: int) -> Floats:
    """A line, and trees on what it leaves; on normal scores, for only the order matters."""
    del is_real
    target = norm.ppf(rankdata(scores) / (scores.size + 1))
    line = Ridge(1.0).fit(seen.scaled, target)
    trees = HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    with threadpool_limits(1, user_api="openmp"):  # as in `Trees`
        trees.fit(seen.scaled, target - line.predict(seen.scaled))
        return np.asarray(line.predict(asked.scaled) + trees.predict(asked.scaled))


def _auc(is_real: Flags, scores: Floats) -> float:
    return float(roc_auc_score(is_real, scores))
