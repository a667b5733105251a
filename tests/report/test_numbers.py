import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theodolite.report import numbers
from theodolite.report.numbers import (
    PLUS_MINUS,
    SEPARATOR,
    column,
    duration,
    exponent,
    fixed,
    integer,
    known_to,
    measured,
    memory,
    number,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, min_value=-1e12, max_value=1e12)
POSITIVE = st.floats(min_value=1e-6, max_value=1e6)


def read_back(text: str) -> float:
    """The number a reader understands, by an independent way back."""
    plain = text.replace(SEPARATOR, "").replace("−", "-")
    mantissa, _, power = plain.partition("×10")
    digits = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(mantissa) * 10.0 ** int(digits or 0)


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(numbers).failed == 0


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_integers_come_back(value: int) -> None:
    assert int(integer(value).replace(SEPARATOR, "").replace("−", "-")) == value
    groups = integer(abs(value)).split(SEPARATOR)
    assert all(len(group) == 3 for group in groups[1:])


@given(FINITE, st.integers(min_value=1, max_value=8))
def test_a_number_is_off_by_less_than_half_of_its_last_figure(value: float, figures: int) -> None:
    text = number(value, figures)
    unit = 10.0 ** (exponent(value) - figures + 1) if value else 0.0
    assert abs(read_back(text) - value) <= 0.5001 * unit
    assert "-" not in text
    assert text != "−0"


@given(FINITE, POSITIVE)
def test_value_and_uncertainty_end_at_the_same_digit(value: float, uncertainty: float) -> None:
    value_text, _, uncertainty_text = measured(value, uncertainty).partition(PLUS_MINUS)
    if "×" not in uncertainty_text:
        assert len(value_text.partition(".")[2]) == len(uncertainty_text.partition(".")[2])
    # never rounded by more than a tenth of the uncertainty
    assert abs(read_back(value_text) - value) <= 0.1 * uncertainty


@given(st.lists(FINITE, min_size=1, max_size=12))
def test_a_column_has_one_entry_a_value_and_points_below_each_other(values: list[float]) -> None:
    written = column(values)
    assert len(written) == len(values)
    if not any("×" in text for text in written) and max(map(abs, values)) < 1e7:
        nonzero = [abs(value) for value in values if value]
        if nonzero and min(nonzero) >= 1e-4:
            assert len({len(text.partition(".")[2]) for text in written}) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "–"), (-0.0, "0"), (4096.0, f"4{SEPARATOR}096"), (1e20, "1×10²⁰")],
)
def test_special_numbers(value: float, expected: str) -> None:
    assert number(value) == expected


def test_rounding_below_a_uncertainty_above_ten_goes_to_tens() -> None:
    assert measured(123456, 2345) == f"123{SEPARATOR}500{PLUS_MINUS}2{SEPARATOR}300"
    assert fixed(-0.0004, 2) == "0.00"
    assert known_to(-54.3127, 0.05) == "−54.313"
    assert known_to(8, 0) == "8"


def test_measured_is_told_even_where_it_is_no_number() -> None:
    assert measured(math.nan, 0.1) == "–"
    assert measured(1.0, math.inf) == f"1{PLUS_MINUS}∞"
    assert measured(1.0, 1e-15).startswith(f"1{PLUS_MINUS}")


def test_time_and_memory() -> None:
    assert duration(59.994) == "60 s"
    assert duration(math.nan) == duration(-1) == "unknown"
    assert memory(512) == "512 B"
    assert memory(2**45) == "32 TiB"
