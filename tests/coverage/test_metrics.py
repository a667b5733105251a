import json

import numpy as np
import pytest
from prdc import compute_prdc
from tests.coverage.slow_distances import slow_prdc
from tests.tolerances import assert_identity

from theodolite.coverage.metrics import PeerMetrics, peers, prdc
from theodolite.kernel.errors import DataError, UsageError

NAMES = ("precision", "recall", "density", "coverage")
SIZES = [(700, 600, 8, 5), (520, 1100, 2, 3), (60, 50, 64, 1), (2500, 2100, 1, 5), (2100, 300, 3, 10)]
KINDS = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32),
    "far smaller": lambda x: x * 1e-100,
    "far larger": lambda x: x * 1e100,
    "integers": lambda x: np.round(2 * x).astype(np.int64),
    "halves in float32": lambda x: (np.round(2 * x) / 2).astype(np.float32),
    "grey values": lambda x: np.clip(128 + 40 * x, 0, 255).astype(np.uint8),
    "grey values in float32": lambda x: np.clip(128 + 40 * x, 0, 255).astype(np.uint8).astype(np.float32),
    "large integers": lambda x: np.round(1e6 * x),
}


def samples(n, m, d, seed=0):
    rng = np.random.default_rng([n, m, d, seed])
    return rng.normal(0, 1, (n, d)), rng.normal(0.3, 0.9, (m, d))


def theirs(real, fake, k, capsys):
    found = compute_prdc(real, fake, k)
    capsys.readouterr()  # it prints
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "m", "d", "k"), SIZES)
def test_equal_to_prdc(n, m, d, k, kind, capsys):
    real, fake = (KINDS[kind](x) for x in samples(n, m, d))
    expected, found = theirs(real, fake, k, capsys), prdc(real, fake, k)
    assert list(found) == list(NAMES)
    for name in NAMES:
        assert_identity(found[name], expected[name])


def test_equal_to_prdc_for_two_precisions(capsys):
    real, fake = samples(700, 600, 8)
    for pair in ((real.astype(np.float32), fake), (real, fake.astype(np.float32))):
        expected, found = theirs(*pair, 5, capsys), prdc(*pair, 5)
        assert_identity([found[name] for name in NAMES], [expected[name] for name in NAMES])


def test_equal_to_prdc_with_copies_on_both_sides(capsys):
    real, fake = (np.round(x) for x in samples(900, 800, 3))
    real, fake = np.concatenate([real, real[:50]]), np.concatenate([fake, real[:60]])
    expected, found = theirs(real, fake, 5, capsys), prdc(real, fake, 5)
    assert_identity([found[name] for name in NAMES], [expected[name] for name in NAMES])


def _outlier(x):
    x = x.copy()
    x[3] *= 1e9
    return x


HARD = {
    "far from the origin": lambda x: x + 1e9,
    "an outlier": _outlier,
    "an outlier beyond single precision": lambda x: np.concatenate([x, np.full((1, x.shape[1]), 1e40)]),
    "tenths, which tie": lambda x: np.round(2 * x) * 0.1,
    "a constant column": lambda x: np.column_stack([x, np.full(len(x), 0.1)]),
    "one point for half": lambda x: np.where(np.arange(len(x))[:, None] % 2, x, 0.1),
    "columns of two scales": lambda x: x * np.geomspace(1e-6, 1e6, x.shape[1]),
}


@pytest.mark.parametrize("kind", HARD)
def test_exact_where_single_precision_is_not(kind):
    real, fake = (HARD[kind](x) for x in samples(330, 300, 5))
    expected, found = slow_prdc(real, fake, 5), prdc(real, fake, 5)
    assert_identity([found[name] for name in NAMES], [expected[name] for name in NAMES])


def test_many_dimensions_leave_more_open():
    real, fake = samples(150, 150, 3000)
    found = prdc(real, fake, 5)
    expected = slow_prdc(real, fake, 5)
    assert_identity([found[name] for name in NAMES], [expected[name] for name in NAMES])


def test_small_tiles_change_nothing(monkeypatch):
    real, fake = samples(300, 260, 4)
    expected = prdc(real, fake, 5)
    for module in ("clouds", "neighbours"):
        monkeypatch.setattr(f"theodolite.coverage.{module}.TILE", 7)
    assert prdc(real, fake, 5) == expected


def test_images_and_memory_maps_are_taken_as_vectors(tmp_path):
    real, fake = samples(300, 400, 16)
    np.save(tmp_path / "real.npy", real.reshape(300, 4, 4))
    mapped = np.load(tmp_path / "real.npy", mmap_mode="r")
    assert prdc(mapped, fake.reshape(400, 4, 4)) == prdc(real, fake)


def test_limits():
    points = samples(500, 50, 3)[0]
    assert prdc(points, points + 1000) == dict.fromkeys(NAMES, 0)
    same = prdc(points, points.copy())
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


@pytest.mark.parametrize("k", [0, 50])
def test_neighbours_that_do_not_exist_are_told(k):
    with pytest.raises(UsageError, match=f"k={k}.*49"):
        prdc(np.zeros((50, 2)), np.zeros((60, 2)), k)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_told(value):
    real, fake = samples(50, 60, 3)
    fake[7, 1] = value
    with pytest.raises(DataError, match="not finite"):
        prdc(real, fake)


def test_different_widths_are_told():
    with pytest.raises(DataError, match="3 and 4"):
        prdc(np.ones((50, 3)), np.ones((60, 4)))


def test_words_are_told():
    with pytest.raises(DataError, match="numbers"):
        prdc(np.full((50, 3), "a"), np.ones((60, 3)))


def test_peers_are_frozen_and_survive_json():
    real, fake = samples(300, 250, 4)
    found = peers(real, fake)
    assert PeerMetrics.model_validate_json(found.model_dump_json()) == found
    assert {name: getattr(found, name) for name in NAMES} == prdc(real, fake)
    assert found == peers(real, fake)
    assert json.loads(found.model_dump_json())["support"]["samples"] == 250
    with pytest.raises(ValueError, match="frozen"):
        found.frechet = 0.0


def test_peers_order_generators_as_they_should_be():
    rng = np.random.default_rng(3)
    real = rng.normal(size=(600, 8))
    same, shifted, collapsed = (
        peers(real, fake)
        for fake in (
            rng.normal(size=(600, 8)),
            rng.normal(0.5, 1, (600, 8)),
            rng.normal(size=(20, 8))[rng.integers(0, 20, 600)],
        )
    )
    assert abs(same.frechet_unbiased) < same.frechet < shifted.frechet
    assert abs(same.kernel) < 4 * same.kernel_error < shifted.kernel
    assert same.support.repeated_pairs <= same.real_support.repeated_pairs + 2
    assert collapsed.support.size < 40 < collapsed.real_support.lower
