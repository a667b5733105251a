import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from tests.tolerances import SINGLE, assert_sampling

from theodolite.coverage import discriminator, members
from theodolite.coverage.discriminator import fit_score
from theodolite.coverage.members import Features, Kernels, Neighbours, Rounding, members_for
from theodolite.kernel.errors import DataError


@pytest.fixture(scope="module")
def shifted():
    """Reals N(1, 1), fakes N(0, 1) on the line; three times as many fakes, and a score fitted on them."""
    rng = np.random.default_rng(0)
    return fit_score(rng.normal(1, 1, (700, 1)), rng.normal(0, 1, (2100, 1)), seed=0)


def test_log_odds_follow_the_true_ratio_at_even_odds(shifted):
    """Here log p_r/p_θ = x − 1/2; in the bulk the fit is off by a fraction of what separates the two."""
    x = np.linspace(-1.5, 2.5, 200)
    error = shifted.log_odds(x[:, None]) - (x - 0.5)
    assert np.sqrt(np.mean(error**2)) < 0.25 * np.std(x - 0.5)


def test_both_means_sum_to_one_whatever_the_counts(shifted):
    rng = np.random.default_rng(1)
    real, fake = rng.normal(1, 1, (4000, 1)), rng.normal(0, 1, (4000, 1))
    # uncorrected odds of 1:3 would give about 1/2
    assert abs(np.mean(expit(shifted.log_odds(real)) + expit(shifted.log_odds(fake))) - 1) < 0.05


def test_out_of_fold_scores_are_like_held_out_ones(shifted):
    rng = np.random.default_rng(2)
    fresh = expit(shifted.log_odds(rng.normal(0, 1, (4000, 1))))
    assert_sampling(expit(shifted.out_of_fold_fake), fresh.mean())
    assert shifted.out_of_fold_real.shape == (700,)


def test_the_same_seed_gives_the_same_score():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(0, 1, (80, 2)), rng.normal(0, 1, (90, 2))
    first, again = (fit_score(real, fake, seed=5).log_odds(real) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_given_discriminator_is_one_more_feature():
    """A label that no other column shows."""
    rng = np.random.default_rng(4)
    real, fake = rng.normal(0, 1, (300, 5)), rng.normal(0, 1, (300, 5))
    marked = {row.tobytes() for row in real}

    def scorer(samples):
        return np.array([row.tobytes() in marked for row in samples], dtype=float) + rng.normal(0, 0.3, len(samples))

    def spread(score):
        return float(score.out_of_fold_real.mean() - score.out_of_fold_fake.mean())

    assert spread(fit_score(real, fake, scorer=scorer)) > 10 * abs(spread(fit_score(real, fake)))


@pytest.mark.parametrize("answer", [np.zeros((30, 2)), np.full(30, np.nan)])
def test_a_given_discriminator_that_answers_badly_is_told(answer):
    with pytest.raises(DataError, match="one finite number"):
        Features(np.zeros((30, 2)), lambda _: answer)(np.zeros((30, 2)))


def test_constant_columns_are_fine_and_seen_when_they_move():
    rng = np.random.default_rng(5)
    samples = np.c_[rng.normal(0, 1, 60), np.full(60, 3.0)]
    features = Features(samples, None)
    assert np.isfinite(features(samples).scaled).all()
    assert features(samples + np.array([0, 1])).scaled[0, 1] == 1


def test_a_given_discriminator_that_answers_no_numbers_is_told():
    with pytest.raises(DataError, match="returned no numbers"):
        Features(np.zeros((30, 2)), lambda _: ["real"] * 30)(np.zeros((30, 2)))


def test_many_columns_are_reduced_and_what_is_left_out_is_still_seen():
    rng = np.random.default_rng(6)
    basis = rng.normal(0, 1, (3, 400))
    inside = rng.normal(0, 1, (200, 3)) @ basis
    features = Features(inside, None)
    seen = features(inside)
    assert seen.raw.shape == (200, members.PRINCIPAL_AXES + 1)
    off = inside[:1] + rng.normal(0, 1, 400)
    # no length is lost, and what leaves the plane is seen as such
    np.testing.assert_allclose(
        np.linalg.norm(features(off).raw), np.linalg.norm(off - inside.mean(axis=0)), rtol=SINGLE
    )
    assert features(off).raw[0, -1] > 1000 * seen.raw[:, -1].max()


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.uint8])
def test_principal_axes_are_those_of_another_library(kind):
    rng = np.random.default_rng(8)
    samples = (100 + rng.normal(0, 20, (300, 5)) @ rng.normal(0, 1, (5, 300)) + rng.normal(0, 9, (300, 300))).astype(
        kind
    )
    theirs = PCA(members.PRINCIPAL_AXES, svd_solver="full").fit(samples.astype(float))
    ours = Features(samples, None)(samples).raw[:, :-1]
    np.testing.assert_allclose(ours, theirs.transform(samples.astype(float)), rtol=SINGLE, atol=SINGLE)


