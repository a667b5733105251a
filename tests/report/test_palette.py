import itertools

import pytest

from theodolite.report.palette import SERIES, painted, stylesheet, token, variables


def contrast(one: str, other: str) -> float:
    """WCAG 2, written anew: the tests share nothing with the palette."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        return sum(
            weight * (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
            for weight, share in zip((0.2126, 0.7152, 0.0722), shares, strict=True)
        )

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read(dark: bool) -> None:
    colours = variables(dark)
    for name in ["ink", "muted", "link", "fail", *(f"{series}-text" for series in SERIES)]:
        assert contrast(colours[name], colours["paper"]) >= 4.5, name


@pytest.mark.parametrize("dark", [False, True])
def test_real_and_generated_stand_out_and_differ(dark: bool) -> None:
    colours = variables(dark)
    assert contrast(colours["real"], colours["paper"]) >= 3
    assert contrast(colours["generated"], colours["paper"]) >= 3
    assert all(a != b for a, b in itertools.combinations(SERIES.values(), 2))


def test_every_named_colour_is_defined_and_painted() -> None:
    for name in [*SERIES, "theory"]:
        for text in (False, True):
            assert f"--{token(name, text=text)[6:-1]}:" in stylesheet()
            assert painted(token(name, text=text), dark=True).startswith("#")


def test_paper_is_light_in_print() -> None:
    dark = stylesheet().partition("@media screen and (prefers-color-scheme:dark)")[2]
    assert variables(True)["paper"] in dark
    assert "print" not in dark
