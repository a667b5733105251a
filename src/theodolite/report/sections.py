"""One run as the page shows it: everything read from its folder, in the order of the report."""

from dataclasses import dataclass
from typing import Any

from theodolite.kernel.errors import DataError
from theodolite.kernel.records import Audit, Figure, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.report import provenance
from theodolite.report.course import course
from theodolite.report.exhibits import Shown, show
from theodolite.report.numbers import integer
from theodolite.report.verdicts import Row, contradictions, rows, state, tally

LARGEST_RECORD = 16 * 2**20  # bytes of one JSON or TOML document
LARGEST_LOG = 64 * 2**20  # bytes of metrics.jsonl


@dataclass(frozen=True)
class Section:
    """A run: its verdict, its table of theory beside practice, its exhibits, how it was done, and its warnings."""

    ident: str
    name: str
    family: str
    title: str
    state: str
    tally: str
    contradictions: list[str]
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    rows: list[Row]
    exhibits: list[Shown]
    plan_exhibits: list[Shown]
    course: Shown | None
    facts: provenance.Facts
    settings: provenance.Facts
    command: str
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


def section(run: RunFolder, ident: str, quality: int | None) -> Section:
    """Read a run and make it ready; without an audit, what its plan says stands alone.

    Raises
    ------
    DataError
        If a file of the run is damaged, too large, or names an array that is.
    """
    _check_sizes(run)
    plan = run.plan
    audit = run.audit if (run.path / "audit.json").exists() else None
    environment = run.read_json("environment.json")
    verdicts = [finding.verdict for finding in audit.findings] if audit else []
    exhibits = audit.exhibits if audit else ()
    planned = [exhibit for exhibit in plan.exhibits if exhibit not in exhibits]
    training = course(run.metrics())
    return Section(
        ident=ident,
        name=run.path.name,
        family=plan.family,
        title=audit.title if audit else f"The plan of a {plan.family} run",
        state=state(verdicts) if audit else "planned",
        tally=tally(verdicts) if audit else f"{integer(len(plan.predictions))} predictions, not measured yet",
        contradictions=contradictions(audit.findings) if audit else [],
        sentences=audit.sentences if audit else (f"To measure them: theodolite {plan.family} audit {run.path}",),
        figures=audit.figures if audit else (),
        rows=rows(plan, audit.findings if audit else None),
        exhibits=[show(run, exhibit, f"{ident}-e{place}", quality) for place, exhibit in enumerate(exhibits)],
        plan_exhibits=[show(run, exhibit, f"{ident}-p{place}", quality) for place, exhibit in enumerate(planned)],
        course=show(run, training, f"{ident}-course", quality) if training else None,
        facts=provenance.facts(run, environment),
        settings=provenance.settings(run),
        command=provenance.command(environment),
        assumptions=plan.assumptions,
        warnings=_warnings(plan, audit, environment),
    )


def _warnings(plan: Plan, audit: Audit | None, environment: dict[str, Any]) -> tuple[str, ...]:
    """Return the warnings of the audit, and what the report itself noticed."""
    noticed = []
    if audit and audit.family != plan.family:
        noticed.append(f"The audit is of the family {audit.family}, the plan of {plan.family}.")
    if audit and {finding.prediction for finding in audit.findings} != set(plan.predictions):
        noticed.append("The predictions of the audit are not those of the plan: one of the two files was changed.")
    if not environment:
        noticed.append("On which machine and with which versions this was run is not recorded.")
    return (*(audit.warnings if audit else ()), *noticed)


def _check_sizes(run: RunFolder) -> None:
    limits = dict.fromkeys(("config.toml", "plan.json", "audit.json", "environment.json", "data.json"), LARGEST_RECORD)
    for name, limit in {**limits, "metrics.jsonl": LARGEST_LOG}.items():
        path = run.path / name
        if not path.exists():
            continue
        if not path.is_file():
            raise DataError(f"{path} is not a file; it is not read")
        if path.stat().st_size > limit:
            raise DataError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB; a report reads {limit // 2**20} MiB at most"
            )
