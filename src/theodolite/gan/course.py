"""The course of a training: what was noted of it on the way, and what the report shows of that."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.metrics import prdc
from theodolite.data.arrays import load_samples
from theodolite.gan.dataset import Dataset, high_quality_shares
from theodolite.gan.examination import Modes
from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Gallery, Grid, Layer
from theodolite.kernel.files import write_array
from theodolite.kernel.runs import RunFolder
from theodolite.theory.balls import expected_coverage
from theodolite.theory.coverage import clopper_pearson_lower, clopper_pearson_upper

Floats = NDArray[np.float64]
COMPARED = 500  # held-out samples, at most, that coverage is estimated on while training goes on
GENERATED = 2000  # samples of the averaged generator, of the same z each time
NEIGHBOURS = 5  # as Naeem et al. (2020) recommend
SIDE = 3  # images on a side of a sheet of them
SHOWN = SIDE**2
GREY = 128  # between them
STATIONS = 6  # pictures in the report
POINTS = 100  # of a curve of losses
BINS = 40  # a side, of a picture of the plane
CERTAIN = 0.95
VALUE, EVEN, COST = "value of the game at D", "where P_θ = P_r", "what G descends"
COVERED, IDEAL = "of held-out reals", "of a perfect generator"


def note(data: Dataset, samples: Floats, tau: float) -> dict[str, float]:
    """Measure samples of the averaged generator: coverage of held-out reals, and modes where they are known."""
    told = {"coverage": prdc(_compared(data), samples, NEIGHBOURS)["coverage"]}
    if data.counted is None:
        return told
    shares = high_quality_shares(data.counted, samples)
    made = float((shares > tau * data.counted.weights).sum())
    return told | {"modes": made, "high_quality": float(shares.sum())}


def _compared(data: Dataset) -> Floats:
    return data.held_out[:COMPARED]


def keep(run: RunFolder, data: Dataset, step: int, samples: Floats) -> None:
    """Keep what a picture needs of the samples, under the number of the step."""
    folder = run.path / "course"
    folder.mkdir(exist_ok=True)
    write_array(folder / f"{step:09d}.npy", samples if data.image_shape is None else samples[:SHOWN])


def course(data: Dataset, modes: Modes | None, objective: str, run: RunFolder) -> Iterator[Exhibit]:
    """Show the game, coverage, modes and samples over the steps."""
    rows = run.metrics()
    if len(rows) < 2:
        return
    yield _game(rows, objective)
    noted = [row for row in rows if "coverage" in row]
    if len(noted) >= 2:
        yield _coverage(noted, data)
        if modes is not None:
            yield _modes(noted, modes)
    yield from _samples(data, run)


def _game(rows: list[dict[str, float]], objective: str) -> Chart:
    """Draw the value that D climbs and what G descends, means over a hundredth of what was noted."""
    parts = [part for part in np.array_split(np.arange(len(rows)), min(POINTS, len(rows))) if len(part)]

    def means(name: str) -> list[float]:
        noted = np.array([row.get(name, 0.0) for row in rows])
        return [float(noted[part].mean()) for part in parts]

    steps = [float(rows[part[-1]]["step"]) + 1 for part in parts]
    # what D descends is its penalty less the value
    value = [penalty - loss for penalty, loss in zip(means("penalty"), means("loss"), strict=True)]
    even = -float(np.log(2 if objective == "relativistic" else 4))
    curves = {VALUE: value, COST: means("generator_loss"), EVEN: [even] * len(steps)}
    return Chart(
        # a minus sign is written as elsewhere, not as a hyphen
        title=f"The value of the game ends at {value[-1]:.2f} nats; it is {even:.2f} where D cannot tell".replace(
            "-", "−"
        ),
        caption=f"D climbs the value, G descends its own loss ({objective}); means over about "
        f"{steps[-1] / len(parts):.0f} steps each.",
        layers=tuple(_line(steps, values, name, dashed=name == EVEN) for name, values in curves.items()),
        x_title="step",
        y_title="nats",
        roles={VALUE: "accent", COST: "generated", EVEN: "theory"},
    )


def _line(steps: list[float], values: list[float], name: str, *, dashed: bool = False) -> Layer:
    columns: dict[str, list[Cell]] = {"step": [*steps], "value": [*values], "who": [name] * len(steps)}
    return Layer(mark="line", columns=columns, x="step", y="value", color="who", dashed=dashed)


def _coverage(noted: list[dict[str, float]], data: Dataset) -> Chart:
    """Draw coverage by nearest neighbours with its interval, beside what equal distributions give."""
    steps, shares = [row["step"] + 1 for row in noted], np.array([row["coverage"] for row in noted])
    compared = len(_compared(data))
    ideal = expected_coverage(compared, GENERATED, NEIGHBOURS)
    low, high = _interval(shares, compared)
    band: dict[str, list[Cell]] = {
        "step": [*steps],
        "low": low.tolist(),
        "high": high.tolist(),
        "who": [COVERED] * len(steps),
    }
    return Chart(
        title=f"By the neighbours' count {shares[-1]:.0%} of the held-out reals are covered when training ends, "
        f"{ideal:.1%} if all were right",
        caption=f"Share of {compared} held-out reals with one of {GENERATED:,} generated samples nearer than their "
        f"{NEIGHBOURS}th real neighbour (Naeem et al. 2020), with its {CERTAIN:.0%} interval. It certifies nothing: "
        "what is missed is told by the audit.",
        layers=(
            Layer(mark="area", columns=band, x="step", y="high", y2="low", color="who"),
            _line(steps, shares.tolist(), COVERED),
            _line(steps, [ideal] * len(steps), IDEAL, dashed=True),
        ),
        x_title="step",
        y_title="share covered",
        y_domain=(0.0, 1.0),
        roles={COVERED: "generated", IDEAL: "theory"},
    )


def _interval(shares: Floats, count: int) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Clopper–Pearson interval of shares of so many."""
    hits, each = np.round(shares * count), (1 + CERTAIN) / 2
    return clopper_pearson_lower(hits, count, each), clopper_pearson_upper(hits, count, each)


