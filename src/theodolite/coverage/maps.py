"""The samples themselves as exhibits: galleries of images, clouds of vectors, densities of the line and the plane."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from theodolite.coverage.landscape import density
from theodolite.coverage.result import CoverageResult, Landscape
from theodolite.coverage.words import percent, resolution
from theodolite.kernel.exhibits import Chart, Exhibit, Gallery, Grid, Layer
from theodolite.kernel.runs import RunFolder
from theodolite.theory.density_ratio import discriminator_threshold

Floats = NDArray[np.floating[Any]]

TILES = 24
GROUP_TILES = 7
MOST_GROUPS = 6
BINS = 40
MOST_POINTS = 800
REAL, GENERATED, MISSED = "real", "generated", "real, named missed"
REGION, ESTIMATED = "Ω, missed by D̂", "D̂"
ROLES = {REAL: "real", GENERATED: "generated", MISSED: "accent", REGION: "accent", ESTIMATED: "accent"}


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether one sample is a grey or a colour picture."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def gallery(
    result: CoverageResult, real: NDArray[Any], fake: NDArray[Any], run: RunFolder, shape: tuple[int, ...]
) -> Gallery:
    """Show the reals that were named first, then those of the highest D̂, beside their nearest fakes."""
    order = np.lexsort((-result.discriminator, ~result.missed))[:TILES]
    named = int(result.missed.sum())
    title = f"No sample is named missed; the highest D̂ is {result.discriminator.max():.2f}"
    if named:
        title = f"{named:,} samples are named missed{f'; {TILES} of them are shown' if named > TILES else ''}"
    low, high = float(np.min(real)), float(np.max(real))
    return Gallery(
        title=title,
        caption="The real samples of the highest D̂, those named missed first: what, by D̂, the generator makes least; "
        "each above its nearest generated sample.",
        array=run.save_array("coverage-missed", _pixels(real[order], shape, low, high)),
        labels=tuple(
            f"D̂ {result.discriminator[place]:.2f}{', missed' if result.missed[place] else ''}" for place in order
        ),
        nearest=run.save_array("coverage-nearest", _pixels(fake[result.nearest[order]], shape, low, high)),
        nearest_labels=tuple(f"number {place:,}" for place in result.nearest[order]),
    )


def group_gallery(
    result: CoverageResult, real: NDArray[Any], fake: NDArray[Any], run: RunFolder, shape: tuple[int, ...]
) -> Gallery | None:
    """Show some samples of each cluster, group by group; None where there is only one."""
    clusters = [group for group in result.groups if group.kind == "cluster"][:MOST_GROUPS]
    if len(clusters) < 2:
        return None
    places = np.array([place for group in clusters for place in group.examples[:GROUP_TILES]], dtype=np.intp)
    whose = [group.name for group in clusters for _ in group.examples[:GROUP_TILES]]
    low, high = float(np.min(real)), float(np.max(real))
    return Gallery(
        title=f"What is missed falls into {sum(group.kind == 'cluster' for group in result.groups)} groups",
        caption=f"Of each group the {GROUP_TILES} samples of the highest D̂, above their nearest generated ones.",
        array=run.save_array("coverage-groups", _pixels(real[places], shape, low, high)),
        labels=tuple(f"{name}, D̂ {result.discriminator[place]:.2f}" for name, place in zip(whose, places, strict=True)),
        nearest=run.save_array("coverage-groups-nearest", _pixels(fake[result.nearest[places]], shape, low, high)),
        nearest_labels=tuple(f"number {place:,}" for place in result.nearest[places]),
    )


def _pixels(samples: NDArray[Any], shape: tuple[int, ...], low: float, high: float) -> NDArray[np.uint8]:
    images = np.asarray(samples).reshape(len(samples), *(shape[:2] if shape[2:] == (1,) else shape))
    if images.dtype == np.uint8:
        return images
    scaled = (np.asarray(images, dtype=np.float64) - low) / ((high - low) or 1.0)
    return np.asarray(np.clip(np.round(255 * scaled), 0, 255), dtype=np.uint8)


def vector_maps(result: CoverageResult, real: NDArray[Any], fake: NDArray[Any], run: RunFolder) -> list[Exhibit]:
    """Draw samples that are no images: densities on the line and in the plane, else the two main directions."""
    rows, others = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (real, fake))
    seen = result.landscape
    if seen is not None and len(seen.axes) != rows.shape[1]:
        seen = None
    if rows.shape[1] == 1:
        if seen is None:
            return [_line_counted(result, rows[:, 0], others[:, 0])]
        return [_line(result, seen, rows, others), _line_discriminator(result, seen)]
    cloud = _cloud(result, rows, others)
    return [cloud] if seen is None else [cloud, _plane(result, seen, rows, others, run)]


def _title(result: CoverageResult) -> str:
    named = int(result.missed.sum())
    if named:
        return f"{named:,} of {result.reals:,} real samples lie where almost nothing is generated"
    return f"No region is found where generated samples are missing; {resolution(result)}"


def _cloud(result: CoverageResult, rows: Floats, others: Floats) -> Chart:
    x_title, y_title = "first coordinate", "second coordinate"
    if rows.shape[1] > 2:
        with np.errstate(invalid="ignore"):  # the shares of the variance, not used here, where there is none
            axes = PCA(2, svd_solver="randomized", random_state=0).fit(rows)
        rows, others = axes.transform(rows), axes.transform(others)
        x_title, y_title = "first principal direction of the real samples", "second principal direction"
    layers = [
        _points_layer(GENERATED, others),
        _points_layer(REAL, rows[~result.missed]),
        *([_points_layer(MISSED, rows[result.missed])] if result.missed.any() else []),
    ]
    return Chart(
        title=_title(result),
        caption="Every point is a sample; those named missed stand out from the other real ones.",
        layers=tuple(layers),
        x_title=x_title,
        y_title=y_title,
        square=True,
        roles={REAL: "real", GENERATED: "generated", MISSED: "accent"},
    )


def _points_layer(name: str, points: Floats) -> Layer:
    kept = points[:: -(-len(points) // MOST_POINTS) or 1]
    return Layer(
        mark="point",
        columns={"x": kept[:, 0].tolist(), "y": kept[:, 1].tolist(), "series": [name] * len(kept)},
        x="x",
        y="y",
        color="series",
    )


def _line(result: CoverageResult, seen: Landscape, rows: Floats, others: Floats) -> Chart:
    x = np.asarray(seen.axes[0])
    real, fake = density(rows, (x,)), density(others, (x,))
    inside = np.asarray(seen.discriminator) >= discriminator_threshold(result.tau)
    layers = [line_layer(x, real, REAL), line_layer(x, fake, GENERATED)]
    if inside.any():
        filled: dict[str, Any] = {
            "x": _short(x),
            "y": _short(np.where(inside, real, 0.0)),
            "zero": [0.0] * x.size,
            "series": [REGION] * x.size,
        }
        layers.insert(0, Layer(mark="area", columns=filled, x="x", y="y", y2="zero", color="series"))
    return Chart(
        title=_title(result),
        caption=f"Densities estimated from the samples; filled is where D̂ puts p_θ at or below {result.tau:g} p_r.",
        layers=tuple(layers),
        x_title="x",
        y_title="density",
        roles={REAL: "real", GENERATED: "generated", REGION: "accent"},
    )


def _line_discriminator(result: CoverageResult, seen: Landscape) -> Chart:
    x, said = np.asarray(seen.axes[0]), np.asarray(seen.discriminator)
    threshold = discriminator_threshold(result.tau)
    rule: dict[str, Any] = {"y": [threshold], "name": [f"1/(1 + τ) = {threshold:.2f}"]}
    above = (x[1] - x[0]) * int((said >= threshold).sum())
    return Chart(
        title=f"D̂ calls an interval missed, {above:.3g} long in all" if above else "D̂ calls no part of the line missed",
        caption="D̂ is the estimated probability, at even odds, that a sample there is real; above the rule it calls "
        "the place missed. Far from all samples it is a guess.",
        layers=(
            line_layer(x, said, ESTIMATED),
            Layer(mark="rule", columns=rule, y="y", text="name", dashed=True),
        ),
        x_title="x",
        y_title="probability that x is real",
        y_domain=(0.0, 1.0),
        roles={ESTIMATED: "accent"},
    )


def _plane(result: CoverageResult, seen: Landscape, rows: Floats, others: Floats, run: RunFolder) -> Grid:
    axes = tuple(np.asarray(axis) for axis in seen.axes)
    real, fake, said = density(rows, axes), density(others, axes), np.asarray(seen.discriminator)
    # where neither has samples D̂ is a guess, and not drawn
    known = real + fake > 1e-3 * max(real.max(), fake.max())
    missed = np.where(known, said >= discriminator_threshold(result.tau), False)
    share = float((real * missed).sum() / real.sum())
    panels = (real, fake, np.where(known, said, np.nan), missed.astype(float))
    # axis 0 is x and grows, but a picture's rows come first and begin at the top
    upright = np.stack([np.flipud(panel.T) for panel in panels]).astype(np.float32)
    return Grid(
        title=f"By D̂, {percent(share)} of the real density lies in Ω",
        caption="Densities estimated from the samples; D̂, drawn where there are samples; and Ω, where it puts p_θ at "
        f"or below {result.tau:g} p_r.",
        array=run.save_array("coverage-plane", upright),
        panel_names=("p_r, real", "p_θ, generated", "D̂", "Ω, missed by D̂"),
        x_title="first coordinate",
        y_title="second coordinate",
        x_domain=(float(axes[0][0]), float(axes[0][-1])),
        y_domain=(float(axes[1][0]), float(axes[1][-1])),
    )


def _line_counted(result: CoverageResult, real: Floats, fake: Floats) -> Chart:
    edges = np.histogram_bin_edges(np.concatenate([real, fake]), bins=BINS)
    middle = (edges[1:] + edges[:-1]) / 2
    layers = [
        line_layer(middle, np.histogram(values, bins=edges, density=True)[0], name)
        for name, values in ((REAL, real), (GENERATED, fake))
    ]
    missed = real[result.missed]
    if missed.size:
        columns: dict[str, Any] = {"x": missed.tolist(), "y": [0.0] * missed.size, "series": [MISSED] * missed.size}
        layers.append(Layer(mark="point", columns=columns, x="x", y="y", color="series"))
    return Chart(
        title=_title(result),
        caption="Histograms of the samples; points on the axis are real samples named missed.",
        layers=tuple(layers),
        x_title="x",
        y_title="density",
        roles={REAL: "real", GENERATED: "generated", MISSED: "accent"},
    )


def line_layer(x: Floats, y: Floats, name: str) -> Layer:
    """Return a line of one series."""
    columns: dict[str, Any] = {"x": _short(x), "y": _short(y), "series": [name] * len(x)}
    return Layer(mark="line", columns=columns, x="x", y="y", color="series")


def _short(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
