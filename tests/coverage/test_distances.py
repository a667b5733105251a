import numpy as np
import pytest
from scipy.linalg import sqrtm
from tests.tolerances import assert_identity, assert_sampling, assert_trend

from theodolite.coverage.distances import frechet, frechet_unbiased, kernel_distance, moments, unbiased_discrepancy
from theodolite.kernel.errors import DataError, UsageError


def pair(n=400, m=300, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, d)), rng.normal(0.5, 2, (m, d)) @ rng.normal(size=(d, d))


def test_frechet_is_that_of_a_matrix_root():
    x, y = pair()
    a, b = np.cov(x.T), np.cov(y.T)
    shift = x.mean(axis=0) - y.mean(axis=0)
    assert_identity(frechet(x, y), shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real))


def test_frechet_of_a_sample_and_its_shifted_copy_is_the_shift():
    x = pair()[0]
    assert_identity(frechet(x, x + 3), 9 * x.shape[1])
    assert_identity(frechet(x, x), 0)


@pytest.mark.parametrize("d", [50, 200])
def test_frechet_with_fewer_samples_than_numbers(d):
    """Covariances of rank 19: the root of their product has no stable root, the sum of singular values has."""
    x = np.random.default_rng(0).normal(size=(20, d))
    assert_identity(frechet(x, x.copy()), 0)
    assert_identity(frechet(x, 2 * x), np.trace(np.cov(x.T)) + np.sum(x.mean(axis=0) ** 2))


@pytest.mark.parametrize(("n", "m"), [(40, 30), (30, 40)])
def test_frechet_of_few_samples_of_many_numbers_is_that_in_the_space_they_span(n, m, monkeypatch):
    """Six columns laid into sixty: the small covariances are made, the large ones are not."""
    monkeypatch.setattr("theodolite.coverage.distances.BLOCK", 60 * 7)  # samples of the larger side, seven at a time
    x, y = pair(n, m)
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(60, 6)))[0].T
    assert_identity(frechet(x @ axes, y @ axes), frechet(x, y))


def test_frechet_far_from_the_origin():
    x, y = pair()
    np.testing.assert_allclose(frechet(x + 1e6, y + 1e6), frechet(x, y), rtol=1e-7)


def test_the_bias_falls_with_the_samples_and_is_taken_off():
    rng = np.random.default_rng(0)
    sizes = [250, 500, 1000, 2000]
    biased = [np.mean([frechet(rng.normal(size=(n, 20)), rng.normal(size=(n, 20))) for _ in range(10)]) for n in sizes]
    assert_trend(sizes, biased, slope=-1.0, band=0.1)
    x, y = rng.normal(size=(2, 2000, 20))
    assert abs(frechet_unbiased(x, y)) < frechet(x, y) / 4


def test_moments_are_numpys():
    x = pair()[1]
    mean, covariance = moments(x)
    assert_identity(mean, x.mean(axis=0))
    assert_identity(covariance, np.cov(x.T))


def test_the_discrepancy_is_that_of_a_slow_loop():
    x, y = pair(25, 20, 4)

    def kernel(a, b):
        return (a @ b / 4 + 1) ** 3

    within_x = np.mean([kernel(x[i], x[j]) for i in range(25) for j in range(25) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(20) for j in range(20) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert_identity(unbiased_discrepancy(x, y, 3), within_x + within_y - 2 * between)


def test_the_kernel_distance_has_no_bias_and_knows_its_error():
    rng = np.random.default_rng(0)
    found = [kernel_distance(rng.normal(size=(200, 4)), rng.normal(size=(200, 4)), seed=seed) for seed in range(60)]
    values = np.array([one.value for one in found])
    assert_sampling(values, 0.0)
    errors = np.array([one.standard_error for one in found])
    assert_sampling(values**2 / np.mean(errors**2), 1.0)


def test_the_kernel_distance_of_a_shift_is_known():
    """With degree 1 the squared discrepancy is |m|²/d."""
    rng = np.random.default_rng(1)
    found = [kernel_distance(rng.normal(size=(300, 4)), rng.normal(0.5, 1, (250, 4)), 1, s).value for s in range(40)]
    assert_sampling(found, 0.25)


def test_the_kernel_distance_hangs_on_the_seed_only():
    x, y = pair()
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)


@pytest.mark.parametrize(("call", "fewest"), [(frechet, 2), (kernel_distance, 20), (frechet_unbiased, 16)])
def test_too_few_samples_are_told(call, fewest):
    with pytest.raises(DataError, match=f"at least {fewest}"):
        call(np.zeros((fewest - 1, 2)), np.zeros((50, 2)))


def test_bad_input_is_told():
    with pytest.raises(DataError, match="2 numbers each and generated ones 3"):
        frechet(np.zeros((50, 2)), np.zeros((50, 3)))
    with pytest.raises(DataError, match="not finite"):
        frechet(np.full((50, 2), np.nan), np.zeros((50, 2)))
    with pytest.raises(UsageError, match="degree=0"):
        kernel_distance(np.zeros((50, 2)), np.zeros((50, 2)), 0)


def test_powers_that_overflow_are_infinite_and_no_warning():
    rng = np.random.default_rng(0)
    x, y = 1e120 * rng.normal(size=(2, 60, 2))
    assert kernel_distance(x, y) == (np.inf, np.inf)