def _modes(noted: list[dict[str, float]], modes: Modes) -> Chart:
    steps, total = [row["step"] + 1 for row in noted], modes.truth.modes
    most, last = max(row["modes"] for row in noted), noted[-1]["modes"]
    # the last stretch without a loss; where modes are lost at the end, the first time that so many were made
    fewer = [place for place, row in enumerate(noted) if row["modes"] < most]
    since = next(place for place, row in enumerate(noted) if row["modes"] == most)
    if last == most and fewer:
        since = fewer[-1] + 1
    first = int(noted[since]["step"]) + 1
    end = f", {last:,.0f} are left when training ends" if last < most else " to the end"
    names = "good samples", "modes made"
    curves = zip(names, ([row["high_quality"] for row in noted], [row["modes"] / total for row in noted]), strict=True)
    return Chart(
        title=f"{most:,.0f} of {total:,} modes were made {'from' if last == most else 'by'} step {first:,}{end}",
        caption=f"Counted on {GENERATED:,} samples of the running average of the generator while it was trained. Good "
        f"samples {modes.truth.high_quality}.",
        layers=tuple(_line(steps, values, name) for name, values in curves),
        x_title="step",
        y_title="share",
        y_domain=(0.0, 1.0),
    )


def _samples(data: Dataset, run: RunFolder) -> Iterator[Exhibit]:
    """Show what the same z became, at a few of the steps that were kept."""
    files = sorted((run.path / "course").glob("*.npy"))
    # stations even in the order of the steps, the last among them
    places = np.unique(np.linspace(0, len(files) - 1, min(STATIONS, len(files))).round().astype(int))
    kept = [(int(files[place].stem), np.asarray(load_samples(files[place]))) for place in places]
    if len(kept) < 2 or any(samples.shape[1:] != data.units.shape for _, samples in kept):
        return
    names = tuple(f"step {step:,}" for step, _ in kept)
    if data.image_shape is not None:
        low, high = float(data.train.min()), float(data.train.max())
        pixels = [
            np.clip(np.round(255 * (samples - low) / (high - low)), 0, 255).astype(np.uint8) for _, samples in kept
        ]
        yield Gallery(
            title=f"The same {len(kept[0][1])} draws of z, from step {kept[0][0]:,} to step {kept[-1][0]:,}",
            caption="Each sheet shows what the running average of the generator made of them.",
            array=run.save_array("course", np.stack([_sheet(images) for images in pixels])),
            labels=names,
            row_name="generated",
        )
    elif data.units.shape == (2,):
        low, high = data.held_out.min(axis=0), data.held_out.max(axis=0)
        edges = [np.linspace(a, b, BINS + 1) for a, b in zip(low, high, strict=True)]
        panels = [np.flipud(np.histogramdd(samples, bins=edges)[0].T) for _, samples in kept]
        yield Grid(
            title=f"The same {GENERATED:,} draws of z, from step {kept[0][0]:,} to step {kept[-1][0]:,}",
            caption="How many samples of the running average of the generator fell where, in the range of the data.",
            array=run.save_array("course", np.stack(panels).astype(np.float32)),
            panel_names=names,
            x_title="x₁",
            y_title="x₂",
            x_domain=(float(low[0]), float(high[0])),
            y_domain=(float(low[1]), float(high[1])),
        )


def _sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay `SHOWN` images out on a square, with lines between them."""
    lines = [(0, 0), (0, 1), (0, 1), *[(0, 0)] * (images.ndim - 3)]
    framed = np.pad(images, lines, constant_values=GREY)
    rows = [np.concatenate([*framed[first : first + SIDE]], axis=1) for first in range(0, SHOWN, SIDE)]
    return np.concatenate(rows)[:-1, :-1]
