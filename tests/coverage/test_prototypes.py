import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.neighbors import NearestNeighbors
from tests.tolerances import assert_identity

from theodolite.coverage import prototypes
from theodolite.coverage.prototypes import Prototypes


def test_log_ratio_is_that_of_the_mixtures():
    """One cluster of reals and two of fakes: the densities of another library around the means of the groups."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=(size, 3)) + place for size, place in ((15, [9, 0, 0]), (10, [0, 0, 0]), (12, [0, 9, 0]))]
    points, is_real = np.concatenate(groups), np.arange(37) < 15
    model = Prototypes(points, is_real, 0)

    def density(x, means, weights):
        return sum(
            weight * multivariate_normal(mean, model.variance).pdf(x)
            for mean, weight in zip(means, weights, strict=True)
        )

    means = [group.mean(axis=0) for group in groups]
    x = rng.normal(2, 3, (20, 3))
    expected = np.log(density(x, means[:1], [1])) - np.log(density(x, means[1:], [11 / 24, 13 / 24]))
    assert_identity(model(x), expected)


def test_a_few_samples_of_a_missed_mode_are_seen_where_distances_between_samples_see_none():
    """Twenty of 3,000 reals in 64 dimensions, in a mode as far from the others as these are from each other."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(6, 64))
    centres *= 6 / np.linalg.norm(centres, axis=1, keepdims=True)

    def draw(count, missed):
        return np.concatenate([centres[rng.integers(5, size=count - missed)], np.repeat(centres[5:], missed, axis=0)])

    means = draw(3000, 20), draw(4000, 0), draw(500, 500), draw(20_000, 0)
    real, fake, missed, others = (at + rng.normal(size=at.shape) for at in means)
    model = Prototypes(np.concatenate([real, fake]), np.arange(7000) < 3000, 0)
    assert (model(missed) > model(others).max()).mean() > 0.9
    near = [NearestNeighbors(n_neighbors=5).fit(side) for side in (real, fake)]

    def ratio(x):
        own, other = (of.kneighbors(x)[0][:, -1] for of in near)
        return other / own

    assert (ratio(missed) > ratio(others).max()).mean() < 0.5


@pytest.mark.parametrize("points", [np.zeros((60, 2)), np.repeat(np.eye(3), 20, axis=0), np.arange(3.0)[:, None]])
def test_samples_that_do_not_vary_and_very_few_are_fine(points):
    model = Prototypes(points, np.arange(len(points)) % 2 == 0, 0)
    assert np.isfinite(model(points)).all()
    assert np.isfinite(model(points + 1)).all()


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(2)
    points, is_real = rng.normal(size=(90, 4)), np.arange(90) < 40
    whole = Prototypes(points, is_real, 0)(points)
    monkeypatch.setattr(prototypes, "BLOCK", 7)
    assert_identity(Prototypes(points, is_real, 0)(points), whole)


def test_the_same_seed_gives_the_same_answer():
    rng = np.random.default_rng(3)
    points, is_real = rng.normal(size=(900, 4)), np.arange(900) < 400
    np.testing.assert_array_equal(*(Prototypes(points, is_real, 2**63 - 1)(points) for _ in range(2)))
