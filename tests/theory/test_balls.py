import numpy as np
from tests.tolerances import assert_identity, assert_sampling

from theodolite.coverage.metrics import prdc
from theodolite.theory.balls import expected_coverage


def test_expected_coverage_is_the_mean_over_samples_of_any_dimension():
    random = np.random.default_rng(0)
    for width in (1, 7):
        seen = [
            prdc(random.normal(size=(40, width)), random.normal(size=(60, width)), 3)["coverage"] for _ in range(300)
        ]
        assert_sampling(np.array(seen), expected_coverage(40, 60, 3))


def test_one_generated_sample_is_nearest_as_often_as_any_other():
    assert_identity(expected_coverage(10, 1, 1), 1 / 10)
