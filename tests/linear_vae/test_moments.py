import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import IDENTITY, SINGLE, assert_identity

from theodolite.linear_vae import moments
from theodolite.linear_vae.moments import Moments

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.standard_normal((3000, 6)) @ RANDOM.standard_normal((6, 6)) + 3.0


def _truth(rows, ddof=0):
    """By the textbook, in the longest precision there is."""
    long = np.asarray(rows, np.longdouble)
    centred = long - long.mean(axis=0)
    return long.mean(axis=0).astype(float), (centred.T @ centred / (len(long) - ddof)).astype(float)


def _assert_moments(found, rows, ddof=0, tolerance=IDENTITY):
    mean, covariance = _truth(rows, ddof)
    deviation = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    assert found.count == len(rows)
    np.testing.assert_allclose((found.mean - mean) / deviation, 0, atol=tolerance)
    np.testing.assert_allclose(
        (found.covariance(ddof) - covariance) / np.outer(deviation, deviation), 0, atol=tolerance
    )


@pytest.mark.parametrize("ddof", [0, 1, 2])
def test_mean_and_covariance_are_those_of_the_textbook(ddof):
    _assert_moments(Moments(6).add(ROWS), ROWS, ddof)
    assert_identity(Moments(6).add(ROWS).covariance(ddof), np.cov(ROWS.T, ddof=ddof))


@settings(max_examples=40)
@given(
    cuts=st.lists(st.integers(0, 3000), max_size=6),
    order=st.randoms(use_true_random=False),
    merged=st.lists(st.booleans(), min_size=7, max_size=7),
    single=st.booleans(),
    offset=st.sampled_from([0.0, 1e2, 1e5]),
)
def test_any_split_order_and_tree_of_merges_give_the_same(cuts, order, merged, single, offset):
    rows = (ROWS + offset).astype(np.float32)
    parts = np.split(rows, sorted(cuts))
    order.shuffle(parts)
    states = [Moments(6, single=single)]
    for part, apart in zip(parts, merged, strict=False):
        if apart:
            states.append(Moments(6, single=single).add(part))
        else:
            order.choice(states).add(part)
    while len(states) > 1:
        order.shuffle(states)
        states[0].merge(states.pop())
    _assert_moments(states[0], rows, tolerance=1e-2 * SINGLE if single else IDENTITY)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint16, np.int64, bool]
)
@pytest.mark.parametrize("single", [False, True])
def test_numbers_of_any_type(dtype, single):
    rows = np.clip(ROWS * 3 + 10, 0, 100).astype(dtype)
    _assert_moments(Moments(6, single=single).add(rows), rows, tolerance=1e-2 * SINGLE if single else IDENTITY)


@pytest.mark.parametrize("rows", [np.asfortranarray(ROWS), ROWS[::2], ROWS[:, ::-1], ROWS[::-1, ::2]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_in_any_order_of_memory(rows, dtype):
    view = np.empty((rows.shape[0], 2 * rows.shape[1]), dtype)[:, ::2]
    view[...] = rows
    for found in (Moments(rows.shape[1], single=True).add(view), Moments(rows.shape[1], single=True).add(rows)):
        _assert_moments(found, view, tolerance=1e-2 * SINGLE)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("outliers", ["first", "middle", "a block of them"])
def test_a_shift_far_from_the_rest_does_no_harm(single, outliers):
    rows = ROWS.astype(np.float32)
    rows[{"first": slice(0, 1), "middle": slice(1500, 1501), "a block of them": slice(0, 600)}[outliers]] += 1e6
    split = 600
    found = Moments(6, single=single).add(rows[:split]).add(rows[split:])
    _assert_moments(found, rows, tolerance=1e-2 * SINGLE if single else IDENTITY)


def test_constant_columns_have_no_variance():
    for constant in (0.1, 1e5 + 0.3):
        rows = ROWS.astype(np.float32)
        rows[:, 2] = constant
        for single in (False, True):
            covariance = Moments(6, single=single).add(rows).covariance()
            np.testing.assert_allclose(covariance[2], 0, atol=IDENTITY)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e5])
def test_single_precision_keeps_eigenvalues_whatever_the_offset(offset):
    rows = (RANDOM.standard_normal((30_000, 20)) * np.linspace(1, 3, 20) + offset).astype(np.float32)
    truth = np.linalg.eigvalsh(_truth(rows)[1])
    found = np.linalg.eigvalsh(Moments(20, single=True).add(rows).covariance())
    np.testing.assert_array_less(np.abs(found / truth - 1), 1e-2 * SINGLE)


