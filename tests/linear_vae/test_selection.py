import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.data.digits import digits
from theodolite.linear_vae import selection
from theodolite.linear_vae.selection import choose_components
from theodolite.theory import ppca


def known_rank(n=300, d=12, k=4, seed=0, share=0.0):
    """Samples of a linear VAE with k latent dimensions, the weakest as strong as the noise."""
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.standard_normal((d, k)))
    x = rng.standard_normal((n, k)) * np.linspace(3, 1.5, k) @ directions.T + rng.standard_normal((n, d)) / 2 + 5
    return np.where(rng.random((n, d)) < share, np.nan, x)


@pytest.mark.parametrize("rank", [1, 4, 7])
@pytest.mark.parametrize("seed", range(4))
def test_a_known_rank_is_found(rank, seed):
    assert choose_components(known_rank(k=rank, seed=seed), random_state=seed).n_components == rank


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_known_rank_is_found_with_gaps(rank, share):
    found = [choose_components(known_rank(k=rank, d=8, share=share, seed=seed)).n_components for seed in range(3)]
    assert np.median(found) == rank


def test_every_entry_of_a_held_out_row_is_predicted_from_its_others():
    rng = np.random.default_rng(0)
    training, held_out = rng.standard_normal((30, 5)) * [3, 2, 1, 1, 1], rng.standard_normal((4, 5))
    data = ppca.spectrum(training)
    for noise in (None, 1.5):
        for k, errors in enumerate(selection._along_spectrum(data, held_out, 5, noise), start=1):
            delta = ppca.learned_noise_variance(data.eigenvalues, k) if noise is None else noise
            U = ppca.optimum(data, k, delta, 1.0).decoder
            C = U @ U.T + delta * np.eye(5)
            expected = np.zeros(4)
            for j in range(5):
                others = np.arange(5) != j
                gain = np.linalg.solve(C[others][:, others], C[others, j])
                expected += (held_out[:, j] - data.mean[j] - (held_out - data.mean)[:, others] @ gain) ** 2
            if delta > 1e-6:  # a noise at the floor leaves nothing to compare but rounding
                assert_identity(errors, expected)


def test_scores_are_errors_of_entries_in_the_datas_units():
    x = known_rank()
    one, other = choose_components(x), choose_components(100 * x)
    assert other.n_components == one.n_components
    # with all directions kept the noise is at its floor, and what is left is rounding
    assert_identity(other.scores[:-1], 1e4 * one.scores[:-1])
    np.testing.assert_array_equal(one.candidates, np.arange(1, 13))
    # predicted from the others, an entry is off by at least the noise of its own, a quarter, and by less than it varies
    assert -np.var(x, axis=0).mean() < one.scores[3] < -0.25
    assert one.scores.argmax() + 1 >= one.n_components


def test_the_least_that_is_not_clearly_worse_is_chosen():
    same, worse = np.array([1.0, 2.0, 3.0, 2.0]), np.array([2.0, 3.1, 4.0, 2.9])
    noisy = np.array([1.5, 1.6, 3.5, 1.5])  # on the whole a little worse, row by row now better, now worse
    assert selection._least_good_enough(np.array([worse, noisy, same, worse])) == 1
    assert selection._least_good_enough(np.array([worse, worse, same])) == 2
    assert selection._least_good_enough(np.array([same, same])) == 0


@pytest.mark.parametrize(("best", "largest"), [(1, 1), (1, 64), (5, 64), (23, 64), (64, 64), (700, 1000)])
def test_the_search_ends_within_an_eighth_of_the_best(best, largest):
    tried = []

    def errors_of(k):
        tried.append(k)
        return np.abs(np.log(k / best)) + np.array([0.0, 1e-9, -1e-9])

    errors = selection._search(errors_of, largest)
    nearest = min(errors, key=lambda k: errors[k].sum())
    assert abs(nearest - best) <= best // selection.RESOLUTION
    assert len(tried) == len(set(tried)) <= 20


def test_folds_of_entries_leave_something_in_every_column():
    seen = np.random.default_rng(0).random((50, 6)) < 0.5
    seen[:, 0] = False
    seen[7, 0] = True
    seen[:, 1] = False
    seen[:2, 1] = True
    folds = selection._entry_folds(seen, np.random.default_rng(1))
    assert (folds[~seen] == -1).all()
    assert folds[7, 0] == -1
    assert (folds[seen][folds[seen] >= 0] < selection.ENTRY_FOLDS).all()
    for fold in range(selection.ENTRY_FOLDS):
        left = seen & (folds != fold)
        assert left.any(axis=0).all()
        assert np.abs((folds == fold).sum(axis=0)[2:] - seen.sum(axis=0)[2:] / selection.ENTRY_FOLDS).max() < 1
    assert np.unique(folds[seen]).size == selection.ENTRY_FOLDS + 1


def test_the_choice_is_a_function_of_its_seed():
    x = known_rank(n=60, share=0.2)
    one, again, other = (choose_components(x, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.scores, again.scores)
    assert not np.array_equal(one.scores, other.scores)


def test_a_given_noise_is_used():
    # noise above all but two variances: further dimensions change nothing, so the least of the best is two
    x = known_rank(k=4, n=2000)
    assert choose_components(x, noise_variance=4.0).n_components < choose_components(x).n_components


def test_few_rows_and_constant_columns():
    x = known_rank(n=5)
    x[:, 0] = 1.0
    chosen = choose_components(x)
    assert chosen.candidates.max() <= 3
    assert np.isfinite(chosen.scores).all()
    gaps = known_rank(n=12, d=4, k=1, share=0.2)
    gaps[3] = np.nan
    assert 1 <= choose_components(gaps).n_components <= 4


def test_too_few_rows_are_refused():
    x = known_rank(n=4)
    x[:2] = np.nan
    with pytest.raises(ValueError, match="cannot be chosen from 2 rows with entries; give it, or at least 3 rows"):
        choose_components(x)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "bar"), [(0.1, 0.1471), (0.3, 0.1742)])
def test_digits_are_filled_in_as_well_as_by_regressions(share, bar):
    # the bars are scikit-learn's IterativeImputer on the same gaps: benchmarks/linear_vae_missing.md
    from theodolite.linear_vae.missing import fit_missing, impute

    x = digits()[0].reshape(-1, 64)
    hole = np.random.default_rng(0).random(x.shape) < share
    gaps = np.where(hole, np.nan, x)
    k = choose_components(gaps).n_components
    fit = fit_missing(gaps, k, noise_variance=None, prior_variance=1.0, max_iter=200, tol=1e-2)
    assert np.sqrt(np.mean((impute(gaps, fit.mean, fit.weights) - x)[hole] ** 2)) <= bar
