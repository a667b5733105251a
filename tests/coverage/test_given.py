import numpy as np
import pytest

from theodolite.coverage.given import memorised


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(0.3, 1, (500, 4)), rng.normal(0, 1, (900, 4))


def test_a_discriminator_that_knows_the_audited_rows_is_told(samples):
    real, fake = samples
    known = {row.tobytes() for row in real}
    said = memorised(lambda x: np.array([row.tobytes() in known for row in x], dtype=float), real, fake, 0)
    assert "no guarantee holds" in said
    assert "AUC 1.000" in said


def test_honest_and_bad_discriminators_are_left_alone(samples):
    real, fake = samples
    rng = np.random.default_rng(1)
    assert memorised(lambda x: x.sum(axis=1), real, fake, 0) is None
    assert memorised(lambda x: rng.normal(size=len(x)), real, fake, 0) is None
    assert memorised(lambda x: np.zeros(len(x)), real, fake, 0) is None


def test_a_perfect_discriminator_of_what_is_apart_is_left_alone(samples):
    real, fake = samples
    assert memorised(lambda x: x[:, 0], real + 20, fake, 0) is None
