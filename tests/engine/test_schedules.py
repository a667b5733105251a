from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.engine.schedules import half_cosine


def test_it_falls_from_one_through_a_half_to_nothing():
    assert_identity([half_cosine(place, 200) for place in (0, 100, 200)], [1.0, 0.5, 0.0])


@given(st.integers(2, 10**6), st.data())
def test_it_never_rises(total, data):
    number = data.draw(st.integers(0, total - 1))
    assert 1 >= half_cosine(number, total) >= half_cosine(number + 1, total) >= 0
