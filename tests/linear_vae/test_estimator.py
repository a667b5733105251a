import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.tolerances import assert_identity, assert_sampling, assert_single

from theodolite.data.digits import digits
from theodolite.linear_vae.estimator import LinearVAE
from theodolite.linear_vae.plan import REACHED

IRIS = load_iris().data


@parametrize_with_checks(
    [
        LinearVAE(),
        LinearVAE(n_components=1, noise=0.5, prior_scale=2.0, ddof=1),
        LinearVAE(n_components="auto"),
        LinearVAE(method="px-em", max_iter=1000, random_state=0),
    ]
)
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
    with pytest.warns(RuntimeWarning, match="no maximum"):
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


@pytest.mark.parametrize("method", ["em", "px-em", "lbfgs"])
@pytest.mark.parametrize("noise", ["learned", 0.3])
def test_every_climb_reaches_the_closed_form(method, noise):
    best = LinearVAE(2, prior_scale=3.0, noise=noise).fit(IRIS)
    model = clone(best).set_params(method=method, max_iter=5000, tol=1e-9, random_state=0).fit(IRIS)
    assert 0 <= best.score(IRIS) - model.elbo(IRIS).mean() < 1e-8
    assert model.history_[-1] <= 1e-9
    assert len(model.history_) == model.n_iter_ + 1
    assert_identity(model.decoder_, clone(model).fit(IRIS).decoder_)


def test_adam_comes_near_the_closed_form():
    best = LinearVAE(2, prior_scale=3.0).fit(IRIS)
    model = clone(best).set_params(method="adam", max_iter=2000, tol=1e-3, random_state=0).fit(IRIS)
    assert 0 <= best.score(IRIS) - model.elbo(IRIS).mean() <= 1e-3


def test_draws_come_near_the_closed_form():
    best = LinearVAE(2, prior_scale=3.0).fit(IRIS)
    model = clone(best).set_params(method="reparametrised", max_iter=300, batch_size=50, random_state=0).fit(IRIS)
    left = best.elbo(IRIS).mean() - model.elbo(IRIS).mean()
    assert 0 <= left < REACHED
    assert_identity(left, model.history_[-1])
    assert model.n_iter_ == 300
    assert_identity(model.elbo(IRIS), clone(model).fit(IRIS).elbo(IRIS))


def test_a_climb_cut_short_says_so():
    with pytest.warns(ConvergenceWarning, match="em is still .* below the maximum after max_iter=2"):
        LinearVAE(2, method="em", max_iter=2, random_state=0).fit(IRIS)


@given(cuts=st.lists(st.integers(1, 149), max_size=6), seed=st.integers(0, 9))
@settings(max_examples=20)
def test_the_order_of_the_samples_does_not_matter(cuts, seed):
    shuffled = np.random.default_rng(seed).permutation(IRIS)
    parts = [part for part in np.split(shuffled, sorted(cuts)) if len(part)]
    whole, partial, merged = LinearVAE(2).fit(IRIS), LinearVAE(2), LinearVAE(2).partial_fit(parts[0])
    for part in parts:
        partial.partial_fit(part)
    for part in parts[1:]:
        merged.merge(LinearVAE(2).partial_fit(part))
    streamed = LinearVAE(2).fit(iter(parts))
    for other in (partial, merged, streamed):
        assert_identity(other.get_covariance(), whole.get_covariance())
        assert_identity(other.mean_, whole.mean_)
        assert_identity(other.score_samples(IRIS), whole.score_samples(IRIS))


