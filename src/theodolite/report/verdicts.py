"""Findings in words: what was predicted, what was measured, and what that says."""

from collections.abc import Sequence
from dataclasses import dataclass

from theodolite.kernel.records import Claim, Finding, Measurement, Plan, Prediction
from theodolite.report.numbers import integer, known_to, measured

NO_BREAK = "\u00a0"
MARKS = {"holds": "✓", "fails": "✗", "undecided": "?", "planned": "–"}
WORDS = {"holds": "holds", "fails": "fails", "undecided": "undecided", "planned": "not measured yet"}
BOUNDS: dict[Claim, str] = {"lower bound": "≥ ", "upper bound": "≤ ", "estimate": "≈ ", "exact": ""}


@dataclass(frozen=True)
class Row:
    """A row of theory beside practice, ready to be shown."""

    label: str
    predicted: str
    claim: str
    measured: str
    unit: str
    state: str
    source: str
    tolerance: str
    method: str

    @property
    def mark(self) -> str:
        """The sign of the verdict."""
        return MARKS[self.state]

    @property
    def word(self) -> str:
        """The verdict."""
        return WORDS[self.state]


def rows(plan: Plan, findings: Sequence[Finding] | None) -> list[Row]:
    """Return theory beside practice; without findings, theory alone."""
    if findings is None:
        return [_row(prediction, None, "planned") for prediction in plan.predictions]
    return [_row(finding.prediction, finding.measurement, finding.verdict) for finding in findings]


def contradictions(findings: Sequence[Finding]) -> list[str]:
    """Return a sentence for every prediction that failed: it is the first thing a report says."""
    said = []
    for finding in findings:
        if finding.verdict == "fails":
            row = _row(finding.prediction, finding.measurement, finding.verdict)
            claimed = f"{_claimed(finding.prediction)} {_with_unit(row.predicted.lstrip('≥≤≈ '), row.unit)}"
            seen = _with_unit(row.measured.replace(" ", NO_BREAK), row.unit)
            said.append(f"{_sentence(row.label)}: predicted {claimed}, measured {seen}.")
    return said


def tally(verdicts: Sequence[str]) -> str:
    """Say how many predictions hold, fail and are undecided.

    >>> tally(["holds", "holds", "fails"])
    '1 of 3 predictions fails, 2 hold'
    """
    count = len(verdicts)
    if not count:
        return "No prediction was made"
    noun = "prediction" if count == 1 else "predictions"
    held, failed, open_ = (verdicts.count(kind) for kind in ("holds", "fails", "undecided"))
    if held == count:
        return "The one prediction holds" if count == 1 else f"All {integer(count)} predictions hold"
    parts: list[str] = []
    for number, one, many in (
        (failed, "fails", "fail"),
        (held, "holds", "hold"),
        (open_, "is undecided", "are undecided"),
    ):
        if number:
            of_all = f" of {integer(count)} {noun}" if not parts else ""
            parts.append(f"{integer(number)}{of_all} {one if number == 1 else many}")
    return ", ".join(parts)


def state(verdicts: Sequence[str]) -> str:
    """Return the verdict of many: one failure fails, one doubt leaves it undecided."""
    if "fails" in verdicts:
        return "fails"
    return "undecided" if "undecided" in verdicts or not verdicts else "holds"


def _row(prediction: Prediction, measurement: Measurement | None, verdict: str) -> Row:
    resolution = prediction.tolerance
    if measurement is not None and 0 < measurement.uncertainty < float("inf"):
        resolution = min(resolution, measurement.uncertainty) if resolution else measurement.uncertainty
    return Row(
        label=prediction.label,
        predicted=BOUNDS[prediction.claim] + known_to(prediction.value, resolution),
        claim=prediction.claim,
        measured="–" if measurement is None else measured(measurement.value, measurement.uncertainty),
        unit=prediction.unit,
        state=verdict,
        source=prediction.source,
        tolerance=measured(prediction.tolerance, 0) if prediction.tolerance else "",
        method="" if measurement is None else measurement.method,
    )


def _sentence(label: str) -> str:
    """Begin a sentence with a label; one that begins with a symbol stays as it is."""
    return label[0].upper() + label[1:] if label[:2].isalpha() and label[:2].islower() else label


def _claimed(prediction: Prediction) -> str:
    return {"lower bound": "at least", "upper bound": "at most", "estimate": "about", "exact": "exactly"}[
        prediction.claim
    ]


def _with_unit(value: str, unit: str) -> str:
    return f"{value} {unit}" if unit else value
