"""How many latent dimensions: those with which a model best predicts entries it has not seen.

The score is the squared error of a held-out entry, predicted from what else is known of its row. It has a minimum,
unlike the likelihood of what was fitted; and no column outweighs all others in it, as one that hardly varies does in
the held-out likelihood, where at a noise near zero a single odd entry costs millions of nats. Chosen is the least k
whose error is above the smallest by no more than one standard error of their difference, row by row: the difference of
two models is known far better than the error of each.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.linear_vae.incomplete import Rows, infer
from theodolite.linear_vae.missing import ascend, mean_filled, standardised
from theodolite.theory import ppca

Matrix = NDArray[np.float64]

ROW_FOLDS, ENTRY_FOLDS = 5, 10
ENOUGH_ENTRIES = 5_000  # held out in all; further folds would not change the choice
LEAST_INDEPENDENCE = 1e-12  # share of an entry's variance that the others do not explain: below it there is rounding
RESOLUTION = 8  # candidates next to the choice differ from it by at most an eighth, or by one


class Selection(NamedTuple):
    """Choice of k: ``n_components``, the ``candidates`` tried in increasing order, and the ``scores`` of each.

    A score is minus the mean squared error of an entry, in squared units of the data: greater is better.
    """

    n_components: int
    candidates: NDArray[np.int64]
    scores: Matrix


def choose_components(
    samples: Matrix,
    *,
    noise_variance: float | None = None,
    max_iter: int = 20,
    tol: float = 1e-2,
    random_state: int = 0,
) -> Selection:
    """Choose the latent dimensions by the error of held-out entries.

    Parameters
    ----------
    samples : (n, d) array
        NaN where an entry is missing.
    noise_variance : float or None
        δ = η_d²; None to learn it for each k.
    max_iter : int
        Iterations at most for each fold and k, where entries are missing.
    tol : float
        Rise of the likelihood at which they end, in nats per sample.
    random_state : int
        Of the folds.

    Returns
    -------
    Selection
        Complete data are cut into five folds by rows, and each entry of a held-out row is predicted from its others;
        all k, from 1 to the rank of the training sets at most, cost one eigendecomposition a fold. Where entries are
        missing, tenths of the observed ones are held out, as many tenths as make 5,000; the candidates are powers of
        two and d, and then halves of the gaps beside the choice.

    Raises
    ------
    ValueError
        If there are fewer than three rows with an entry, or as `missing.fit_missing`.
    """
    X = np.asarray(samples, float)
    X = X[~np.isnan(X).all(axis=1)]
    if len(X) < 3:
        raise ValueError(f"n_components cannot be chosen from {len(X)} rows with entries; give it, or at least 3 rows")
    rows, _, scale = standardised(X, noise_variance)
    noise = None if noise_variance is None else noise_variance / scale**2
    generator = np.random.default_rng(random_state)
    if rows.seen.all():
        errors, entries = _complete(rows.values, noise, generator), X.size
    else:
        errors, entries = _incomplete(rows, noise, generator, max_iter, tol)
    candidates = np.array(sorted(errors))
    per_row = np.array([errors[k] for k in candidates])
    scores = -(scale**2) * per_row.sum(axis=1) / entries
    return Selection(int(candidates[_least_good_enough(per_row)]), candidates, scores)


def _least_good_enough(errors: Matrix) -> int:
    """First candidate whose errors (candidates, rows) are within one standard error of the best one's, in pairs."""
    best = errors.sum(axis=1).argmin()
    excess = errors - errors[best]
    standard_error = excess.std(axis=1, ddof=1) * np.sqrt(excess.shape[1])
    return int(np.argmax(excess.sum(axis=1) <= standard_error))


def _complete(values: Matrix, noise: float | None, generator: np.random.Generator) -> dict[int, Matrix]:
    """Squared errors of each row for every k, from one eigendecomposition a fold."""
    n, d = values.shape
    folds = generator.permutation(n) % min(ROW_FOLDS, n)
    largest = min(d, n - int(np.sum(folds == 0)) - 1)  # fold 0 has no fewer rows than the others
    errors = {k: np.zeros(n) for k in range(1, largest + 1)}
    for fold in np.unique(folds):
        data = ppca.spectrum(values[folds != fold])
        for k, error in enumerate(_along_spectrum(data, values[folds == fold], largest, noise), start=1):
            errors[k][folds == fold] = error
    return errors