def test_partial_fit_goes_on_from_fit():
    model = LinearVAE(2).fit(IRIS[:80]).partial_fit(IRIS[80:])
    assert_identity(model.get_covariance(), LinearVAE(2).fit(IRIS).get_covariance())
    assert pickle.loads(pickle.dumps(model)).n_active_ == 2


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("method", ["closed-form", "px-em"])
def test_files_are_read_a_block_at_a_time(tmp_path, kind, method):
    path = tmp_path / ("x.npy" if kind == "file" else "x")
    if kind == "file":
        np.save(path, IRIS)
    else:
        path.mkdir()
        for number, part in enumerate(np.split(IRIS, [40, 90])):
            np.save(path / f"part-{number}.npy", part)
    model = LinearVAE(2, method=method, max_iter=1000, random_state=0)
    ours, theirs = clone(model).fit(path), model.fit(IRIS)
    assert_identity(ours.get_covariance(), theirs.get_covariance())


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_missing_entries_are_integrated_out(share):
    random = np.random.default_rng(0)
    gaps = np.where(random.random(IRIS.shape) < share, np.nan, IRIS)
    gaps[3] = np.nan
    model = LinearVAE(2, max_iter=2000, random_state=0).fit(gaps)
    assert (np.diff(model.history_) >= -1e-9).all()
    filled = model.impute(gaps)
    assert_identity(filled[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    hidden = np.isnan(gaps)
    by_means = np.where(hidden, np.nanmean(gaps, axis=0), IRIS)
    assert np.sum((filled - IRIS) ** 2) < np.sum((by_means - IRIS) ** 2)
    for row in (0, 1, 2):
        seen = ~np.isnan(gaps[row])
        density = multivariate_normal(model.mean_[seen], model.get_covariance()[np.ix_(seen, seen)])
        assert_identity(model.score_samples(gaps[[row]])[0], density.logpdf(gaps[row, seen]))
    assert_identity(model.score_samples(gaps[[3]]), 0)
    assert_identity(model.transform(gaps[[3]]), 0)
    assert_identity(model.elbo(gaps), model.score_samples(gaps))


def test_without_gaps_missing_entries_are_the_closed_form():
    whole = LinearVAE(2).fit(IRIS)
    one = IRIS.copy()
    one[0, 0] = np.nan
    assert abs(LinearVAE(2, max_iter=3000, tol=1e-10).fit(one).score(IRIS) - whole.score(IRIS)) < 0.01


def test_as_many_components_as_made_the_data():
    random = np.random.default_rng(0)
    x = random.standard_normal((400, 3)) @ random.standard_normal((3, 12)) + 0.3 * random.standard_normal((400, 12))
    assert LinearVAE("auto", random_state=0).fit(x).decoder_.shape == (12, 3)


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
        ({"method": "sgd"}, "one of closed-form"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"tol": 0}, "tol=0"),
        ({"ddof": 150}, "n_samples"),
        ({"ddof": 1, "method": "reparametrised"}, "divide by their size"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        LinearVAE(**wrong).fit(IRIS)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((5, 3)), "all equal"),
        (np.array([[0.0, 1.0], [np.inf, 2.0], [1.0, 1.0]]), "infinity"),
        (np.full((5, 3), np.nan), "3 of 3 columns have no entry"),
        (np.column_stack([np.full(5, np.nan), np.arange(5.0)]), "1 of 2 columns have no entry: 0"),
        (np.zeros((0, 3)), "0 sample"),
        (np.zeros((1, 3)), "1 sample"),
        (np.zeros((3, 0)), "0 feature"),
        (np.zeros(3), "1D array"),
        (np.zeros((2, 3, 4)), "dim"),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), "could not convert"),
        (np.eye(3) * 1e300, "leave the range"),
    ],
)
def test_what_cannot_be_modelled_is_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        LinearVAE(1).fit(samples)


def test_what_a_fitted_model_cannot_take_is_refused():
    model = LinearVAE(2).fit(IRIS)
    with pytest.raises(ValueError, match="codes have 3 columns"):
        model.inverse_transform(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="infinity"):
        model.transform(np.full((1, 4), np.inf))
    with pytest.raises(ValueError, match="fitted all at once, by fit"):
        model.partial_fit(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="one has seen 4 features, the other 3"):
        model.merge(LinearVAE(2).fit(IRIS[:, :3]))
    with pytest.raises(ValueError, match="keeps no moments"):
        model.merge(LinearVAE(2))
    for all_at_once in (LinearVAE("auto"), LinearVAE(method="reparametrised")):
        assert not hasattr(all_at_once, "partial_fit")
        with pytest.raises(ValueError, match="needs all samples at once"):
            all_at_once.fit(iter([IRIS]))
    with pytest.raises(ValueError, match="no blocks"):
        LinearVAE(2).fit(iter([]))
    with pytest.raises(NotFittedError):
        LinearVAE(2).transform(IRIS)


def test_one_sample_is_too_few_until_more_come():
    model = LinearVAE(1).partial_fit(IRIS[:1])
    with pytest.raises(ValueError, match="1 sample is too few"):
        model.transform(IRIS)
    assert model.partial_fit(IRIS[1:]).transform(IRIS).shape == (150, 1)


