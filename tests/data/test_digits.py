import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.data.digits import digits, split
from theodolite.kernel.errors import UsageError


def test_the_digits_are_the_known_ones():
    images, labels = digits()
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.float64
    assert images.min() == 0
    assert images.max() == 1
    np.testing.assert_array_equal(np.bincount(labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


def test_the_digits_can_be_written_to_without_harm():
    first, _ = digits()
    first[:] = 7
    assert digits()[0].max() == 1


@given(n=st.integers(2, 200), share=st.floats(0, 0.49), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_a_split_loses_and_doubles_nothing(n, share, seed):
    train, held_out = split(n, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(n))
    assert len(held_out) == (max(1, round(n * share)) if share > 0 else 0)
    again = split(n, share, seed)
    np.testing.assert_array_equal(train, again[0])


def test_a_split_follows_its_seed():
    assert not np.array_equal(split(100, 0.2, 0)[1], split(100, 0.2, 1)[1])


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError, match="must lie in"):
        split(10, share, 0)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(UsageError, match="leaves none to train on"):
        split(1, 0.5, 0)
