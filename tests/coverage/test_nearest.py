import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.coverage import nearest as module
from theodolite.coverage.nearest import distances, nearest


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_nearest_is_the_nearest_across_blocks(monkeypatch, offset):
    monkeypatch.setattr(module, "BLOCK", 64)
    rng = np.random.default_rng(0)
    samples, fake = rng.normal(size=(150, 4, 2)) + offset, rng.normal(size=(333, 4, 2)) + offset
    slow = np.sqrt(((samples[:, None] - fake) ** 2).sum(axis=(2, 3)))
    found = nearest(samples, fake)
    np.testing.assert_array_equal(found, slow.argmin(axis=1))
    np.testing.assert_allclose(distances(samples, fake, found), slow.min(axis=1))


def test_copies_are_found_among_many():
    rng = np.random.default_rng(1)
    fake = rng.normal(size=(5000, 300))
    chosen = rng.integers(0, 5000, 200)
    np.testing.assert_array_equal(nearest(fake[chosen], fake), chosen)
    assert_identity(distances(fake[chosen], fake, chosen), np.zeros(200))


def test_values_of_any_size_and_samples_that_do_not_vary():
    for size in (1e-90, 1e90):
        points = size * np.array([[0.0], [1.0], [5.0]])
        assert nearest(points, points[::-1]).tolist() == [2, 1, 0]
    assert nearest(np.ones((3, 2)), np.ones((4, 2))).tolist() == [0, 0, 0]
    assert nearest(np.array([[1e99]]), np.array([[0.0], [1.0]])).shape == (1,)


def test_memory_maps_and_bytes(tmp_path):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (60, 5, 5)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(mapped, mapped), np.arange(60))
