"""Records on a terminal, in the same order and voice as on the page."""

from typing import Any

from rich.console import Console
from rich.table import Table

from theodolite.kernel.exhibits import Exhibit
from theodolite.kernel.exhibits import Table as TableExhibit
from theodolite.kernel.records import Audit, Plan
from theodolite.report.numbers import measured, memory, number
from theodolite.report.verdicts import BOUNDS, MARKS, WORDS


def print_record(record: Plan | Audit) -> None:
    """Print a plan or an audit to stdout."""
    console = Console(highlight=False, markup=False)
    if isinstance(record, Plan):
        _print_plan(record, console)
    else:
        _print_audit(record, console)
    for exhibit in record.exhibits:
        _print_exhibit(exhibit, console)


def print_examination(found: dict[str, Any]) -> None:
    """Print what `engine.doctor.examine` found."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    table.add_row("versions", f"python {found['python']}, {versions}")
    table.add_row("system", f"{found['system']}, {found['processors']} processors, {found['threads']} threads in use")
    table.add_row("memory", memory(found["memory_bytes"]))
    table.add_row("device", f"{found['device']}, {memory(found['device_memory_bytes'])}")
    for name, rate in found["gflop_per_second"].items():
        table.add_row(f"matrix product, {name}", f"{number(round(rate))} GFLOP/s")
    table.add_row("memory copy", f"{number(found['copy_gb_per_second'])} GB/s")
    for name, rate in found["closed_form"].items():
        table.add_row(name.replace("_", " "), _rate(name, rate))
    console = Console(highlight=False, markup=False)
    console.print(table)
    checks = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("layer in bfloat16", "error", "allowed", "verdict"):
        checks.add_column(column, overflow="fold")
    for check in found["bfloat16"]:
        error = number(check["error"], figures=2) if check["error"] is not None else "not finite"
        verdict = "right" if check["right"] else f"wrong: {check['where']}"
        checks.add_row(check["layer"], error, number(check["allowed"], figures=2), verdict)
    console.print(checks)
    console.print(found["kept"])


def _rate(name: str, rate: float) -> str:
    """A rate of `kernel.environment.Rates` with its unit."""
    if name == "read":
        return f"{number(rate / 1e9)} GB/s"
    return f"{number(rate * 1e9)} ns · d³" if name.startswith("eigh") else f"{number(rate / 1e9)} 10⁹ multiply-adds/s"


def _print_plan(plan: Plan, console: Console) -> None:
    console.print(f"{plan.family}: what theory predicts", style="bold")
    for assumption in plan.assumptions:
        console.print(f"  assumed: {assumption}")
    table = _table("prediction", "value", "unit", "kind")
    for prediction in plan.predictions:
        table.add_row(prediction.label, number(prediction.value, figures=6), prediction.unit, prediction.claim)
    console.print(table)


def _print_audit(audit: Audit, console: Console) -> None:
    console.print(audit.title, style="bold")
    for sentence in audit.sentences:
        console.print(sentence)
    table = _table("theory beside practice", "predicted", "measured", "unit", "verdict")
    for finding in audit.findings:
        prediction, measurement = finding.prediction, finding.measurement
        predicted = BOUNDS[prediction.claim] + number(prediction.value, figures=6)
        found = measured(measurement.value, measurement.uncertainty)
        table.add_row(
            prediction.label, predicted, found, prediction.unit, f"{MARKS[finding.verdict]} {WORDS[finding.verdict]}"
        )
    if audit.findings:
        console.print(table)
    for warning in audit.warnings:
        console.print(f"warning: {warning}")


def _print_exhibit(exhibit: Exhibit, console: Console) -> None:
    if not isinstance(exhibit, TableExhibit):
        return  # pictures are for the page
    console.print(exhibit.title, style="bold")
    console.print(exhibit.caption, style="dim")
    table = _table(*exhibit.columns)
    for row in exhibit.rows:
        table.add_row(*map(_cell, row))
    console.print(table)


def _cell(cell: str | float | bool | None) -> str:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return number(cell, figures=6)
    return "" if cell is None else str(cell)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(columns[0], overflow="fold", ratio=1)
    for column in columns[1:]:
        table.add_column(column, overflow="fold")
    return table
