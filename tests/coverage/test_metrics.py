import numpy as np
import pytest
from prdc import compute_prdc
from tests.tolerances import assert_identity

from theodolite.coverage.metrics import neighbour_metrics
from theodolite.kernel.errors import UsageError


@pytest.mark.parametrize(("n", "m", "d", "k"), [(700, 600, 8, 5), (520, 1100, 2, 3), (60, 50, 64, 1)])
def test_equal_to_prdc(n, m, d, k, capsys):
    rng = np.random.default_rng(n)
    real, fake = rng.normal(0, 1, (n, d)), rng.normal(0.3, 0.9, (m, d))
    theirs = compute_prdc(real, fake, k)
    capsys.readouterr()  # it prints
    ours = neighbour_metrics(real, fake, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert_identity(getattr(ours, name), theirs[name])


def test_images_are_taken_as_vectors():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(30, 4, 4)), rng.normal(size=(40, 4, 4))
    assert neighbour_metrics(real, fake) == neighbour_metrics(real.reshape(30, 16), fake.reshape(40, 16))


def test_limits():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 3))
    assert neighbour_metrics(points, points + 1000) == (0, 0, 0, 0)
    same = neighbour_metrics(points, points.copy())
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)


@pytest.mark.parametrize("k", [0, 50])
def test_neighbours_that_do_not_exist_are_told(k):
    with pytest.raises(UsageError, match=f"k={k}.*49"):
        neighbour_metrics(np.zeros((50, 2)), np.zeros((60, 2)), k)
