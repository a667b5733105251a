import numpy as np
import pytest

from theodolite.coverage.given import memorised
from theodolite.coverage.perceptron import Perceptron


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(0.3, 1, (500, 4)), rng.normal(0, 1, (900, 4))


def membership(real, noise):
    """One that knows the audited rows, more or less; the same answer to the same sample."""
    known = {row.tobytes() for row in real}

    def scorer(x):
        noises = [np.random.default_rng(np.frombuffer(row.tobytes(), np.uint32)).normal() for row in x]
        return np.array([row.tobytes() in known for row in x]) + noise * np.array(noises)

    return scorer


@pytest.mark.parametrize(("noise", "auc"), [(0.0, "AUC 1.000"), (0.52, "AUC 0.9")])
def test_a_discriminator_that_knows_the_audited_rows_is_told(samples, noise, auc):
    said = memorised(membership(samples[0], noise), *samples, 0)
    assert "no guarantee holds" in said
    assert auc in said


def test_a_network_that_was_fitted_to_the_audited_rows_is_told_and_one_fitted_to_others_is_not():
    rng = np.random.default_rng(1)
    sets = [(rng.normal(0.15, 1, (300, 20)), rng.normal(0, 1, (300, 20))) for _ in range(2)]
    is_real = np.arange(600) < 300
    networks = [Perceptron(np.concatenate(pair), is_real, 0, epochs=150, decay=0.0) for pair in sets]
    assert "no guarantee holds" in memorised(networks[0].log_odds, *sets[0], 0)
    assert memorised(networks[1].log_odds, *sets[0], 0) is None


def test_honest_and_bad_discriminators_are_left_alone(samples):
    real, fake = samples
    rng = np.random.default_rng(1)
    assert memorised(lambda x: x.sum(axis=1), real, fake, 0) is None
    assert memorised(lambda x: rng.normal(size=len(x)), real, fake, 0) is None
    assert memorised(lambda x: np.zeros(len(x)), real, fake, 0) is None


def test_an_honest_one_that_is_far_better_than_what_the_samples_teach_is_left_alone():
    """The true ratio, of a shift and of a spread × 0.9 in 100 columns, of which 250 samples teach little."""
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 1, 100)
    real, fake = rng.normal(0, 1, (250, 100)), rng.normal(0, 1, (250, 100))
    real += 2 * weights / np.linalg.norm(weights)
    assert memorised(lambda x: x @ weights, real, fake, 0) is None
    real, fake = rng.normal(0, 1, (250, 100)), rng.normal(0, 0.9, (250, 100))
    assert memorised(lambda x: (x**2).sum(axis=1), real, fake, 0) is None


def test_a_perfect_discriminator_of_what_is_apart_is_left_alone(samples):
    real, fake = samples
    assert memorised(lambda x: x[:, 0], real + 20, fake, 0) is None


def test_of_few_samples_nothing_is_said():
    rng = np.random.default_rng(3)
    real, fake = rng.normal(0, 1, (40, 2)), rng.normal(0, 1, (40, 2))
    assert memorised(membership(real, 2.0), real, fake, 0) is None


def test_images_are_looked_at_as_columns():
    rng = np.random.default_rng(4)
    real, fake = rng.random((60, 8, 8, 3)), rng.random((200, 8, 8, 3))
    assert "no guarantee holds" in memorised(membership(real, 0.0), real, fake, 0)
