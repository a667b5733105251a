import numpy as np
import pytest
from tests.linear_vae.test_incomplete import brute_force, problem
from tests.tolerances import assert_identity

from theodolite.linear_vae import filling
from theodolite.linear_vae.incomplete import Model
from theodolite.theory import ppca


def by_rows(rows, model):
    """Conditional moments of each row by the covariance of the observed entries, not by the precision."""
    mean, A, delta = model
    d = len(mean)
    C = A @ A.T + delta * np.eye(d)
    complete, scatter = [], np.zeros((d, d))
    for x, seen in zip(rows.values, rows.seen > 0, strict=True):
        gain = C[~seen][:, seen] @ np.linalg.inv(C[seen][:, seen])
        whole = np.where(seen, x, 0)
        whole[~seen] = mean[~seen] + gain @ (x - mean)[seen]
        complete.append(whole)
        scatter[np.ix_(~seen, ~seen)] += C[~seen][:, ~seen] - gain @ C[seen][:, ~seen]
    return np.mean(complete, axis=0), np.cov(np.transpose(complete), bias=True) + scatter / len(rows.values)


def test_the_expected_moments_are_those_of_each_rows_own_gaussian():
    rows, model = problem()
    filled = filling.fill(rows, model)
    mean, covariance = by_rows(rows, model)
    assert_identity(filled.mean, mean)
    assert_identity(filled.covariance, covariance)
    assert_identity(filled.log_likelihood, brute_force(rows, model)[0].sum())


@pytest.mark.parametrize("k", [1, 2, 6])
@pytest.mark.parametrize("noise", [None, 0.4])
def test_no_step_lowers_the_likelihood(k, noise):
    rows, model = problem(share=0.5)
    values = []
    for _ in range(30):
        filled = filling.fill(rows, model)
        values.append(filled.log_likelihood)
        model = filling.refitted(filled, k, noise)
    assert (np.diff(values)[1:] > 0).all()
    assert model.loadings.shape == (6, k)
    assert noise is None or model.noise == noise


def test_of_complete_rows_one_step_is_the_closed_form():
    rows, model = problem(share=0.0)
    rows = type(rows)(rows.values[1:], rows.seen[1:])
    fitted = filling.refitted(filling.fill(rows, model), 2, None)
    data = ppca.spectrum(rows.values)
    delta = ppca.learned_noise_variance(data.eigenvalues, 2)
    best = ppca.optimum(data, 2, delta, 1.0)
    assert_identity(fitted.mean, data.mean)
    assert_identity(fitted.noise, delta)
    assert_identity(fitted.loadings @ fitted.loadings.T, best.decoder @ best.decoder.T)


def test_blocks_of_rows_change_nothing(monkeypatch):
    rows, model = problem()
    whole = filling.fill(rows, model)
    monkeypatch.setattr(filling, "BLOCK", 5)
    for one, other in zip(whole, filling.fill(rows, model), strict=True):
        assert_identity(one, other)


def test_loadings_of_full_dimension_leave_no_direction_to_the_noise():
    rows, _ = problem()
    rng = np.random.default_rng(1)
    model = Model(np.zeros(6), rng.standard_normal((6, 6)), 0.1)
    assert_identity(filling.fill(rows, model).covariance, by_rows(rows, model)[1])
