import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import roc_auc_score
from tests.tolerances import assert_identity

from theodolite.coverage import self_training
from theodolite.coverage.self_training import SelfTrained, _ridge


@pytest.fixture(scope="module")
def mode():
    """Reals with a tenth in a mode that is not generated, five spreads off in twenty dimensions."""
    rng = np.random.default_rng(0)
    missing = np.arange(800) < 80
    real = rng.normal(size=(800, 20))
    real[missing, 0] += 5
    return real, missing, rng.normal(size=(500, 20))


def test_a_fit_without_a_sample_is_the_fit_without_it():
    """The short formula beside the refit that it saves."""
    rng = np.random.default_rng(1)
    features, target, weight = rng.normal(size=(30, 4)), rng.choice([-1.0, 1.0], 30), rng.random(30)
    _, unseen = _ridge(features, target, weight, 0.1)
    for left_out in range(30):
        kept = np.arange(30) != left_out
        gram = features[kept].T @ (features[kept] * weight[kept, None]) + 0.1 * 30 * np.eye(4)
        refitted = np.linalg.solve(gram, features[kept].T @ (weight * target)[kept])
        assert_identity(unseen[left_out], features[left_out] @ refitted)


def test_first_fit_is_kernel_ridge_regression_where_every_sample_is_a_centre():
    rng = np.random.default_rng(2)
    points, is_real = rng.normal(size=(60, 3)), np.arange(60) < 30
    model = SelfTrained(points, is_real, 0)
    ridge = KernelRidge(alpha=60 * self_training.STIFF, kernel="rbf", gamma=0.5 / model.width)
    expected = ridge.fit(points, np.where(is_real, 1.0, -1.0)).predict(points)
    # what keeps the kernel matrix regular is a millionth of it
    np.testing.assert_allclose(model(points)[:, 0], expected, atol=1e-3)


def test_training_itself_ranks_what_is_missed_better(mode):
    real, missing, fake = mode
    half = np.arange(800) % 2 == 0
    model = SelfTrained(np.concatenate([real[half], fake]), np.arange(900) < 400, 0)
    first, last = model(real[~half]).T
    assert roc_auc_score(missing[~half], last) > roc_auc_score(missing[~half], first)
    assert roc_auc_score(missing[~half], last) > 0.95


@pytest.mark.parametrize("points", [np.zeros((60, 2)), np.repeat(np.eye(3), 20, axis=0)])
def test_samples_that_do_not_vary_are_fine(points):
    assert np.isfinite(SelfTrained(points, np.arange(60) % 2 == 0, 0)(points)).all()


def test_equal_samples_that_differ_by_rounding_do_not_set_the_width():
    """A generator that makes one image: most distances are those between its copies."""
    rng = np.random.default_rng(4)
    real, copies = rng.normal(size=(40, 5)), 1 + 1e-7 * rng.normal(size=(160, 5))
    model = SelfTrained(np.concatenate([real, copies]), np.arange(200) < 40, 0)
    assert model.width > self_training.WIDTH
    first = model(np.concatenate([real, copies]))[:, 0]
    assert first[:40].min() > first[40:].max()


def test_the_same_seed_gives_the_same_answer(mode):
    real, _, fake = mode
    points, is_real = np.concatenate([real, fake]), np.arange(1300) < 800
    np.testing.assert_array_equal(*(SelfTrained(points, is_real, 3)(fake) for _ in range(2)))
