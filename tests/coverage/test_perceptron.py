import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from tests.tolerances import assert_single, assert_trend

from theodolite.coverage.perceptron import Perceptron


def ring(count, rng):
    """A ring around a disc, which no line tells apart."""
    is_real = np.arange(2 * count) < count
    radius = np.where(is_real, 2.0, 1.0) + rng.normal(0, 0.4, 2 * count)
    angle = rng.uniform(0, 2 * np.pi, 2 * count)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), is_real


def test_it_ranks_as_the_perceptron_of_another_library_does():
    rng = np.random.default_rng(0)
    (x, is_real), (fresh, truth) = ring(1000, rng), ring(4000, rng)
    theirs = MLPClassifier((64,), alpha=1e-2, batch_size=64, max_iter=30, tol=0, n_iter_no_change=99, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x, is_real)
    ranked = roc_auc_score(truth, theirs.predict_proba(fresh)[:, 1])
    error = np.sqrt(ranked * (1 - ranked) / 4000)
    assert abs(roc_auc_score(truth, Perceptron(x, is_real, 0).log_odds(fresh)) - ranked) < 4 * error


def test_the_first_step_of_adam_goes_against_the_slope():
    """Adam's first step moves each weight by its step size against the sign of the slope, taken here by differences."""
    rng = np.random.default_rng(1)
    x, is_real = ring(16, rng)
    before, after = (Perceptron(x, is_real, 3, epochs=epochs, batch=32, decay=0.5) for epochs in (0, 1))
    sign = np.where(is_real, 1.0, -1.0)

    def loss(weights):
        W, b, v, c = (
            part.reshape(one.shape)
            for part, one in zip(
                np.split(weights, np.cumsum([p.size for p in before.parts])[:-1]), before.parts, strict=True
            )
        )
        s = np.maximum(x @ W + b, 0) @ v + c
        return np.logaddexp(0, -sign * s).mean() + 0.5 * 0.5 / 32 * ((W**2).sum() + (v**2).sum())

    start = before.weights.astype(np.float64)
    slope = np.array([(loss(start + h) - loss(start - h)) / 2e-5 for h in 1e-5 * np.eye(start.size)])
    moved = after.weights - before.weights
    # Adam divides by |slope| + 3e-7
    assert_single(moved.astype(np.float64), -1e-3 * slope / (np.abs(slope) + 1e-8 / np.sqrt(1e-3)))


def test_log_odds_are_as_large_as_they_should_be():
    """N(+1, 1) against N(−1, 1): log p_r/p_θ = 2x."""
    rng = np.random.default_rng(2)
    is_real = np.arange(8000) < 4000
    x = rng.normal(np.where(is_real, 1.0, -1.0))[:, None]
    points = np.linspace(0.5, 1.5, 20)
    assert_trend(points, Perceptron(x, is_real, 0, decay=0.0).log_odds(points[:, None]), 1.0, 0.15)
    middle = Perceptron(x, is_real, 0).log_odds(np.array([[1.0]]))
    assert abs(middle[0] - 2.0) < 0.3


def test_same_seed_same_answer_and_fewer_samples_than_a_batch():
    rng = np.random.default_rng(3)
    x, is_real = ring(10, rng)
    first, again, other = (Perceptron(x, is_real, seed).log_odds(x) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (20,)
