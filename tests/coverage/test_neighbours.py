import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tests.coverage.slow_distances import slow_squares
from tests.tolerances import assert_identity, assert_single
from threadpoolctl import threadpool_limits

from theodolite.coverage.clouds import clouds, squares
from theodolite.coverage.neighbours import balls_both_ways, kth_neighbours, pairs_within
from theodolite.kernel.errors import DataError

SCALES = st.sampled_from([1e-80, 1e-3, 1.0, 1e5, 1e80])


def points(seed, n, d, offset=0.0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(n, d)) + offset) * scale


@given(
    seed=st.integers(0, 99), d=st.integers(1, 20), k=st.integers(1, 9), offset=st.sampled_from([0, 1e3]), scale=SCALES
)
def test_the_kth_neighbour_is_exact(seed, d, k, offset, scale):
    x = points(seed, 60, d, offset, scale)
    cloud = clouds(x)[0]
    expected = np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(slow_squares(x / scale, x / scale))])
    assert_identity(kth_neighbours(cloud, k) / (cloud.scale * scale) ** 2, expected[cloud.order])


def test_more_neighbours_than_a_tile_holds(monkeypatch):
    for module in ("clouds", "neighbours"):
        monkeypatch.setattr(f"theodolite.coverage.{module}.TILE", 4)
    x = points(0, 30, 3)
    cloud = clouds(x)[0]
    expected = np.sort(slow_squares(x, x), axis=1)[:, 20]
    assert_identity(kth_neighbours(cloud, 20) / cloud.scale**2, expected[cloud.order])


@given(seed=st.integers(0, 99), d=st.integers(1, 30), grid=st.booleans())
def test_the_bound_holds_for_every_pair(seed, d, grid):
    x = points(seed, 50, d, scale=3.0)
    x[0] *= 1e4
    cloud = clouds(np.round(x) if grid else x)[0]
    rows = np.arange(50)
    s = cloud.left(slice(None)) @ cloud.right.T
    exact = squares(cloud, rows.repeat(50), cloud, np.tile(rows, 50)).reshape(50, 50)
    for column in range(50):
        e = cloud.error(slice(None), cloud.norms[column : column + 1])
        assert (np.abs(s[:, column] - exact[:, column]) <= e).all()
        away = cloud.out_of_reach(slice(None), cloud.norms[column : column + 1], exact[:, column])
        assert not away.any()


def test_the_bound_is_no_more_than_needed():
    """Were it far too wide all pairs would be looked at again, and nothing would be gained."""
    x = points(0, 2000, 64)
    cloud = clouds(x)[0]
    usual = np.median(kth_neighbours(cloud, 5))
    assert np.median(cloud.error(slice(None), cloud.norms)) < 1e-3 * usual


def test_balls_are_counted_both_ways():
    x, y = points(1, 90, 3), points(2, 70, 3)
    a, b = clouds(x, y)
    reach_a, reach_b = kth_neighbours(a, 4), kth_neighbours(b, 3)
    around_a, around_b = balls_both_ways(a, b, reach_a, reach_b)
    between = slow_squares(x[a.order], y[b.order]) * a.scale**2
    assert (around_a.holding == (between < reach_a[:, None]).sum(axis=1)).all()
    assert (around_a.held_by == (between < reach_a[:, None]).sum(axis=0)).all()
    assert (around_b.holding == (between < reach_b).sum(axis=0)).all()
    assert (around_b.held_by == (between < reach_b).sum(axis=1)).all()


@given(seed=st.integers(0, 99), grid=st.booleans(), copies=st.integers(1, 3))
def test_pairs_are_counted_with_their_copies(seed, grid, copies):
    x = points(seed, 40, 2)
    x = np.round(3 * x) if grid else x
    cloud = clouds(x)[0]
    for reach in (0.0, 0.5, 1.0, 2.0):
        found = pairs_within(cloud, reach * cloud.scale**2, np.full(40, copies))
        every = np.repeat(x, copies, axis=0)
        assert found == int((slow_squares(every, every)[np.triu_indices(len(every), 1)] <= reach).sum())


def test_points_are_ordered_by_their_norms():
    x = points(0, 100, 3, offset=5.0)
    cloud = clouds(x)[0]
    assert (np.diff(cloud.norms) >= 0).all()
    assert_identity(cloud.norms, np.linalg.norm(cloud.right[:, :-2].astype(float), axis=1))
    assert_single((cloud.right[:, :-2] - cloud.right[0, :-2]) / cloud.scale, x[cloud.order] - x[cloud.order[0]])


@pytest.mark.parametrize("step", [1, 1 / 256, 1 / 16])
def test_a_dyadic_grid_needs_no_second_look(step):
    assert clouds(np.round(9 * points(0, 50, 3)) * step)[0].rounding == 0


@pytest.mark.parametrize(
    "x", [points(0, 50, 3), np.round(points(0, 50, 3)) * 0.1, 2.0**40 * np.round(points(0, 50, 3))]
)
def test_other_numbers_do(x):
    assert clouds(x)[0].rounding > 0


def test_values_without_a_common_scale_are_told():
    with pytest.raises(DataError, match="1e140"):
        clouds(np.concatenate([points(0, 50, 2), [[1e300, 0]]]) * 1e-100)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads):
    x, y = points(5, 2500, 4), points(6, 2200, 4)
    with threadpool_limits(threads, user_api="blas"):
        a, b = clouds(x, y)
        found = balls_both_ways(a, b, kth_neighbours(a, 5), kth_neighbours(b, 5))
    between = cdist(x[a.order], y[b.order])
    reach = np.sort(cdist(x, x), axis=1)[a.order, 5]
    assert (found[0].holding == (between < reach[:, None]).sum(axis=1)).all()


def test_an_outlier_has_a_block_of_its_own():
    x = points(0, 3000, 3)
    x[7] *= 1e9
    blocks = clouds(x)[0].blocks()
    assert blocks[-1] == slice(2999, 3000)
    assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
