"""What an audit of coverage shows and says; reused by every family that generates samples."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from theodolite.coverage.result import CoverageResult, FromAbove
from theodolite.kernel.exhibits import Chart, Exhibit, Gallery, Layer, Table
from theodolite.kernel.records import Figure
from theodolite.kernel.runs import RunFolder
from theodolite.theory.density_ratio import discriminator_threshold

TILES = 24
BINS = 40
MOST_POINTS = 800
REAL, GENERATED, MISSED = "real", "generated", "real, named missed"


def coverage_exhibits(
    result: CoverageResult,
    real: NDArray[Any],
    fake: NDArray[Any],
    run: RunFolder,
    image_shape: tuple[int, ...] | None = None,
) -> list[Exhibit]:
    """Describe the exhibits of an audit and store their arrays in the run folder.

    Parameters
    ----------
    result : CoverageResult
        Of exactly these samples.
    real, fake : array (n, …), (m, …)
        The audited samples.
    run : RunFolder
        Where arrays are kept.
    image_shape : tuple of int or None
        ``(h, w)`` or ``(h, w, 3)`` to show flat samples as images; samples of such a shape are shown without it.

    Returns
    -------
    list of Exhibit
        For images a gallery, for vectors a map; the histogram of D̂; the certified curve of precision and recall; the
        table of certificates; the table of samples needed.
    """
    shape = image_shape or (real.shape[1:] if _is_image(real.shape[1:]) else None)
    shown: Exhibit = _gallery(result, real, fake, run, shape) if shape else _map(result, real, fake)
    return [shown, _histogram(result), _curve(result), _certificates(result), _needed(result)]


def coverage_sentences(result: CoverageResult) -> list[str]:
    """Say what was found in two to four plain sentences, most important first."""
    rest = _gap_sentences(result)
    if result.missed_mass.lower > 0 or result.missed.any():
        return [_missed_sentence(result), _named_sentence(result), *(rest or [_overlap_sentence(result)])]
    nothing = (
        f"No part of the data is found {_missing(result)}, and none of {result.reals:,} real samples is named missed; "
        f"{_resolution(result)}."
    )
    # where nothing is missed, how far apart the two are comes first, if that is certified
    told = [nothing, _overlap_sentence(result)]
    return [*(told[::-1] if result.overlap.upper < 1 else told), *rest]


def _missing(result: CoverageResult) -> str:
    return f"where the generator puts almost nothing (at most {result.tau:g} times the density it should)"


def _missed_sentence(result: CoverageResult) -> str:
    missed = result.missed_mass
    estimate = f"{_percent(missed.estimate)} ± {_points(missed.uncertainty)}"
    if missed.lower > 0:
        return (
            f"At least {_percent(missed.lower)} of the data lies {_missing(result)}, at {result.confidence:.0%} "
            f"confidence; the estimate is {estimate}."
        )
    return f"By estimate {estimate} of the data lies {_missing(result)}; no such part is certified."


def _named_sentence(result: CoverageResult) -> str:
    named = int(result.missed.sum())
    if not named:
        return f"None of {result.reals:,} real samples is named missed; {_resolution(result)}."
    return (
        f"{named:,} of {result.reals:,} real samples are named missed, of which at most {result.alpha:.0%} wrongly on "
        "average."
    )


def _overlap_sentence(result: CoverageResult) -> str:
    overlap = result.overlap
    estimate = f"{_percent(overlap.estimate)} ± {_points(overlap.uncertainty)}"
    if overlap.upper >= 1:
        return f"By estimate the two distributions share {estimate} of their mass; no difference is certified."
    return (
        f"The two distributions share at most {_percent(overlap.upper)} of their mass, at {result.confidence:.0%} "
        f"confidence; by estimate {estimate}."
    )


def _gap_sentences(result: CoverageResult) -> list[str]:
    gap = result.train_gap
    if gap is None:
        return []
    by_chance = f"50% ± {_points(gap.closer_uncertainty)}"
    meaning = "where nothing is copied it would be" if gap.closer - gap.closer_uncertainty > 0.5 else "by chance it is"
    return [
        f"By D̂ the overlap is {_percent(gap.overlap_train)} at the samples of the train set and "
        f"{_percent(gap.overlap_held_out)} at held-out ones: a gap of {100 * gap.gap:.1f} ± "
        f"{_points(gap.uncertainty)}.",
        f"A train sample is closer to its nearest generated one than a held-out sample in "
        f"{_percent(gap.closer)} of pairs; {meaning} {by_chance}.",
    ]


def coverage_figures(result: CoverageResult) -> list[Figure]:
    """Return the four large figures of an audit."""
    return [
        Figure(value=f"≤ {100 * result.coverage.upper:.1f}", unit="%", meaning="of the data is covered"),
        Figure(
            value=f"{int(result.missed.sum()):,}", unit=f"of {result.reals:,}", meaning="real samples are named missed"
        ),
        Figure(value=f"≤ {100 * result.overlap.upper:.1f}", unit="%", meaning="overlap of the two distributions"),
        Figure(
            value=f"{result.auc:.2f}", meaning="chance that D̂ ranks a real sample above a generated one; 0.5 is blind"
        ),
    ]


def _gallery(
    result: CoverageResult, real: NDArray[Any], fake: NDArray[Any], run: RunFolder, shape: tuple[int, ...]
) -> Gallery:
    """Show the reals that were named first, then those of the highest D̂, beside their nearest fakes."""
    order = np.lexsort((-result.discriminator, ~result.missed))[:TILES]
    nearest = result.nearest[order]
    low, high = float(np.min(real)), float(np.max(real))
    named = int(result.missed.sum())
    title = f"No sample is named missed; the highest D̂ is {result.discriminator.max():.2f}"
    if named:
        title = f"{named:,} samples are named missed{f'; {TILES} of them are shown' if named > TILES else ''}"
    return Gallery(
        title=title,
        caption="The real samples of the highest D̂, those named missed first: what, by D̂, the generator makes least; "
        "each above its nearest generated sample.",
        array=run.save_array("coverage-missed", _pixels(real[order], shape, low, high)),
        labels=tuple(
            f"D̂ {result.discriminator[place]:.2f}{', missed' if result.missed[place] else ''}" for place in order
        ),
        nearest=run.save_array("coverage-nearest", _pixels(fake[nearest], shape, low, high)),
        nearest_labels=tuple(f"number {place:,}" for place in nearest),
    )


def _pixels(samples: NDArray[Any], shape: tuple[int, ...], low: float, high: float) -> NDArray[np.uint8]:
    images = samples.reshape(len(samples), *(shape[:2] if shape[2:] == (1,) else shape))
    if images.dtype == np.uint8:
        return images
    scaled = (np.asarray(images, dtype=np.float64) - low) / ((high - low) or 1.0)
    return np.asarray(np.clip(np.round(255 * scaled), 0, 255), dtype=np.uint8)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _map(result: CoverageResult, real: NDArray[Any], fake: NDArray[Any]) -> Chart:
    """Draw the samples of the line as a histogram, others in the plane of their two main directions."""
    rows, others = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (real, fake))
    named = int(result.missed.sum())
    title = f"{named:,} of {result.reals:,} real samples lie where almost nothing is generated"
    if not named:
        title = f"No region is found where generated samples are missing; {_resolution(result)}"
    if rows.shape[1] == 1:
        return _line_map(result, rows[:, 0], others[:, 0], title)
    x_title, y_title = "first coordinate", "second coordinate"
    if rows.shape[1] > 2:
        with np.errstate(invalid="ignore"):  # the shares of the variance, not used here, where there is none
            axes = PCA(2, random_state=0).fit(rows)
        rows, others = axes.transform(rows), axes.transform(others)
        x_title, y_title = "first principal direction of the real samples", "second principal direction"
    layers = [
        _points_layer(GENERATED, others),
        _points_layer(REAL, rows[~result.missed]),
        *([_points_layer(MISSED, rows[result.missed])] if named else []),
    ]
    return Chart(
        title=title,
        caption="Every point is a sample; those named missed stand out from the other real ones.",
        layers=tuple(layers),
        x_title=x_title,
        y_title=y_title,
        square=True,
        roles={REAL: "real", GENERATED: "generated", MISSED: "accent"},
    )


def _points_layer(name: str, points: NDArray[np.floating[Any]]) -> Layer:
    kept = points[:: -(-len(points) // MOST_POINTS) or 1]
    return Layer(
        mark="point",
        columns={"x": kept[:, 0].tolist(), "y": kept[:, 1].tolist(), "series": [name] * len(kept)},
        x="x",
        y="y",
        color="series",
    )


def _line_map(
    result: CoverageResult, real: NDArray[np.floating[Any]], fake: NDArray[np.floating[Any]], title: str
) -> Chart:
    edges = np.histogram_bin_edges(np.concatenate([real, fake]), bins=BINS)
    layers = [_density_line(REAL, real, edges), _density_line(GENERATED, fake, edges)]
    missed = real[result.missed]
    if missed.size:
        layers.append(
            Layer(
                mark="point",
                columns={"x": missed.tolist(), "y": [0.0] * missed.size, "series": [MISSED] * missed.size},
                x="x",
                y="y",
                color="series",
            )
        )
    return Chart(
        title=title,
        caption="Histograms of the samples; points on the axis are real samples named missed.",
        layers=tuple(layers),
        x_title="x",
        y_title="density",
        roles={REAL: "real", GENERATED: "generated", MISSED: "accent"},
    )


def _density_line(name: str, values: NDArray[np.floating[Any]], edges: NDArray[np.floating[Any]]) -> Layer:
    height = np.histogram(values, bins=edges, density=True)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    return Layer(
        mark="line",
        columns={"x": middle.tolist(), "density": height.tolist(), "series": [name] * middle.size},
        x="x",
        y="density",
        color="series",
    )


def _histogram(result: CoverageResult) -> Chart:
    threshold = discriminator_threshold(result.tau)
    edges = np.linspace(0, 1, BINS + 1)
    above = [float((values >= threshold).mean()) for values in (result.discriminator, result.discriminator_fake)]
    layers = []
    for name, values in ((REAL, result.discriminator), (GENERATED, result.discriminator_fake)):
        share = 100 * np.histogram(values, bins=edges)[0] / values.size
        layers.append(
            Layer(
                mark="line",
                columns={"D": ((edges[1:] + edges[:-1]) / 2).tolist(), "share": share.tolist(), "who": [name] * BINS},
                x="D",
                y="share",
                color="who",
            )
        )
    rule = Layer(mark="rule", columns={"D": [threshold], "name": [f"1/(1 + τ) = {threshold:.2f}"]}, x="D", text="name")
    return Chart(
        title=f"D̂ exceeds {threshold:.2f} on {above[0]:.1%} of real and {above[1]:.1%} of generated samples",
        caption="D̂ is the estimated probability, at even odds, that a sample is real; right of the rule it calls it "
        "missed.",
        layers=(*layers, rule),
        x_title="D̂, on samples that no fit saw",
        y_title=f"share of the samples, % in each of {BINS} bins",
        x_domain=(0.0, 1.0),
        roles={REAL: "real", GENERATED: "generated"},
    )


def _curve(result: CoverageResult) -> Chart:
    recall, precision = result.curve.recall, result.curve.precision
    both = float(precision[np.argmin(np.abs(precision - recall))])
    return Chart(
        title=f"Precision and recall cannot both exceed {both:.1%}"
        if both < 1
        else "Precision and recall may both be 100%: nothing to the contrary is certified",
        caption=f"The true curve lies below this one at every point, at {result.confidence:.0%} confidence; a perfect "
        "generator would reach the upper right corner.",
        layers=(
            Layer(
                mark="line",
                columns={"recall": recall.tolist(), "precision": precision.tolist()},
                x="recall",
                y="precision",
            ),
        ),
        x_title="recall: how much of the data can be generated",
        y_title="precision: how much of what is generated is data",
        x_domain=(0.0, 1.02),
        y_domain=(0.0, 1.02),
        square=True,
    )


def _certificates(result: CoverageResult) -> Table:
    def above(quantity: str, number: FromAbove) -> tuple[str, str, str]:
        estimate = f"{_percent(number.estimate)} ± {_points(number.uncertainty)}"
        return quantity, f"at most {_percent(number.upper)}", estimate

    missed, distance = result.missed_mass, result.total_variation
    rows = (
        (
            f"missed mass: real data where p_fake ≤ {result.tau:g} p_real",
            f"at least {_percent(missed.lower)}",
            f"{_percent(missed.estimate)} ± {_points(missed.uncertainty)}",
        ),
        above("coverage: the rest", result.coverage),
        (
            "total variation",
            f"at least {_percent(distance.lower)}",
            f"{_percent(distance.estimate)} ± {_points(distance.uncertainty)}",
        ),
        above("overlap: the rest", result.overlap),
        above(f"fidelity: generated samples where p_real > {result.tau:g} p_fake", result.fidelity),
    )
    found = [f"{100 * missed.lower:.1f}% missed"] if missed.lower > 0 else []
    found += [f"{_percent(1 - result.fidelity.upper)} invented"] if result.fidelity.upper < 1 else []
    return Table(
        title=f"Certified: at least {' and '.join(found)}"
        if found
        else "Neither missed nor invented mass is certified",
        caption=f"Each bound holds at {result.confidence:.0%} confidence whatever the classifier; estimates, but for "
        "chance, err in favour of the generator.",
        columns=("quantity", "certified", "estimate"),
        rows=rows,
    )


def _needed(result: CoverageResult) -> Table:
    return Table(
        title=f"With {result.fakes:,} generated samples, {_resolution(result)}",
        caption="Samples needed in all to see a smaller missed part, if the classifier separates it perfectly.",
        columns=("missed share", "generated samples to name it", "real samples to certify it"),
        rows=tuple((f"{row.mass:.1%}", row.fakes, row.reals) for row in result.needed),
    )


def _resolution(result: CoverageResult) -> str:
    if math.isfinite(result.smallest_nameable_mass):
        return f"a missed part below {_percent(result.smallest_nameable_mass)} cannot be named"
    return "no missed part can be named: more are needed"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