def test_the_closed_form_needs_no_torch():
    code = (
        "import sys; import numpy as np; from theodolite.linear_vae.estimator import LinearVAE;"
        "LinearVAE(1).fit(np.eye(3)).score(np.eye(3)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_was_fitted_stays_whatever_prior_scale_is_set_afterwards():
    model = LinearVAE(2).fit(IRIS)
    before = model.score(IRIS), model.elbo(IRIS), model.get_covariance(), model.get_precision()
    model.set_params(prior_scale=3.0)
    for now, then in zip(
        (model.score(IRIS), model.elbo(IRIS), model.get_covariance(), model.get_precision()), before, strict=True
    ):
        assert_identity(now, then)


def test_a_complete_row_is_told_the_same_whatever_row_stands_beside_it():
    model = LinearVAE(2, method="adam", tol=0.1, max_iter=2000, random_state=0).fit(
        IRIS
    )  # its encoder is not yet the posterior
    beside = IRIS.copy()
    beside[1, 0] = np.nan
    rest = np.arange(len(IRIS)) != 1
    assert_identity(model.elbo(beside)[rest], model.elbo(IRIS)[rest])
    assert_identity(model.transform(beside)[rest], model.transform(IRIS)[rest])
    assert np.all(np.abs(model.elbo(IRIS) - model.score_samples(IRIS)) > 1e-6)


@pytest.mark.parametrize("seen", ["wide", "gaps"])
def test_partial_fit_refuses_to_go_on_from_samples_that_fit_has_not_kept(seen):
    samples = np.random.default_rng(0).standard_normal((50, 2000) if seen == "wide" else (50, 4))
    if seen == "gaps":
        samples[0, 0] = np.nan
    with pytest.raises(ValueError, match="keeps no moments"):
        LinearVAE(2).fit(samples).partial_fit(samples[1:])


def test_merge_refuses_features_of_another_order():
    one, other = LinearVAE(2).partial_fit(IRIS[:75]), LinearVAE(2).partial_fit(IRIS[75:, ::-1])
    one.feature_names_in_, other.feature_names_in_ = np.array(list("abcd")), np.array(list("dcba"))
    with pytest.raises(ValueError, match="another order"):
        one.merge(other)


@pytest.mark.parametrize("noise", [1e-3, 1e-12, 1e-20])
def test_precision_of_all_components_is_that_of_the_samples_however_small_the_noise(noise):
    precision = LinearVAE(4, noise=noise).fit(IRIS).get_precision()
    assert_identity(precision, np.linalg.inv(np.cov(IRIS.T, ddof=0)))


def test_a_mask_is_refused_not_overlooked():
    with pytest.raises(ValueError, match="masked"):
        LinearVAE(2).fit(np.ma.masked_greater(IRIS, 5))


@pytest.mark.parametrize("shape", [(10, 3000), (3, 6), (200, 5)])
def test_equal_samples_are_said_to_be_whatever_their_mean_rounds(shape):
    with pytest.raises(ValueError, match="all equal"):
        LinearVAE(1).fit(np.full(shape, 0.1))


def test_a_huge_constant_feature_changes_nothing_beside_gaps():
    samples = np.random.default_rng(0).standard_normal((1000, 6))
    samples[5, 3] = np.nan
    alone = LinearVAE(2, noise=1e-3).fit(samples[:, 1:])
    samples[:, 0] = 1e17 / 3
    assert_single(LinearVAE(2, noise=1e-3).fit(samples).explained_variance_, alone.explained_variance_)


def test_rows_of_float32_added_after_fit_are_multiplied_in_float64():
    rows = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)
    low = (rows[:, :2] @ np.ones((2, 8)) + 1e-3 * rows).astype(np.float32)
    model = LinearVAE(2).fit(rows[:600])
    for _ in range(20):
        model.partial_fit(low)
    truth = LinearVAE(2).fit(np.concatenate([rows[:600], *[low] * 20]).astype(np.float64))
    assert_identity(model.explained_variance_, truth.explained_variance_)


def test_names_of_features_are_forgotten_where_a_file_has_none(tmp_path):
    model = LinearVAE(2).fit(IRIS)
    model.feature_names_in_ = np.array(list("abcd"))
    np.save(tmp_path / "x.npy", IRIS)
    assert not hasattr(model.fit(tmp_path / "x.npy"), "feature_names_in_")


@pytest.mark.parametrize("method", ["closed-form", "px-em", "lbfgs", "gaps"])
def test_a_likelihood_without_maximum_is_said_to_be_by_every_way(method):
    random = np.random.default_rng(0)
    samples = random.standard_normal((100, 2)) @ random.standard_normal((2, 5))
    model = LinearVAE(3, max_iter=1000, tol=1e-3, method="closed-form" if method == "gaps" else method, random_state=0)
    if method == "gaps":
        samples[0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="no maximum"):
        model.fit(samples)