def test_kernels_agree_with_a_kernel_density_of_another_library():
    rng = np.random.default_rng(7)
    samples = rng.normal(0, 1, (150, 2)) + np.r_[np.ones((50, 2)), np.zeros((100, 2))]
    is_real = np.arange(150) < 50
    features = Features(samples, None)
    x = features(samples)
    ours = Kernels(x, is_real, 0)
    theirs = [KernelDensity(bandwidth=ours.width).fit(samples[kind]) for kind in (is_real, ~is_real)]
    expected = theirs[0].score_samples(samples) - theirs[1].score_samples(samples)
    np.testing.assert_allclose(ours.log_odds(x)[:, 0], expected, rtol=SINGLE, atol=SINGLE)


def test_neighbours_see_copies():
    """A fake that is a copy of a training fake lies at distance 0 from it."""
    rng = np.random.default_rng(8)
    samples = rng.normal(0, 1, (60, 3))
    is_real = np.arange(60) < 30
    x = Features(samples, None)(samples)
    log_odds = Neighbours(x, is_real, 0).log_odds(x)[:, 0]
    assert log_odds[is_real].min() > 5
    assert log_odds[~is_real].max() < -5


def test_value_of_the_game_comes_near_the_optimum(shifted):
    rng = np.random.default_rng(9)
    real, fake = rng.normal(1, 1, 4000), rng.normal(0, 1, 4000)

    def value(on_real, on_fake):
        return np.mean(np.log(on_real)) + np.mean(np.log1p(-on_fake))

    best = value(*(norm.pdf(x, 1) / (norm.pdf(x, 1) + norm.pdf(x)) for x in (real, fake)))
    reached = value(*(expit(shifted.log_odds(x[:, None])) for x in (real, fake)))
    # of the way from blind to optimal
    assert (reached + math.log(4)) / (best + math.log(4)) > 0.8


def test_the_surest_are_ranked_and_the_unsure_left_alone():
    ratio = np.array([-1e4, -30.0, -3.0, 0.0, 3.0, 20.0, 30.0, 1e4])
    tamed = members._tamed(ratio)
    assert (np.diff(tamed) > 0).all()
    np.testing.assert_array_equal(tamed[2:6], ratio[2:6])
    assert tamed[-1] < 2 * members.LARGEST_LOG_ODDS


def test_rounding_is_looked_at_in_numbers_and_not_in_pixels():
    rng = np.random.default_rng(10)
    numbers, images = rng.normal(size=(40, 36)), rng.normal(size=(40, 6, 6))
    assert Rounding in members_for(Features(numbers, None)(numbers))
    assert Rounding not in members_for(Features(images, None)(images))


def test_rounded_and_exact_numbers_share_nothing():
    """Not one wrong sign: the finest of the other members sees hardly anything at a thousand steps a spread."""
    rng = np.random.default_rng(11)
    score = fit_score(np.round(1000 * rng.normal(size=(150, 1))), 1000 * rng.normal(size=(150, 1)))
    assert (score.log_odds(np.round(1000 * rng.normal(size=(300, 1)))) > 0).all()
    assert (score.log_odds(1000 * rng.normal(size=(300, 1))) < 0).all()


@pytest.mark.parametrize(
    ("shape", "fakes", "folds"), [((36,), 30, 3), ((6, 6), 30, 6), ((6, 6), 5, 3), ((6, 6), discriminator.FEW, 3)]
)
def test_members_see_more_of_few_images(shape, fakes, folds):
    rng = np.random.default_rng(13)
    samples = rng.normal(size=(30 + fakes, *shape))
    is_real = np.arange(len(samples)) < 30
    assert discriminator._how_many_folds(Features(samples, None)(samples), is_real) == folds
    if fakes == 30:
        score = fit_score(samples[:30], samples[30:])
        assert len(score.stacks) == folds
        assert np.isfinite(score.out_of_fold_real).all()
