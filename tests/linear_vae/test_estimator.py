import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.tolerances import assert_identity, assert_sampling, assert_single

from theodolite.data.digits import digits
from theodolite.linear_vae.estimator import LinearVAE
from theodolite.linear_vae.plan import REACHED

IRIS = load_iris().data


@parametrize_with_checks([LinearVAE(), LinearVAE(n_components=1, noise=0.5, prior_scale=2.0, ddof=1)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_noise_covariance_and_score_are_those_of_scikit_learns_probabilistic_pca(k):
    ours, theirs = LinearVAE(k, ddof=1).fit(IRIS), PCA(k, svd_solver="full").fit(IRIS)
    assert_identity(ours.noise_variance_, theirs.noise_variance_)
    assert_identity(ours.explained_variance_, theirs.explained_variance_)
    assert_identity(ours.get_covariance(), theirs.get_covariance())
    assert_identity(ours.get_precision(), theirs.get_precision())
    assert_identity(ours.score_samples(IRIS), theirs.score_samples(IRIS))


@pytest.mark.parametrize("scale", [0.3, 1.0, 20.0])
def test_the_bound_is_the_likelihood_whatever_the_prior(scale):
    model = LinearVAE(2, prior_scale=scale).fit(IRIS)
    assert_identity(model.elbo(IRIS), model.score_samples(IRIS))
    assert_identity(model.score(IRIS), LinearVAE(2).fit(IRIS).score(IRIS))


def test_all_components_give_the_sample_covariance():
    model = LinearVAE(4).fit(IRIS)
    assert_identity(model.get_covariance(), np.cov(IRIS.T, ddof=0))
    assert_identity(model.elbo(IRIS), model.score_samples(IRIS))


def test_data_of_lower_rank_get_the_least_noise():
    random = np.random.default_rng(0)
    flat = random.standard_normal((50, 2)) @ random.standard_normal((2, 6))
    model = LinearVAE(3).fit(flat)
    assert_identity(model.noise_variance_, 1e-8 * flat.var(axis=0).mean())
    assert model.n_active_ == 2
    assert_single(model.inverse_transform(model.transform(flat)), flat)


def test_wide_data():
    wide = np.random.default_rng(0).standard_normal((20, 100))
    model = LinearVAE(3).fit(wide)
    values = np.linalg.eigvalsh(np.cov(wide.T, ddof=0))[::-1]
    assert_identity(model.noise_variance_, values[3:].mean())
    assert_identity(model.elbo(wide).mean(), model.score(wide))


def test_dimensions_below_the_noise_collapse():
    images = digits()[0].reshape(-1, 64)
    for noise, active in ((0.05, 10), (0.15, 9), (0.3, 4)):
        model = LinearVAE(10, noise=noise).fit(images)
        assert model.n_active_ == active
        assert model.noise_variance_ == noise


def test_samples_have_the_covariance_of_the_model():
    model = LinearVAE(2, random_state=0).fit(IRIS)
    drawn = model.sample(20_000) - model.mean_
    covariance = model.get_covariance()
    for i in range(4):
        for j in range(4):
            assert_sampling(drawn[:, i] * drawn[:, j], covariance[i, j])


@pytest.mark.parametrize("method", ["analytic", "reparametrised"])
def test_the_trained_ways_reach_the_closed_form(method):
    best = LinearVAE(2, prior_scale=3.0).fit(IRIS)
    model = LinearVAE(2, prior_scale=3.0, method=method, max_iter=600, random_state=0).fit(IRIS)
    left = best.elbo(IRIS).mean() - model.elbo(IRIS).mean()
    assert 0 <= left < REACHED
    assert model.n_iter_ == 600
    assert_identity(model.elbo(IRIS), clone(model).fit(IRIS).elbo(IRIS))


def test_offset_and_single_precision_lose_nothing():
    far = (IRIS + 1e4).astype(np.float32)
    assert_single(LinearVAE(2).fit(far).noise_variance_, LinearVAE(2).fit(far.astype(np.float64)).noise_variance_)
    assert LinearVAE(2).fit(far).transform(far).dtype == np.float32


def test_in_a_pipeline_with_names():
    codes = make_pipeline(StandardScaler(), LinearVAE(2)).set_output(transform="default").fit_transform(IRIS)
    assert codes.shape == (150, 2)
    assert list(LinearVAE(2).fit(IRIS).get_feature_names_out()) == ["linearvae0", "linearvae1"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_components": 5}, "n_features=4"),
        ({"n_components": 1.5}, "whole number"),
        ({"noise": -1.0}, "positive variance"),
        ({"noise": "fixed"}, "positive variance"),
        ({"prior_scale": 0.0}, "positive number"),
        ({"prior_scale": float("nan")}, "positive number"),
        ({"method": "em"}, "one of closed-form"),
        ({"ddof": 150}, "n_samples"),
        ({"ddof": 1, "method": "analytic"}, "closed form"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        LinearVAE(**wrong).fit(IRIS)


def test_what_cannot_be_modelled_is_refused():
    with pytest.raises(ValueError, match="all equal"):
        LinearVAE(1).fit(np.ones((5, 3)))
    with pytest.raises(ValueError, match="codes have 3 columns"):
        LinearVAE(2).fit(IRIS).inverse_transform(np.zeros((1, 3)))


def test_the_closed_form_needs_no_torch():
    code = (
        "import sys; import numpy as np; from theodolite.linear_vae.estimator import LinearVAE;"
        "LinearVAE(1).fit(np.eye(3)).score(np.eye(3)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
