"""How an audit of coverage writes its numbers."""

import pytest

from theodolite.coverage.words import certainty


@pytest.mark.parametrize(
    ("confidence", "written"),
    [(0.5, "50%"), (0.57, "57%"), (0.95, "95%"), (0.975, "97.5%"), (1 - 0.05 / 3, "98.33%"), (0.999, "99.9%")],
)
def test_a_confidence_is_written_with_what_tells_it_from_certainty(confidence, written):
    assert certainty(confidence) == written


def test_no_confidence_is_rounded_up():
    assert certainty(0.999999) == "99.99%"
