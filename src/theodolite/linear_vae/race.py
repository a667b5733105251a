"""The race in a report: how fast each procedure comes near the greatest ELBO."""

from typing import Any

from theodolite.kernel.exhibits import Cell, Chart, Layer, Table
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.exhibits import amount

NEAR = {"0.01": 1e-2, "0.0001": 1e-4, "10⁻⁶": 1e-6}  # nats per sample, as written
NEAREST, NEAREST_GAP = list(NEAR.items())[-1]
FLOOR = 1e-12  # nats; a gap below it is rounding
POINTS = 150  # of a line


def race_chart(run: RunFolder, config: LinearVAEConfig, training: LinearVAETraining, count: int) -> tuple[Chart, ...]:
    """Draw the exact gap to the optimum over the passes of every procedure."""
    courses = _courses(run, config, training, count)
    columns: dict[str, list[Cell]] = {"passes": [], "gap": [], "procedure": []}
    for name, course in courses.items():
        pairs = [pair for pair in zip(course["passes"], course["gaps"], strict=True) if pair[1] > FLOOR and pair[0] > 0]
        for passes, gap in pairs[:: max(1, len(pairs) // POINTS)]:
            columns["passes"].append(passes)
            columns["gap"].append(gap)
            columns["procedure"].append(name)
    if not columns["gap"]:
        return ()
    return (
        Chart(
            title=_title(courses, config.method),
            caption="How far the ELBO over all training samples is from its maximum, exactly. The closed form is there "
            "after one pass; em, px-em, lbfgs and adam need the data once, for their covariance.",
            layers=(Layer(mark="line", columns=columns, x="passes", y="gap", color="procedure"),),
            x_title="passes over the training data, or iterations on their covariance",
            y_title="gap to the optimum (nats per sample)",
            x_scale="log",
            y_scale="log",
        ),
    )


def race_table(run: RunFolder, config: LinearVAEConfig, training: LinearVAETraining, count: int) -> tuple[Table, ...]:
    """Count the passes that every procedure takes to come near."""
    courses = _courses(run, config, training, count)
    if len(courses) < 2:
        return ()
    rows = tuple((name, *_passes_and_rest(course)) for name, course in courses.items())
    quickest = _quickest(courses)
    return (
        Table(
            title=f"First to come within {NEAREST} nats of the optimum, beside the closed form: {quickest or 'none'}",
            caption="Passes until the gap is that small (empty where it never is), the gap left at the end in nats per "
            "sample, and the seconds it took.",
            columns=("procedure", *(f"to {near} nats" for near in NEAR), "left", "seconds"),
            rows=rows,
        ),
    )


def _courses(
    run: RunFolder, config: LinearVAEConfig, training: LinearVAETraining, count: int
) -> dict[str, dict[str, Any]]:
    """Passes, gaps and seconds of each procedure, that of the settings first."""
    rows = [row for row in run.metrics() if "gap" in row]
    share = min(training.batch_size, count) / count
    stepped = config.method == "reparametrised"
    passes = [(row["step"] + 1) * share if stepped else max(row["step"], 1.0) for row in rows]
    own = {"passes": passes, "gaps": [row["gap"] for row in rows], "seconds": rows[-1]["seconds"] if rows else 0.0}
    return {**({config.method: own} if rows else {}), **run.read_json("race.json")}


def _passes_and_rest(course: dict[str, Any]) -> tuple[Cell, ...]:
    left = max(course["gaps"][-1], 0.0)
    return (*(_first(course, near) for near in NEAR.values()), float(f"{left:.2g}"), round(course["seconds"], 2))


def _first(course: dict[str, Any], near: float) -> float | None:
    """Passes after which the gap is `near` or less, and stays."""
    reached = None
    for passes, gap in zip(reversed(course["passes"]), reversed(course["gaps"]), strict=True):
        if gap > near:
            break
        reached = round(float(passes), 1)
    return reached


def _title(courses: dict[str, dict[str, Any]], method: str) -> str:
    own = courses[method]
    left = f"{method}: {amount(own['gaps'][-1])} nats per sample are left after {own['passes'][-1]:,.0f} passes"
    quickest = _quickest({name: course for name, course in courses.items() if name != method})
    if quickest is None:
        return left
    return f"{left}; {quickest} comes within {NEAREST} after {_first(courses[quickest], NEAREST_GAP):,.0f}"


def _quickest(courses: dict[str, dict[str, Any]]) -> str | None:
    """Procedure that needs the fewest passes to come nearest, the closed form aside."""
    passes = {name: _first(course, NEAREST_GAP) for name, course in courses.items() if name != "closed-form"}
    near = {name: count for name, count in passes.items() if count is not None}
    return min(near, key=lambda name: near[name]) if near else None
