import numpy as np
import pytest

from theodolite.coverage.folds import Folds, training_fakes


@pytest.mark.parametrize(("n", "m"), [(40, 40), (101, 77), (1000, 5000)])
def test_every_sample_has_one_role(n, m):
    folds = Folds.draw(n, m, 0)
    assert sorted(np.concatenate(folds.reals)) == list(range(n))
    assert sorted(np.concatenate([folds.training, folds.calibration])) == list(range(m))
    assert abs(folds.reals[0].size - folds.reals[1].size) <= 1
    assert folds.training.size == training_fakes(n, m)


def test_calibration_gets_most_of_the_fakes():
    assert training_fakes(1000, 900) == 300
    assert training_fakes(1000, 50_000) == 2000


def test_roles_are_a_function_of_the_seed():
    first, again, other = Folds.draw(100, 300, 1), Folds.draw(100, 300, 1), Folds.draw(100, 300, 2)
    np.testing.assert_array_equal(first.calibration, again.calibration)
    np.testing.assert_array_equal(first.reals[0], again.reals[0])
    assert not np.array_equal(first.calibration, other.calibration)