def _along_spectrum(data: ppca.Spectrum, held_out: Matrix, largest: int, noise: float | None) -> Iterable[Matrix]:
    """Squared errors of held-out complete rows for k = 1, 2, …: each k adds one term to the precision K.

    The error of an entry is [K (x − mean)]_j / K_jj (Dubrule 1983), K = V diag(1/λ − 1/δ) Vᵀ + I/δ over the first k.
    """
    deviations = held_out - data.mean
    codes = deviations @ data.eigenvectors
    explained, scaled = np.zeros_like(deviations), np.zeros_like(deviations)
    share, scaled_share = np.zeros(held_out.shape[1]), np.zeros(held_out.shape[1])
    for k in range(1, largest + 1):
        delta = ppca.learned_noise_variance(data.eigenvalues, k) if noise is None else noise
        # beyond a given δ no direction is used any more
        if data.eigenvalues[k - 1] > delta:
            axis, value = data.eigenvectors[:, k - 1], data.eigenvalues[k - 1]
            part = np.outer(codes[:, k - 1], axis)
            explained, scaled = explained + part, scaled + part / value
            share, scaled_share = share + axis**2, scaled_share + axis**2 / value
        independence = np.maximum(1 - share, 0) + delta * scaled_share
        errors = (deviations - explained + delta * scaled) / np.maximum(independence, LEAST_INDEPENDENCE)
        yield np.sum(errors**2, axis=1)


def _incomplete(
    rows: Rows, noise: float | None, generator: np.random.Generator, max_iter: int, tol: float
) -> tuple[dict[int, Matrix], int]:
    """Squared errors of each row for a ladder of k and for what lies beside the best; how many entries they are of."""
    folds = _entry_folds(rows.seen > 0, generator)
    count = int(np.clip(np.ceil(ENOUGH_ENTRIES * ENTRY_FOLDS / rows.seen.sum()), 1, ENTRY_FOLDS))
    hidden = [folds == fold for fold in range(count)]
    parts = [Rows(np.where(hide, 0, rows.values), np.where(hide, 0, rows.seen)) for hide in hidden]

    def errors_of(k: int) -> Matrix:
        errors = np.zeros(len(rows.values))
        for hide, part in zip(hidden, parts, strict=True):
            # each from the same kind of start as the fit itself: from the end of another k it would end elsewhere
            model, _, _ = ascend(part, mean_filled(part, k, noise), k, noise, max_iter=max_iter, tol=tol)
            codes = np.concatenate([infer(block, model).means for block in part.blocks(k)])
            errors += np.sum(np.where(hide, rows.values - model.mean - codes @ model.loadings.T, 0) ** 2, axis=1)
        return errors

    return _search(errors_of, rows.seen.shape[1]), int(sum(hide.sum() for hide in hidden))


def _entry_folds(seen: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each observed entry, −1 of the others; each column's entries are spread evenly, a single one is kept."""
    # rank of each entry among the observed ones of its column, in random order
    keys = np.where(seen, generator.random(seen.shape), 2.0)
    ranks = np.argsort(np.argsort(keys, axis=0), axis=0)
    folds = (ranks + generator.integers(ENTRY_FOLDS, size=seen.shape[1])) % ENTRY_FOLDS
    return np.where(seen & (seen.sum(axis=0) > 1), folds, -1)


def _search(errors_of: Callable[[int], Matrix], largest: int) -> dict[int, Matrix]:
    """Errors at powers of two and the largest k, then at halves of the gaps beside the choice."""
    errors = {k: errors_of(k) for k in [*(2**p for p in range(largest.bit_length()) if 2**p < largest), largest]}
    while True:
        candidates = sorted(errors)
        choice = _least_good_enough(np.array([errors[k] for k in candidates]))
        around = candidates[max(choice - 1, 0) : choice + 2]
        middles = [
            (low + high) // 2 for low, high in pairwise(around) if high - low > max(1, candidates[choice] // RESOLUTION)
        ]
        if not middles:
            return errors
        errors.update((k, errors_of(k)) for k in middles)
