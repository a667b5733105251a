import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tests.tolerances import IDENTITY, SINGLE, assert_identity, assert_single

from theodolite.linear_vae import missing
from theodolite.linear_vae.plan import REACHED
from theodolite.theory import elbo as theory
from theodolite.theory import ppca

SETTINGS = {"noise_variance": None, "prior_variance": 1.0, "max_iter": 500, "tol": 1e-9}


def gaps(n=60, d=5, k=2, share=0.3, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k)) @ rng.standard_normal((k, d)) + noise * rng.standard_normal((n, d)) + np.arange(d)
    return np.where(rng.random((n, d)) < share, np.nan, x)


def covariance(fit):
    U = fit.weights.decoder
    return fit.weights.prior_variance * U @ U.T + fit.weights.noise_variance * np.eye(len(U))


def row_by_row(X, mean, C):
    values = []
    for x in X:
        seen = ~np.isnan(x)
        values.append(multivariate_normal(mean[seen], C[np.ix_(seen, seen)]).logpdf(x[seen]) if seen.any() else 0.0)
    return np.array(values)


@pytest.fixture(params=["by filling", "by codes"])
def either_way(request, monkeypatch):
    monkeypatch.setattr(missing, "_filling_is_cheaper", lambda *_: request.param == "by filling")


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("noise", [None, 0.6])
def test_the_end_is_a_maximum_of_the_likelihood(noise):
    X = gaps()
    fit = missing.fit_missing(X, 2, **SETTINGS | {"noise_variance": noise})
    assert fit.converged
    assert (np.diff(fit.log_likelihoods) >= 0).all()
    assert_identity(fit.log_likelihoods[-1], row_by_row(X, fit.mean, covariance(fit)).mean())

    def descent(flat):
        U, delta = flat[5:15].reshape(5, 2), noise or np.exp(flat[15])
        return -row_by_row(X, flat[:5], U @ U.T + delta * np.eye(5)).mean()

    found = np.concatenate([fit.mean, fit.weights.decoder.ravel(), [np.log(fit.weights.noise_variance)]])
    best = minimize(descent, found, method="BFGS", options={"gtol": 1e-7})
    assert_single(-best.fun, fit.log_likelihoods[-1])
    assert -best.fun - fit.log_likelihoods[-1] <= SINGLE / 100


def test_both_ways_reach_the_same_maximum(monkeypatch):
    fits = []
    for filling in (True, False):
        monkeypatch.setattr(missing, "_filling_is_cheaper", lambda *_, choice=filling: choice)
        fits.append(missing.fit_missing(gaps(), 2, **SETTINGS))
    assert_single(fits[0].mean, fits[1].mean)
    assert_single(covariance(fits[0]), covariance(fits[1]))
    assert abs(fits[0].log_likelihoods[-1] - fits[1].log_likelihoods[-1]) <= 100 * IDENTITY


@pytest.mark.usefixtures("either_way")
def test_without_gaps_it_is_the_closed_form():
    X = gaps(share=0.0)
    fit = missing.fit_missing(X, 2, **SETTINGS | {"prior_variance": 0.3})
    data = ppca.spectrum(X)
    best = ppca.optimum(data, 2, ppca.learned_noise_variance(data.eigenvalues, 2), 0.3)
    assert fit.converged
    assert len(fit.log_likelihoods) == 1
    assert_identity(fit.mean, data.mean)
    assert_identity(fit.weights.decoder, best.decoder)
    assert_identity(fit.weights.encoder, best.encoder)
    assert_identity(fit.weights.encoder_covariance, best.encoder_covariance)
    assert_identity(fit.log_likelihoods[0], ppca.greatest_elbo(data.eigenvalues, 2, best.noise_variance))
    again = missing.fit_missing(X, 2, **SETTINGS, start=(np.zeros(5), best))
    assert_identity(again.weights.noise_variance, best.noise_variance)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_units_and_offsets_change_nothing(scale):
    X, offset = gaps(), 1e3
    one = missing.fit_missing(X, 2, **SETTINGS | {"max_iter": 20})
    other = missing.fit_missing(X * scale + offset * scale, 2, **SETTINGS | {"max_iter": 20, "prior_variance": 1e20})
    assert_single(other.mean / scale - offset, one.mean)
    assert_single(covariance(other) / scale**2, covariance(one))
    entries = np.mean(np.sum(~np.isnan(X), axis=1))
    assert_identity(other.log_likelihoods + entries * np.log(scale), one.log_likelihoods)


@pytest.mark.usefixtures("either_way")
def test_a_row_without_entries_is_kept_and_tells_nothing():
    X = gaps()
    X[:3] = np.nan
    with_them, without = (missing.fit_missing(part, 2, **SETTINGS) for part in (X, X[3:]))
    assert_single(with_them.mean, without.mean)
    assert_single(covariance(with_them), covariance(without))
    assert abs(with_them.log_likelihoods[-1] * 60 - without.log_likelihoods[-1] * 57) <= SINGLE / 10
    W = with_them.weights._replace(prior_variance=4.0)
    found = missing.posterior(X, with_them.mean, W)
    assert not found.means[:3].any()
    assert_identity(found.covariances[0], 4 * np.eye(2))
    assert not missing.log_likelihood_observed(X, with_them.mean, W)[:3].any()
    assert_identity(missing.impute(X, with_them.mean, W)[0], with_them.mean)


