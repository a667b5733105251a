"""What an audit of coverage says: sentences and large figures, computed from what was measured."""

import math

from theodolite.coverage.result import CoverageResult
from theodolite.kernel.records import Figure


def coverage_sentences(result: CoverageResult) -> list[str]:
    """Say what was found in two to four plain sentences, most important first."""
    rest = _gap_sentences(result)
    if result.missed_mass.lower > 0 or result.missed.any():
        return [_missed_sentence(result), _named_sentence(result), *(rest or [_overlap_sentence(result)])]
    nothing = (
        f"No part of the data is found {_missing(result)}, and none of {result.reals:,} real samples is named missed; "
        f"{'; '.join([resolution(result), *_more(result)])}."
    )
    # where nothing is missed, how far apart the two are comes first, if that is certified
    told = [nothing, _overlap_sentence(result)]
    return [*(told[::-1] if result.overlap.upper < 1 else told), *rest]


def _missing(result: CoverageResult) -> str:
    return f"where the generator puts almost nothing (at most {result.tau:g} times the density it should)"


def _missed_sentence(result: CoverageResult) -> str:
    missed = result.missed_mass
    estimate = f"{percent(missed.estimate)} ± {points(missed.uncertainty)}"
    if missed.lower > 0:
        return (
            f"At least {percent(missed.lower)} of the data lies {_missing(result)}, at {certainty(result.confidence)} "
            f"confidence; the estimate is {estimate}."
        )
    return f"By estimate {estimate} of the data lies {_missing(result)}; no such part is certified."


def _named_sentence(result: CoverageResult) -> str:
    named = int(result.missed.sum())
    if not named:
        return (
            f"None of {result.reals:,} real samples is named missed; {'; '.join([resolution(result), *_more(result)])}."
        )
    said = [
        f"{named:,} of {result.reals:,} real samples are named missed, of which at most {result.alpha:.0%} wrongly on "
        "average"
    ]
    clusters = sum(group.kind == "cluster" for group in result.groups)
    if clusters:
        said.append(f"they form {clusters} groups" if clusters > 1 else "they form one group")
    return "; ".join([*said, *_more(result)]) + "."


def _more(result: CoverageResult) -> list[str]:
    """Say what more generated samples would show, where they would show more and one real of it can be expected."""
    finer = [
        row
        for row in result.needed
        if row.mass < result.smallest_nameable_mass and row.fakes > result.fakes and row.mass * result.reals >= 1
    ]
    if not finer:
        return []
    row = max(finer, key=lambda row: row.mass)
    return [f"{rounded(row.fakes - result.fakes):,} more generated samples would let you see {row.mass:.1%}"]


def rounded(count: int) -> int:
    """Round a count up to two digits."""
    unit = int(10 ** max(len(str(count)) - 2, 0))
    return math.ceil(count / unit) * unit


def _overlap_sentence(result: CoverageResult) -> str:
    overlap = result.overlap
    estimate = f"{percent(overlap.estimate)} ± {points(overlap.uncertainty)}"
    if overlap.upper >= 1:
        return f"By estimate the two distributions share {estimate} of their mass; no difference is certified."
    return (
        f"The two distributions share at most {percent(overlap.upper)} of their mass, at "
        f"{certainty(result.confidence)} confidence; by estimate {estimate}."
    )


def _gap_sentences(result: CoverageResult) -> list[str]:
    gap = result.train_gap
    if gap is None:
        return []
    by_chance = f"50% ± {points(gap.closer_uncertainty)}"
    meaning = "where nothing is copied it would be" if gap.closer - gap.closer_uncertainty > 0.5 else "by chance it is"
    return [
        f"By D̂ the overlap is {percent(gap.overlap_train)} at the samples of the train set and "
        f"{percent(gap.overlap_held_out)} at held-out ones: a gap of {100 * gap.gap:.1f} ± "
        f"{points(gap.uncertainty)}.",
        f"A train sample is closer to its nearest generated one than a held-out sample in "
        f"{percent(gap.closer)} of pairs; {meaning} {by_chance}.",
    ]


def coverage_figures(result: CoverageResult) -> list[Figure]:
    """Return the four large figures of an audit."""
    return [
        Figure(value=f"≤ {100 * result.coverage.upper:.1f}", unit="%", meaning="of the data is covered"),
        Figure(
            value=f"{int(result.missed.sum()):,}", unit=f"of {result.reals:,}", meaning="real samples are named missed"
        ),
        Figure(value=f"≤ {100 * result.overlap.upper:.1f}", unit="%", meaning="overlap of the two distributions"),
        Figure(
            value=f"{result.auc:.2f}", meaning="chance that D̂ ranks a real sample above a generated one; 0.5 is blind"
        ),
    ]


def resolution(result: CoverageResult) -> str:
    """Say how small a missed part can be named."""
    if math.isfinite(result.smallest_nameable_mass):
        return f"a missed part below {percent(result.smallest_nameable_mass)} cannot be named"
    return "with so few generated samples no missed part can be named"


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.1f}%"


def certainty(confidence: float) -> str:
    """Write a confidence in per cent, rounded down: 0.999 is no certainty."""
    return f"{math.floor(1e4 * confidence + 1e-6) / 100:g}%"


def points(share: float) -> str:
    """Write a difference of shares."""
    return f"{100 * share:.1f} points"
