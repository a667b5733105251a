"""A discriminator from elsewhere: whether it may have been trained on the very samples that are audited."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from theodolite.coverage.members import Features, Scorer, Trees, ask

MOST = 4000  # samples of each kind
PERFECT = 0.99  # AUC of the given discriminator
WORSE = 0.05  # AUC by which samples out of reach of training must be harder
TAG = 0x917E


def memorised(scorer: Scorer, real: NDArray[Any], fake: NDArray[Any], seed: int) -> str | None:
    """Say so where a given discriminator ranks the audited reals as only one that knew them could, else None.

    It is held against trees that are fitted on one half of the samples and asked about the other. What cannot be known
    from samples: whether a discriminator is perfect because it has seen these reals, or because it sees what trees do
    not. A memory of a few reals, or a vague one, stays unseen as well.
    """
    rng = np.random.default_rng([seed, TAG])
    some = [x[np.sort(rng.permutation(len(x))[:MOST])] for x in (real, fake)]
    samples = np.concatenate(some)
    is_real = np.arange(len(samples)) < len(some[0])
    given = float(roc_auc_score(is_real, ask(scorer, samples)))
    if given < PERFECT:
        return None
    half = rng.random(len(samples)) < 0.5
    x = Features(samples[half], None, seed)
    trees = Trees(x(samples[half]), is_real[half], seed)
    honest = float(roc_auc_score(is_real[~half], trees.log_odds(x(samples[~half]))[:, 0]))
    if honest > given - WORSE:
        return None
    return (
        f"The given discriminator tells real from generated samples almost perfectly (AUC {given:.3f}), trees that had "
        f"not seen them do not (AUC {honest:.3f}): if it was trained on these very samples, no guarantee holds; leave "
        "it out, or audit with samples that it has not seen."
    )
