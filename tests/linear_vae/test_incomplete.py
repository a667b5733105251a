import numpy as np
import pytest
from scipy.stats import multivariate_normal
from tests.tolerances import IDENTITY, assert_identity

from theodolite.linear_vae import incomplete
from theodolite.linear_vae.incomplete import Model, Rows


def problem(n=40, d=6, k=2, share=0.4, seed=0):
    """Rows with gaps, one row without entries and one complete, and a model that does not fit them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k)) @ rng.standard_normal((k, d)) + 0.5 * rng.standard_normal((n, d)) + np.arange(d)
    seen = rng.random((n, d)) > share
    seen[0], seen[1] = False, True
    model = Model(rng.standard_normal(d), rng.standard_normal((d, k)), 0.6)
    return Rows(np.where(seen, x, 0), seen.astype(float)), model


def brute_force(rows, model):
    """Row by row: log-density of the observed entries, and mean and covariance of z, from the joint Gaussian."""
    mean, A, delta = model
    values, means, covariances = [], [], []
    for x, seen in zip(rows.values, rows.seen > 0, strict=True):
        C = A[seen] @ A[seen].T + delta * np.eye(seen.sum())
        density = multivariate_normal(mean[seen], C).logpdf(x[seen]) if seen.any() else 0.0
        values.append(density)
        means.append(A[seen].T @ np.linalg.solve(C, (x - mean)[seen]))
        covariances.append(np.eye(A.shape[1]) - A[seen].T @ np.linalg.solve(C, A[seen]))
    return np.array(values), np.array(means), np.array(covariances)


def textbook(rows, model):
    """One iteration, entry by entry: each feature regressed on (z, 1), δ from the expected squares, then expanded."""
    A = model.loadings
    d, k = A.shape
    _, z, covariances = brute_force(rows, model)
    coefficients, error = np.zeros((d, k + 1)), 0.0
    for j in range(d):
        second, cross = np.zeros((k + 1, k + 1)), np.zeros(k + 1)
        where = np.flatnonzero(rows.seen[:, j])
        for i in where:
            second[:k, :k] += covariances[i]
            second += np.outer(np.append(z[i], 1), np.append(z[i], 1))
            cross += rows.values[i, j] * np.append(z[i], 1)
        coefficients[j] = np.linalg.inv(second) @ cross
        for i in where:
            error += (rows.values[i, j] - coefficients[j] @ np.append(z[i], 1)) ** 2
            error += coefficients[j, :k] @ covariances[i] @ coefficients[j, :k]
    Omega = covariances.mean(axis=0) + np.cov(z.T, bias=True)
    root = np.linalg.cholesky(Omega)
    return Model(coefficients @ np.append(z.mean(axis=0), 1), coefficients[:, :k] @ root, error / rows.seen.sum())


def test_likelihood_and_posterior_are_those_of_each_rows_own_gaussian():
    rows, model = problem()
    found = incomplete.infer(rows, model)
    values, means, covariances = brute_force(rows, model)
    # a hundred times below the tolerance
    assert np.abs(found.log_likelihoods - values).max() <= IDENTITY / 100 * np.abs(values).max()
    assert_identity(found.means, means)
    assert_identity(found.covariances, covariances)
    missed = rows.seen * (rows.values - model.mean - means @ model.loadings.T)
    assert_identity(found.missed, (missed**2).sum(axis=1))


def test_a_row_without_entries_keeps_the_prior_and_says_nothing():
    rows, model = problem()
    found = incomplete.infer(Rows(*(part[:1] for part in rows)), model)
    assert not found.means.any()
    assert_identity(found.covariances[0], np.eye(2))
    assert found.log_likelihoods[0] == 0.0


def test_a_step_is_the_textbooks():
    rows, model = problem()
    found = incomplete.improved(model, incomplete.moments(rows, model), 0.0)
    expected = textbook(rows, model)
    assert_identity(found.mean, expected.mean)
    assert_identity(found.loadings @ found.loadings.T, expected.loadings @ expected.loadings.T)
    assert_identity(found.noise, expected.noise)


@pytest.mark.parametrize("learned", [True, False])
def test_no_step_lowers_the_likelihood(learned):
    rows, model = problem(share=0.6)
    values = []
    for _ in range(40):
        found = incomplete.moments(rows, model)
        values.append(found.log_likelihood)
        model = incomplete.improved(model, found, 1e-8 if learned else None)
    assert (np.diff(values) > 0).all()
    assert model.noise == 0.6 or learned


def test_the_noise_does_not_fall_below_its_floor():
    rows, model = problem(n=5, share=0.1)
    for _ in range(30):
        model = incomplete.improved(model, incomplete.moments(rows, model), 0.3)
    assert model.noise == 0.3


def test_blocks_of_rows_change_nothing(monkeypatch):
    rows, model = problem()
    whole = incomplete.moments(rows, model)
    monkeypatch.setattr(incomplete, "BLOCK", 3 * 9)
    assert [len(block.values) for block in rows.blocks(3)] == [3] * 13 + [1]
    for one, other in zip(whole, incomplete.moments(rows, model), strict=True):
        assert_identity(one, other)