def test_rounding_in_one_direction_is_seen():
    """Two values, shifted off zero: every square is one of two, and rounds the same way again and again."""
    few = (RANDOM.random((20_000, 8)) < 0.3).astype(np.float32) - np.float32(0.3)
    for rows, biased in ((few, True), (RANDOM.standard_normal((20_000, 8), dtype=np.float32), False)):
        single = Moments(8, single=True).add(rows)
        error = np.diag(single.covariance()) - np.diag(_truth(rows)[1])
        bias, spread = single.rounding
        assert (abs(bias.mean()) > 3 * spread.mean() / np.sqrt(8)) == biased
        np.testing.assert_array_less(np.abs(error), np.abs(bias) + 4 * spread)


def test_rounding_is_none_in_double_precision_and_merges():
    assert not np.any(Moments(6).add(ROWS.astype(np.float32)).rounding)
    rows = ROWS.astype(np.float32)
    halves = Moments(6, single=True).add(rows[:1500]).merge(Moments(6, single=True).add(rows[1500:]))
    assert (halves.rounding.spread > 0).all()
    assert (halves.rounding.spread < 1e-2 * SINGLE * np.diag(halves.covariance())).all()


def test_large_and_small_numbers_leave_float32_but_not_float64():
    for scale in (1e30, 1e-30):
        rows = (ROWS * scale).astype(np.float32)
        _assert_moments(Moments(6, single=True).add(rows), rows)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("rows", [1, 700, 20_000])
def test_what_has_no_covariance_is_refused_and_changes_nothing(bad, rows, monkeypatch):
    monkeypatch.setattr(moments, "MOST_ROWS", 600)
    state = Moments(6).add(ROWS)
    before = state.covariance()
    wrong = np.ones((rows + 1, 6))
    wrong[-1, 3] = bad
    with pytest.raises(ValueError, match=r"NaN or infinity|rescale") as error:
        state.add(wrong)
    assert "\n" not in str(error.value)
    assert state.count == 3000
    np.testing.assert_array_equal(state.covariance(), before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_has_no_covariance_is_refused_in_single_precision(bad):
    rows = ROWS.astype(np.float32)
    rows[1234, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity in 1 of"):
        Moments(6, single=True).add(rows)


def test_squares_that_overflow_or_vanish_are_refused():
    with pytest.raises(ValueError, match="distance between two sets"):
        Moments(2).add([[1e200, 0.0]]).merge(Moments(2).add([[-1e200, 0.0]]))
    with pytest.raises(ValueError, match="rescale"):
        Moments(2).add([[1e-170, 0.0], [0.0, 1e-170]])


@pytest.mark.parametrize("rows", [[1.0, 2.0], [[1.0]], [["a", "b"]], [[1j, 2j]], np.array([[None, 1]])])
def test_what_is_no_rows_is_refused(rows):
    with pytest.raises(ValueError, match="numbers \\(rows, 2\\) are needed"):
        Moments(2).add(rows)


def test_too_few_rows():
    with pytest.raises(ValueError, match="no rows"):
        _ = Moments(2).mean
    assert Moments(2).add([[1.0, 2.0]]).add(np.zeros((0, 2))).mean.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="1 rows were added"):
        Moments(2).add([[1.0, 2.0]]).covariance()
    with pytest.raises(ValueError, match="needs 4"):
        Moments(2).add(np.eye(2)).covariance(ddof=3)


def test_a_state_can_be_stored():
    state = pickle.loads(pickle.dumps(Moments(6, single=True).add(ROWS[:2000].astype(np.float32))))
    _assert_moments(state.add(ROWS[2000:].astype(np.float32)), ROWS.astype(np.float32), tolerance=1e-2 * SINGLE)


def test_merging_another_width_and_too_wide_are_refused():
    with pytest.raises(ValueError, match="cannot be merged"):
        Moments(2).merge(Moments(3))
    with pytest.raises(ValueError, match="wide data"):
        Moments(10_000_000)


def test_reading_does_not_disturb_what_is_counted():
    state, other = Moments(6, single=True), Moments(6, single=True).add(ROWS.astype(np.float32))
    for part in np.array_split(ROWS.astype(np.float32), 3):
        state.add(part).mean.fill(0)
        state.covariance().fill(0)
    _assert_moments(state, ROWS.astype(np.float32), tolerance=1e-2 * SINGLE)
    Moments(6).merge(other)
    _assert_moments(other, ROWS.astype(np.float32), tolerance=1e-2 * SINGLE)


def test_a_state_is_all_there_is_to_know():
    rows = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    moments = Moments(3, single=True).add(rows)
    again = Moments.from_state(moments.state()).add(rows)
    assert again.count == 60
    assert_identity(again.mean, moments.mean)
    assert_identity(again.covariance(), moments.covariance())
