"""Mending a generator by a further component: on what to train it, how much of it to mix in, what is certified of it.

Letters: p_r, p_θ densities of real and generated samples; r = p_θ/p_r; A a set that the generator misses; q, Q density
and distribution of the further component; β its share of the mixture (1 − β)·P_θ + β·Q; n real samples.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theodolite.theory.coverage import clopper_pearson_lower, clopper_pearson_upper

Floats = NDArray[np.floating[Any]]
HALVINGS = 40  # of an interval of probabilities: far below any other error


def boosting_weights(ratio: ArrayLike, share: float) -> Floats:
    """Weights w of real samples, probabilities, w ∝ (λ − (1 − β)·r)₊: what the further component should make of them.

    λ ≤ 1 makes the mean of (λ − (1 − β)·r)₊ equal to β. Among all q this one brings (1 − β)·p_θ + β·q closest to p_r
    in any f-divergence.

    Holds when: the samples are draws of p_r, ``ratio`` is p_θ/p_r at them, and 0 < β ≤ 1 (``share``).
    Source: Tolstikhin et al. (2017), AdaGAN, section 3.1 of the preprint: the component Q*_β and its λ*, not their Q†.

    Examples
    --------
    >>> boosting_weights([0.0, 2.0], 0.5).tolist()
    [1.0, 0.0]
    """
    β = share
    s = (1 - β) * np.asarray(ratio, dtype=float)
    n = s.size
    ordered = np.sort(s)
    # with the k smallest above zero, (kλ − Σ s)/n = β
    λ = (n * β + np.cumsum(ordered)) / np.arange(1, n + 1)
    # the k sought is the largest one whose own term is above zero
    k = int(np.flatnonzero(ordered < λ)[-1])
    w = np.maximum(λ[k] - s, 0.0)
    return np.asarray(w / w.sum())


def share_due(real: float, generated: float, component: float) -> float:
    """β, a probability: the share of the further component with which the mixture gives a set A what is due.

    Solves (1 − β)·P_θ(A) + β·Q(A) = P_r(A); 0 where nothing is lacking, 1 where even all of it is too little.

    Holds when: the arguments are P_r(A), P_θ(A) and Q(A).
    Source: linear in β.

    Examples
    --------
    >>> share_due(0.1, 0.0, 0.8)
    0.125
    """
    lacking = real - generated
    if lacking <= 0:
        return 0.0
    return lacking / max(component - generated, lacking)


def likeliest_share(ratio: ArrayLike, further: ArrayLike) -> float:
    """β, a probability, under which samples of p_r are likeliest as draws of (1 − β)·p_θ + β·q.

    As the samples grow in number this is the mixture of the least KL(p_r ‖ ·), which weighs what is made too seldom:
    what is made too often a later rejection can take away.

    Holds when: ``ratio`` and ``further`` are p_θ/p_r and q/p_r at draws of p_r, (n,); either may be off by one factor
    that is the same for both and any x.
    Source: maximum likelihood; the mean log of a linear function is concave in β, so that its slope has one root.

    Examples
    --------
    >>> round(likeliest_share([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 4.0]), 6)
    0.25
    """
    r, q = (np.asarray(values, dtype=float) for values in (ratio, further))
    seen = (r > 0) | (q > 0)
    r, q = r[seen], q[seen]

    def slope(β: float) -> float:
        return float(((q - r) / ((1 - β) * r + β * q)).sum())

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        β = (low + high) / 2
        low, high = (β, high) if slope(β) > 0 else (low, β)
    return (low + high) / 2


def likeliest_share_kept(ratio: ArrayLike, further: ArrayLike) -> float:
    """β, a probability, as `likeliest_share` has it once all that lies off p_r is rejected from the mixture.

    Of p_θ then the mass P_θ(p_r > 0) = E r is left, of q the mass E q/p_r: the likeliest share of what is left of q is
    brought back to a share of all candidates.

    Holds when: as for `likeliest_share`, but no factor may be off.
    Source: KL(p_r ‖ ·) of the mixture given p_r > 0, with E over p_r.

    Examples
    --------
    >>> round(likeliest_share_kept([0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]), 6)
    0.2
    """
    r, q = (np.asarray(values, dtype=float) for values in (ratio, further))
    left, more = float(r.mean()), float(q.mean())
    if left == 0 or more == 0:
        return float(left == 0)
    β = likeliest_share(r / left, q / more)
    return β / more / (β / more + (1 - β) / left)


def made_at_least(real_hits: int, real_count: int, fake_hits: int, fake_count: int, confidence: float) -> float:
    """Lower bound on P_θ(A)/P_r(A), a pure number: of what is due in A, so much is made.

    Holds when: A was fixed without the counted samples, and these are independent. Above the truth with probability at
    most 1 − confidence, whatever A is.
    Source: Clopper & Pearson (1934) for each probability, at (1 − confidence)/2.
    """
    each = 1 - (1 - confidence) / 2
    lower = float(clopper_pearson_lower(fake_hits, fake_count, each))
    return lower / float(clopper_pearson_upper(real_hits, real_count, each))


def made_at_most(real_hits: int, real_count: int, fake_hits: int, fake_count: int, confidence: float) -> float:
    """Upper bound on P_θ(A)/P_r(A), a pure number, infinite where no real sample was seen in A.

    Holds when: as for `made_at_least`; below the truth with probability at most 1 − confidence.
    Source: Clopper & Pearson (1934) for each probability, at (1 − confidence)/2.
    """
    each = 1 - (1 - confidence) / 2
    upper = float(clopper_pearson_upper(fake_hits, fake_count, each))
    lower = float(clopper_pearson_lower(real_hits, real_count, each))
    return upper / lower if lower > 0 else float("inf")
