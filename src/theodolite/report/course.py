"""The course of training as a chart, from the lines of metrics.jsonl."""

import math
from collections.abc import Sequence
from typing import Any

from theodolite.kernel.exhibits import Cell, Chart, Layer
from theodolite.report.numbers import integer, number

MOST_POINTS = 300
MOST_SERIES = 6
DECADES = 100.0  # ratio of largest to smallest from which an axis is logarithmic
LARGEST = 1e300  # what is not below this is no number to draw
_NOT_DRAWN = {"step", "seconds"}

Series = list[tuple[float, float]]


def course(lines: Sequence[Any]) -> Chart | None:
    """Return the metrics over the steps as one chart, or None where fewer than two steps were written.

    Lines are averaged in at most 300 bins. Beside the loss stand other losses; where there is none, beside the first
    metric those of its order of magnitude. The axis is logarithmic where all are positive and span two decades.
    """
    series = _series(lines)
    if not series:
        return None
    first = next(iter(series))
    drawn = _comparable(series, first)
    values = [value for points in drawn.values() for _, value in points]
    logarithmic = min(values) > 0 and max(values) / min(values) > DECADES
    columns: dict[str, list[Cell]] = {"step": [], "value": [], "metric": []}
    for name, points in drawn.items():
        for step, value in points:
            columns["step"].append(step)
            columns["value"].append(value)
            columns["metric"].append(_words(name))
    beside = ", beside others." if len(drawn) > 1 else "."
    caption = [f"{_words(first).capitalize()} over the steps of training{beside}"]
    if len(lines) > MOST_POINTS:
        caption.append(f"Each point is the mean of about {-(-len(lines) // MOST_POINTS)} lines of the log.")
    if others := [_words(name) for name in series if name not in drawn]:
        caption.append(f"Also in metrics.jsonl: {', '.join(others[:12])}.")
    return Chart(
        title=f"{_words(first).capitalize()} {_moved(series[first])}",
        caption=" ".join(caption),
        layers=(Layer(mark="line", columns=columns, x="step", y="value", color="metric"),),
        x_title="step",
        y_title=_words(first) if "loss" in first or len(drawn) == 1 else "value, each metric in its own unit",
        y_scale="log" if logarithmic else "linear",
    )


def _moved(points: Series) -> str:
    """Say how a metric went, from its first point to its last."""
    start, end, step = points[0][1], points[-1][1], integer(round(points[-1][0]))
    if number(start) == number(end):
        return f"is {number(end)} at step {step}, as at the start"
    return f"{'fell' if end < start else 'rose'} from {number(start)} to {number(end)} by step {step}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _series(lines: Sequence[Any]) -> dict[str, Series]:
    """Return every metric that was written at least twice, the loss first."""
    found: dict[str, Series] = {}
    for line in lines:
        if not isinstance(line, dict) or not _is_number(line.get("step")):
            continue
        for name, value in line.items():
            if name not in _NOT_DRAWN and _is_number(value):
                found.setdefault(str(name), []).append((float(line["step"]), float(value)))
    names = sorted((name for name, points in found.items() if len(points) > 1), key=lambda name: name != "loss")
    return {name: _binned(found[name]) for name in names}


def _comparable(series: dict[str, Series], first: str) -> dict[str, Series]:
    size = _size(series[first])
    losses = [name for name in series if "loss" in name]
    if losses:  # of one kind; the others would be drawn in the wrong unit
        return {name: series[name] for name in losses[:MOST_SERIES]}
    near = [name for name in series if size / DECADES <= _size(series[name]) <= size * DECADES or name == first]
    return {name: series[name] for name in near[:MOST_SERIES]}


def _size(points: Series) -> float:
    return max(abs(value) for _, value in points)


def _binned(points: Series) -> Series:
    width = -(-len(points) // MOST_POINTS)
    bins = [points[start : start + width] for start in range(0, len(points), width)]
    return [(_mean([step for step, _ in part]), _mean([value for _, value in part])) for part in bins]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
