"""Numbers as a reader sees them: rounded to what is known, thousands apart, a real minus sign."""

import math
from collections.abc import Sequence

SEPARATOR = ","
PLUS_MINUS = " ± "
MINUS = "−"
FIGURES = 4  # significant figures where no uncertainty says how many are known
MOST_DECIMALS = 12
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def integer(value: int) -> str:
    """Write a whole number, thousands apart.

    >>> integer(-1234567)
    '−1,234,567'
    """
    return f"{value:,}".replace("-", MINUS)


def fixed(value: float, decimals: int) -> str:
    """Write a number with so many decimals; a negative count rounds to tens, hundreds and so on.

    >>> fixed(-0.0004, 2)
    '0.00'
    """
    special = _special(value)
    if special is not None:
        return special
    rounded = round(value, decimals)
    if decimals < 0 or rounded == 0:
        rounded = abs(rounded) if rounded == 0 else rounded
    return f"{rounded:,.{max(0, decimals)}f}".replace("-", MINUS)


def number(value: float, figures: int = FIGURES) -> str:
    """Write a number with so many significant figures; whole numbers in full, extremes with a power of ten.

    >>> number(0.25), number(2.0), number(0.0000123)
    ('0.25', '2', '1.23×10⁻⁵')
    """
    special = _special(value)
    if special is not None:
        return special
    if value == int(value) and abs(value) < 1e15:
        return integer(int(value))
    if not 1e-4 <= abs(value) < 1e7:
        return _power(value, figures)
    decimals = max(0, figures - 1 - exponent(value))
    text = fixed(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def measured(value: float, uncertainty: float) -> str:
    """Write a value beside its uncertainty, both to one digit beyond the uncertainty's first.

    >>> measured(1.23456, 0.0312), measured(12, 0)
    ('1.235 ± 0.031', '12')
    """
    if not math.isfinite(value):
        return number(value)
    if uncertainty == 0:
        return number(value, figures=6)
    if not math.isfinite(uncertainty):
        return f"{number(value)}{PLUS_MINUS}{number(uncertainty)}"
    decimals = 1 - exponent(uncertainty)
    largest = max(abs(value), uncertainty)
    if decimals > MOST_DECIMALS or largest >= 1e15:
        return f"{number(value, figures=6)}{PLUS_MINUS}{number(uncertainty, figures=2)}"
    return f"{fixed(value, decimals)}{PLUS_MINUS}{fixed(uncertainty, decimals)}"


def known_to(value: float, resolution: float) -> str:
    """Write a value to one digit beyond a resolution's first; without one (0), to six figures."""
    return measured(value, resolution).split(PLUS_MINUS)[0] if value else "0"


def column(values: Sequence[float]) -> list[str]:
    """Write the numbers of one column of a table with decimals in common, so that the points stand below each other."""
    finite = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not finite or max(finite) >= 1e7 or min(finite) < 1e-4:
        return [number(value) for value in values]
    wanted = [_decimals(value) for value in finite]
    # as many as the largest number bears: eight digits before and after the point together
    decimals = min(max(wanted), max(0, 7 - exponent(max(finite))))
    return [fixed(value, decimals) for value in values]


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(0.42), duration(75), duration(7384)
    ('0.42 s', '1 min 15 s', '2 h 3 min')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if seconds < 60:
        return f"{number(seconds, figures=2)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{integer(hours)} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def memory(size: float) -> str:
    """Write a number of bytes.

    >>> memory(16_869_634_048)
    '15.7 GiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{number(size, figures=3)} {unit}"


def exponent(value: float) -> int:
    """Return the power of ten of the first digit of a number that is neither 0 nor infinite."""
    return int(f"{abs(value):.15e}".split("e")[1])


def _decimals(value: float) -> int:
    text = number(value)
    return len(text.partition(".")[2])


def _power(value: float, figures: int) -> str:
    mantissa, power = f"{value:.{figures - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa.replace('-', MINUS)}×10{str(int(power)).translate(_SUPERSCRIPTS)}"


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return None