def test_what_is_said_of_a_model_is_true_row_by_row():
    X = gaps()
    mean, U = np.arange(5.0), np.random.default_rng(1).standard_normal((5, 2))
    weights = theory.Weights(U, U.T, np.eye(2), 0.3, 1.7)
    C = 1.7 * U @ U.T + 0.3 * np.eye(5)
    values = row_by_row(X, mean, C)
    found = missing.log_likelihood_observed(X, mean, weights)
    assert np.abs(found - values).max() <= IDENTITY / 100 * np.abs(values).max()
    z, filled = missing.posterior(X, mean, weights), missing.impute(X, mean, weights)
    assert_identity(missing.posterior_means(X, mean, weights), z.means)
    for x, at, spread, whole in zip(X, *z, filled, strict=True):
        seen = ~np.isnan(x)
        W, Sigma = theory.posterior(U[seen], 0.3, 1.7)
        assert_identity(at, W @ (x - mean)[seen])
        assert_identity(spread, Sigma)
        gain = C[np.ix_(~seen, seen)] @ np.linalg.inv(C[np.ix_(seen, seen)])
        assert_identity(whole[~seen], mean[~seen] + gain @ (x - mean)[seen])
        np.testing.assert_array_equal(whole[seen], x[seen])


def test_a_start_is_where_it_starts():
    X = gaps()
    first = missing.fit_missing(X, 2, **SETTINGS | {"max_iter": 5})
    on = missing.fit_missing(X, 2, **SETTINGS | {"max_iter": 3}, start=(first.mean, first.weights))
    whole = missing.fit_missing(X, 2, **SETTINGS | {"max_iter": 8})
    assert not first.converged
    assert_identity(np.concatenate([first.log_likelihoods, on.log_likelihoods[1:]]), whole.log_likelihoods)
    assert_single(covariance(on), covariance(whole))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 20),
    d=st.integers(1, 6),
    k=st.integers(1, 6),
    share=st.floats(0, 0.9),
    noise=st.none() | st.floats(1e-3, 10),
    seed=st.integers(0, 10**6),
)
@pytest.mark.parametrize("filling", [True, False])
def test_no_pattern_of_gaps_lowers_the_likelihood(filling, n, d, k, share, noise, seed):
    X = gaps(n, d, 2, share, seed)
    X[0] = np.arange(d)  # no column is empty
    X[1] = np.arange(d) + 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(missing, "_filling_is_cheaper", lambda *_: filling)
        fit = missing.fit_missing(X, min(k, d), noise_variance=noise, prior_variance=2.0, max_iter=15, tol=1e-9)
    # the terms of the likelihood are as large as the data's variance is in units of the noise
    size = 100 * np.nanvar(X) / fit.weights.noise_variance
    assert (np.diff(fit.log_likelihoods) >= -max(IDENTITY, size * np.finfo(float).eps)).all()
    assert all(np.isfinite(part).all() for part in (fit.mean, *fit.weights))


@pytest.mark.parametrize(
    ("spoil", "noise", "message"),
    [
        ((3, 1, np.inf), None, r"samples\[3, 1\] is infinite; a missing entry is NaN"),
        ((slice(None), 2, np.nan), None, "1 of 5 columns have no entry: 2; leave them out"),
        ((slice(None), slice(None), np.nan), None, "5 of 5 columns have no entry: 0, 1, 2, 3, 4; leave"),
        ((slice(None), slice(None), 7.0), None, "do not vary, so their noise cannot be learned"),
        ((0, 0, 0.0), 1e-20, "noise_variance=1e-20 is less than 1e-12 of the mean variance"),
    ],
)
def test_what_cannot_be_fitted_is_refused(spoil, noise, message):
    X = gaps()
    X[spoil[0], spoil[1]] = spoil[2]
    with pytest.raises(ValueError, match=message):
        missing.fit_missing(X, 2, **SETTINGS | {"noise_variance": noise})


def test_infinities_are_refused_wherever_a_model_is_used():
    fit = missing.fit_missing(gaps(), 2, **SETTINGS)
    X = gaps()
    X[0, 0] = -np.inf
    for use in (missing.posterior, missing.posterior_means, missing.log_likelihood_observed, missing.impute):
        with pytest.raises(ValueError, match="infinite"):
            use(X, fit.mean, fit.weights)


def test_data_that_do_not_vary_are_fitted_with_a_given_noise():
    X = np.full((6, 3), 2.0)
    X[0, 0] = np.nan
    fit = missing.fit_missing(X, 1, **SETTINGS | {"noise_variance": 0.5})
    assert_identity(fit.mean, np.full(3, 2.0))
    assert not fit.weights.decoder.any()


def test_the_cheaper_way_is_taken():
    few, many = np.ones((100, 50)), np.ones((100, 50))
    few[:, :2] = 0
    many[:, :40] = 0
    rows = [missing.Rows(seen, seen) for seen in (few, many)]
    assert [missing._filling_is_cheaper(rows[0], k) for k in (5, 20, 40)] == [False, True, True]
    assert [missing._filling_is_cheaper(rows[1], k) for k in (5, 20, 40)] == [False, False, True]


@pytest.mark.usefixtures("either_way")
def test_two_groups_of_columns_never_seen_together_do_not_hold_the_ascent_on_a_saddle():
    X = gaps(n=200, d=10, share=0.0, seed=1)
    X[:100, :5], X[100:, 5:] = np.nan, np.nan
    found = missing.fit_missing(X, 2, **SETTINGS | {"tol": 1e-2})
    rng = np.random.default_rng(0)
    given = found.weights._replace(decoder=rng.standard_normal((10, 2)), noise_variance=1.0)
    by_chance = missing.fit_missing(X, 2, **SETTINGS, start=(np.nanmean(X, axis=0), given))
    assert found.log_likelihoods[-1] > by_chance.log_likelihoods[-1] - REACHED
