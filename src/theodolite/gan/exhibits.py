"""What an audit of a GAN shows: the figures of Q1.a, on the line, in the plane and for images."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from theodolite.coverage.exhibits import coverage_exhibits
from theodolite.gan.course import course
from theodolite.gan.examination import Examination, Modes
from theodolite.gan.landscape import Landscape
from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Gallery, Grid, Layer, Table
from theodolite.kernel.runs import RunFolder
from theodolite.theory.density_ratio import discriminator_threshold

Floats = NDArray[np.float64]
BINS = 10  # of what a discriminator says
FEWEST = 30  # samples in such a bin for its share to be drawn
TILES = 24
MARKS: tuple[Literal["line", "point"], ...] = ("line", "point")
SMALLEST_SHARE = 0.005  # of the fullest cell, below which D* is noise and is not drawn
REAL, GENERATED, MISSED = "real, p_r", "generated, p_θ", "missed"
MADE, IDEAL = "this generator", "a perfect one"
TRAINED, BEST, ESTIMATED = "trained D", "best D*", "estimated D̂"


def of(found: Examination, run: RunFolder) -> Iterator[Exhibit]:
    """Describe the exhibits in the order of the report, and store their arrays."""
    data, tau = found.data, found.config.tau
    if found.landscape is not None and found.modes is not None:
        yield from (_line if data.units.shape == (1,) else _plane)(found.landscape, found.modes, tau, run)
        yield _modes_table(found, found.modes)
    elif found.modes is not None:
        yield _evenness(found.modes)
    elif data.held_out_labels is not None:
        yield _by_label(found, data.held_out_labels)
    # how right the trained D is stands below, beside D̂
    of_others = found.result.model_copy(update={"calibration_of_given": None})
    of_coverage = coverage_exhibits(of_others, data.held_out, found.fake, run, data.image_shape)
    # on the line both densities stand above already
    yield from of_coverage[1 if data.units.shape == (1,) else 0 :]
    if data.image_shape is not None:
        yield _made(found, run)
    yield _calibration(found)
    yield from course(data, found.modes, found.config.objective, run)


def _line(landscape: Landscape, modes: Modes, tau: float, run: RunFolder) -> Iterator[Exhibit]:
    del run
    x = landscape.middles[0]
    real, fake = landscape.real / landscape.volume, landscape.fake / landscape.volume
    missed = landscape.missed(tau)
    layers = [_curve(x, real, REAL), _curve(x, fake, GENERATED)]
    if missed.any():
        layers.insert(0, _filled(x, np.where(missed, real, 0.0), MISSED))
    yield Chart(
        title=_missed_title(landscape, modes, tau),
        caption=f"p_r is known, p_θ counted from generated samples; filled is where p_θ ≤ {tau:g} p_r.",
        layers=tuple(layers),
        x_title="x",
        y_title="density",
        roles={REAL: "real", GENERATED: "generated", MISSED: "accent"},
    )
    best = np.where(landscape.real + landscape.fake > SMALLEST_SHARE * landscape.real.max(), landscape.best, np.nan)
    threshold = discriminator_threshold(tau)
    known = np.isfinite(best)
    off = float(np.average(np.abs(landscape.said - best)[known], weights=(landscape.real + landscape.fake)[known]))
    yield Chart(
        title=f"The trained D is {off:.2f} away from D* on average over both densities",
        caption="D* = p_r/(p_r + p_θ), drawn where there are samples; above the rule a point is missed.",
        layers=(
            _curve(x, landscape.said, TRAINED),
            _curve(x, best, BEST, dashed=True),
            Layer(
                mark="rule",
                columns={"y": [threshold], "name": [f"1/(1 + τ) = {threshold:.2f}"]},
                y="y",
                text="name",
                dashed=True,
            ),
        ),
        x_title="x",
        y_title="probability that x is real",
        y_domain=(0.0, 1.0),
        roles={TRAINED: "accent", BEST: "theory"},
    )


def _curve(x: Floats, y: Floats, name: str, dashed: bool = False) -> Layer:
    values: list[Cell] = [float(f"{value:.4g}") if np.isfinite(value) else None for value in y]
    columns: dict[str, list[Cell]] = {"x": np.round(x, 4).tolist(), "y": values, "series": [name] * len(x)}
    return Layer(mark="line", columns=columns, x="x", y="y", color="series", dashed=dashed)


def _filled(x: Floats, y: Floats, name: str) -> Layer:
    columns: dict[str, list[Cell]] = {
        "x": np.round(x, 4).tolist(),
        "y": [float(f"{value:.4g}") for value in y],
        "zero": [0.0] * len(x),
        "series": [name] * len(x),
    }
    return Layer(mark="area", columns=columns, x="x", y="y", y2="zero", color="series")


def _plane(landscape: Landscape, modes: Modes, tau: float, run: RunFolder) -> Iterator[Exhibit]:
    # axis 0 is x and grows, but a picture's rows come first and begin at the top
    upright = [
        np.flipud(cells.T)
        for cells in (
            landscape.real / landscape.volume,
            landscape.fake / landscape.volume,
            landscape.said,
            landscape.missed(tau).astype(float),
        )
    ]
    domains = [(float(edge[0]), float(edge[-1])) for edge in landscape.edges]
    yield Grid(
        title=_missed_title(landscape, modes, tau),
        caption="Each panel is the plane: p_r is known, p_θ counted from generated samples, D the trained "
        f"discriminator as a probability, and Ω where p_θ ≤ {tau:g} p_r.",
        array=run.save_array("plane", np.round(np.stack(upright), 6).astype(np.float32)),
        panel_names=("p_r, real", "p_θ, generated", "trained D", "Ω, missed"),
        x_title="first coordinate",
        y_title="second coordinate",
        x_domain=domains[0],
        y_domain=domains[1],
    )


def _missed_title(landscape: Landscape, modes: Modes, tau: float) -> str:
    gone = np.flatnonzero(~modes.made)
    mass = landscape.missed_mass(tau)
    if not gone.size:
        return f"All {modes.truth.modes} modes are made; {mass:.1%} of the data lies where almost nothing is generated"
    where = (
        f"The mode {modes.truth.describe(gone[0])} is"
        if gone.size == 1
        else f"{gone.size} of {modes.truth.modes} modes are"
    )
    return f"{where} missed: {mass:.1%} of the data lies where almost nothing is generated"


def _modes_table(found: Examination, modes: Modes) -> Table:
    labels, result = np.asarray(found.data.held_out_labels), found.result
    rows: list[tuple[Cell, ...]] = []
    for mode in range(modes.truth.modes):
        inside = labels == mode
        rows.append(
            (
                modes.truth.describe(mode),
                f"{modes.truth.weights[mode]:.1%}",
                f"{modes.shares[mode]:.1%}",
                int(result.missed[inside].sum()),
                int(inside.sum()),
                round(float(found.said_real[inside].mean()), 2),
                round(float(result.discriminator[inside].mean()), 2),
            )
        )
    worst = int(np.argmin(modes.shares / modes.truth.weights))
    return Table(
        title=f"The mode {modes.truth.describe(worst)} gets {modes.shares[worst]:.1%} of the samples where "
        f"{modes.truth.weights[worst]:.1%} are due",
        caption="A generated sample counts for a mode within 3 standard deviations of it; D and D̂ are means over the "
        "held-out real samples of the mode.",
        columns=("mode", "due", "generated", "named missed", "held out", "trained D", "estimated D̂"),
        rows=tuple(rows),
    )


def _evenness(modes: Modes) -> Chart:
    """Count how often each mode is met, where they are too many for a table."""
    good = float(modes.shares.sum()) * modes.counted
    met = np.round(modes.shares * modes.counted).astype(int)
    counts = np.arange(met.max() + 2)
    due = sum(binom.pmf(counts, round(good), weight) for weight in modes.truth.weights)
    columns = {
        MADE: np.bincount(met, minlength=counts.size),
        IDEAL: np.asarray(due),
    }
    return Chart(
        title=f"{int((met > 0).sum()):,} of {modes.truth.modes:,} modes are met among {good:,.0f} good samples of "
        f"{modes.counted:,}; a perfect generator would meet {modes.truth.modes - float(np.asarray(due)[0]):,.0f}",
        caption="How many modes were met how often; for a perfect generator the counts are binomial. "
        f"Good samples {modes.truth.high_quality}.",
        layers=tuple(
            Layer(
                mark="line",
                columns={"times": counts.tolist(), "modes": values.tolist(), "who": [name] * counts.size},
                x="times",
                y="modes",
                color="who",
                dashed=name == IDEAL,
            )
            for name, values in columns.items()
        ),
        x_title="samples of a mode",
        y_title="modes",
        roles={MADE: "generated", IDEAL: "theory"},
    )


def _by_label(found: Examination, labels: NDArray[np.int64]) -> Chart:
    names = np.unique(labels)
    shares = [100 * float(found.result.missed[labels == name].mean()) for name in names]
    worst = int(np.argmax(shares))
    others = max(share for place, share in enumerate(shares) if place != worst)
    return Chart(
        title=f"{shares[worst]:.0f}% of the held-out {names[worst]}s are named missed, at most {others:.0f}% of another"
        if shares[worst]
        else "No digit is named missed",
        caption="Share of the held-out samples of each digit that the per-sample test names missed.",
        layers=(
            Layer(
                mark="bar",
                columns={"digit": [str(name) for name in names], "share": shares},
                x="digit",
                y="share",
            ),
        ),
        x_title="digit",
        y_title="named missed, % of its held-out samples",
    )


def _made(found: Examination, run: RunFolder) -> Gallery:
    """Show the first generated images, none chosen, above what was copied if anything was."""
    made = found.fake[:TILES]
    flat, train = made.reshape(len(made), -1), found.data.train.reshape(len(found.data.train), -1)
    distance = np.sqrt(((flat[:, None] - train) ** 2).sum(axis=2))
    nearest = distance.argmin(axis=1)
    low, high = float(found.data.train.min()), float(found.data.train.max())
    return Gallery(
        title=f"{len(made)} generated images; the closest to a training image is {distance.min():.2f} away from it",
        caption="The first images the generator drew, none chosen, each above the nearest training image; below stands "
        "their Euclidean distance.",
        array=run.save_array("made", _bytes(made, low, high)),
        labels=tuple(f"D {value:.2f}" for value in found.said_fake[:TILES]),
        row_name="generated",
        nearest=run.save_array("made-nearest", _bytes(found.data.train[nearest], low, high)),
        nearest_labels=tuple(f"{value:.2f}" for value in distance.min(axis=1)),
        nearest_row_name="nearest trained on",
    )


def _bytes(images: Floats, low: float, high: float) -> NDArray[np.uint8]:
    return np.clip(np.round(255 * (images - low) / (high - low)), 0, 255).astype(np.uint8)


def _calibration(found: Examination) -> Chart:
    result = found.result
    curves = {
        TRAINED: _reliability(found.said_real, found.said_fake),
        ESTIMATED: _reliability(result.discriminator, result.discriminator_fake),
    }
    layers = [
        Layer(
            mark="line",
            columns={"said": [0.0, 1.0], "true": [0.0, 1.0], "who": ["calibrated"] * 2},
            x="said",
            y="true",
            color="who",
            dashed=True,
        )
    ]
    for name, (said, true, _) in curves.items():
        for mark in MARKS:
            columns: dict[str, Any] = {"said": said.tolist(), "true": true.tolist(), "who": [name] * said.size}
            layers.append(Layer(mark=mark, columns=columns, x="said", y="true", color="who"))
    return Chart(
        title=f"The trained D errs by {curves[TRAINED][2]:.2f} on average, the estimated D̂ by "
        f"{curves[ESTIMATED][2]:.2f}",
        caption="Samples, real and generated at even weight, are binned by what a discriminator says; the height is "
        "the share that is real.",
        layers=tuple(layers),
        x_title="probability said that a sample is real",
        y_title="share that is real",
        x_domain=(0.0, 1.0),
        y_domain=(0.0, 1.0),
        square=True,
        roles={TRAINED: "accent", ESTIMATED: "real", "calibrated": "theory"},
    )


def _reliability(real: Floats, fake: Floats) -> tuple[Floats, Floats, float]:
    """Return what is said in each bin, the share that is real there, and the mean distance of the two."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    weight = {name: np.bincount(np.digitize(said, edges), minlength=BINS) for name, said in (("r", real), ("f", fake))}
    kept = weight["r"] + weight["f"] >= FEWEST
    share_real, share_fake = weight["r"][kept] / real.size, weight["f"][kept] / fake.size
    sums = [np.bincount(np.digitize(said, edges), said, BINS)[kept] / said.size for said in (real, fake)]
    said = (sums[0] + sums[1]) / (share_real + share_fake)
    true = share_real / (share_real + share_fake)
    return said, true, float(np.average(np.abs(said - true), weights=share_real + share_fake))
