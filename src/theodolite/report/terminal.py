"""Records on a terminal, in the same order and voice as on the page."""

from typing import Any

from rich.console import Console
from rich.table import Table

from theodolite.kernel.exhibits import Exhibit
from theodolite.kernel.exhibits import Table as TableExhibit
from theodolite.kernel.records import Audit, Plan, Prediction

_MARKS = {"holds": "✓ holds", "fails": "✗ fails", "undecided": "? undecided"}


def print_record(record: Plan | Audit) -> None:
    """Print a plan or an audit to stdout."""
    console = Console(highlight=False)
    if isinstance(record, Plan):
        _print_plan(record, console)
    else:
        _print_audit(record, console)
    for exhibit in record.exhibits:
        _print_exhibit(exhibit, console)


def print_examination(found: dict[str, Any]) -> None:
    """Print what `engine.doctor.examine` found."""
    table = _table("", "")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    table.add_row("versions", f"python {found['python']}, {versions}")
    table.add_row("system", f"{found['system']}, {found['processors']} processors, {found['threads']} threads in use")
    table.add_row("memory", f"{found['memory_bytes'] / 2**30:.1f} GiB")
    table.add_row("device", f"{found['device']}, {found['device_memory_bytes'] / 2**30:.1f} GiB")
    for name, rate in found["gflop_per_second"].items():
        table.add_row(f"matrix product, {name}", f"{number(round(rate))} GFLOP/s")
    table.add_row("memory copy", f"{number(found['copy_gb_per_second'])} GB/s")
    Console(highlight=False).print(table)


def _print_plan(plan: Plan, console: Console) -> None:
    console.print(f"[bold]{plan.family}: what theory predicts[/bold]")
    for assumption in plan.assumptions:
        console.print(f"  assumed: {assumption}", markup=False)
    table = _table("prediction", "value", "unit", "kind", "source")
    for prediction in plan.predictions:
        table.add_row(prediction.label, number(prediction.value), prediction.unit, prediction.claim, prediction.source)
    console.print(table)


def _print_audit(audit: Audit, console: Console) -> None:
    console.print(audit.title, style="bold", markup=False)
    for sentence in audit.sentences:
        console.print(sentence, markup=False)
    table = _table("theory beside practice", "predicted", "kind", "measured", "unit", "verdict")
    for finding in audit.findings:
        measured = number(finding.measurement.value)
        if finding.measurement.uncertainty:
            measured += f" ± {finding.measurement.uncertainty:.2g}"
        prediction: Prediction = finding.prediction
        predicted = number(prediction.value)
        table.add_row(prediction.label, predicted, prediction.claim, measured, prediction.unit, _MARKS[finding.verdict])
    if audit.findings:
        console.print(table)
    for warning in audit.warnings:
        console.print(f"warning: {warning}", markup=False)


def _print_exhibit(exhibit: Exhibit, console: Console) -> None:
    if not isinstance(exhibit, TableExhibit):
        return  # pictures are for the page
    console.print(exhibit.title, style="bold", markup=False)
    table = _table(*exhibit.columns)
    for row in exhibit.rows:
        table.add_row(*("" if cell is None else number(cell) if _is_number(cell) else str(cell) for cell in row))
    console.print(table)


def number(value: float | int | str | bool | None) -> str:
    """Write a number for reading: integers whole with separated thousands, others to five digits."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.5g}"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table
