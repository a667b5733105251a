"""What plans and audits are made of: frozen records that go to JSON and come back equal."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from theodolite.kernel.exhibits import Exhibit

Claim = Literal["exact", "lower bound", "upper bound", "estimate"]
Verdict = Literal["holds", "fails", "undecided"]


def _finite_or_infinite(value: float) -> float:
    if value != value:
        raise ValueError("a prediction must be a number, not NaN")
    return value


class Record(BaseModel):
    """Base of all records: immutable, unknown fields refused, infinities kept in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Prediction(Record):
    """One number that theory states before anything is trained.

    Attributes
    ----------
    name : str
        Identifier, the same in plan and audit, such as ``"elbo_at_optimum"``.
    label : str
        What a reader sees, such as ``"ELBO at the optimum"``.
    value, tolerance : float
        The number and the deviation that is still agreement, both in `unit`.
    unit : str
        ``"nats per sample"``, ``"dB"``, ``""`` for a pure number.
    claim : {"exact", "lower bound", "upper bound", "estimate"}
        What kind of statement it is.
    source : str
        Author, year and equation, or the derivation in ``docs/answers``.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    value: Annotated[float, AfterValidator(_finite_or_infinite)]
    unit: str
    claim: Claim
    source: str
    tolerance: float = Field(default=0.0, ge=0.0)


class Measurement(Record):
    """One number that was measured, with the half-width of its 95% interval (0 for a count)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    value: float
    unit: str
    uncertainty: float = Field(default=0.0, ge=0.0)
    method: str = Field(description="how it was measured, in a few words")


class Finding(Record):
    """A prediction beside its measurement, and the verdict."""

    prediction: Prediction
    measurement: Measurement
    verdict: Verdict


class Plan(Record):
    """What a family predicts for one configuration, before training.

    Attributes
    ----------
    family : str
        Name on the command line, such as ``"linear-vae"``.
    config : dict
        The settings the plan was made for.
    assumptions : tuple of str
        What the predictions rest on, one sentence each.
    predictions : tuple of Prediction
        Every one of them must be measured by the audit.
    exhibits : tuple of Exhibit
        Tables and diagrams that need no training.
    """

    family: str
    config: dict[str, Any]
    assumptions: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 of the plan's JSON, the seal kept in every checkpoint."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Figure(Record):
    """A large figure on the first screen of a report: a value as text, its unit and its meaning."""

    value: str
    unit: str = ""
    meaning: str


class Audit(Record):
    """What was measured after training, beside what the plan said.

    Attributes
    ----------
    family : str
        As in the plan.
    title : str
        What was examined, in a few words.
    sentences : tuple of str
        The verdict in two to four plain sentences computed from the measurements, most important first.
    figures : tuple of Figure
        At most four.
    findings : tuple of Finding
        Theory beside practice, one row per prediction.
    exhibits : tuple of Exhibit
        What the report shows, in order.
    warnings : tuple of str
        Whatever a reader must know before trusting the rest.
    """

    family: str
    title: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...] = Field(default=(), max_length=4)
    findings: tuple[Finding, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a measurement contradicts a prediction."""
        return any(finding.verdict == "fails" for finding in self.findings)
