"""What an audit of coverage shows; reused by every family that generates samples."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.coverage.maps import BINS, GENERATED, REAL, gallery, group_gallery, is_image, line_layer, vector_maps
from theodolite.coverage.planning import HALVES, smallest_certified
from theodolite.coverage.result import Calibration, CoverageResult, FromAbove, Group
from theodolite.coverage.words import certainty, percent, points, resolution
from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Layer, Slider, Table
from theodolite.kernel.runs import RunFolder
from theodolite.theory.density_ratio import discriminator_threshold

MOST_COLUMNS = 3  # in which a group of vectors is told from the rest
MOST_LABELS = 40
CERTIFIED, ESTIMATE, NAMED = "certified, all τ at once", "estimate", "named"
BOUND = "certified bound"


def coverage_exhibits(
    result: CoverageResult,
    real: NDArray[Any],
    fake: NDArray[Any],
    run: RunFolder,
    image_shape: tuple[int, ...] | None = None,
    *,
    planned: bool = False,
    others: tuple[Exhibit, ...] = (),
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
    planned : bool
        Whether the samples needed for more stand in a plan already.
    others : tuple of Exhibit
        What others measure of the same samples, put after the certificates.

    Returns
    -------
    list of Exhibit
        For images a gallery, for vectors a map; groups; the slider of τ; the histogram of D̂; the certified curve of
        precision and recall; calibration; the table of certificates; the table of samples needed.
    """
    shape = image_shape or (real.shape[1:] if is_image(real.shape[1:]) else None)
    shown: list[Exhibit] = [gallery(result, real, fake, run, shape)] if shape else vector_maps(result, real, fake, run)
    if shape and (by_group := group_gallery(result, real, fake, run, shape)):
        shown.append(by_group)
    shown += _groups(result, None if shape else real)
    shown += [_slider(result), _histogram(result), _curve(result)]
    if result.calibration_of_given is not None:
        shown.append(_calibration(result.calibration_of_given))
    shown += [_certificates(result), *others]
    return shown if planned else [*shown, _needed(result)]


def _groups(result: CoverageResult, vectors: NDArray[Any] | None) -> list[Exhibit]:
    tables: list[Exhibit] = []
    clusters = [group for group in result.groups if group.kind == "cluster"]
    labels = [group for group in result.groups if group.kind == "label"]
    if clusters:
        certified = sum(group.missed_mass.lower > 0 for group in clusters)
        where = [] if vectors is None else ["centre" if _narrow(vectors) else "s.d. off the mean, in column"]
        tables.append(
            Table(
                title=f"The missed samples form {_so_many(len(clusters), 'group')}, "
                f"{_how_many_certified(certified, len(clusters))}",
                caption="How many samples of each are named missed, and its missed mass, a share of all the data. "
                "Groups were chosen on one part of the samples and certified on another, all bounds together "
                f"at {certainty(result.confidence)} confidence.{_more_than_the_whole(result, clusters)}"
                f"{_too_small(result, clusters, 1)}",
                columns=("group", "named", "certified", "estimate", *where),
                rows=tuple(
                    (
                        group.name,
                        group.named,
                        _certified(group),
                        f"{percent(group.missed_mass.estimate)} ± {points(group.missed_mass.uncertainty)}",
                        *([] if vectors is None else [_place(result, vectors, place)]),
                    )
                    for place, group in enumerate(clusters)
                ),
            )
        )
    if labels:
        tables.append(_labels(labels, result))
    return tables


def _how_many_certified(certified: int, groups: int) -> str:
    if groups == 1:
        return "and it is certified" if certified else "and it is not certified"
    return f"{'all' if certified == groups else certified or 'none'} of them certified"


def _more_than_the_whole(result: CoverageResult, groups: list[Group]) -> str:
    """Explain what looks like an error: a part with a higher bound than the whole."""
    if sum(group.missed_mass.lower for group in groups) <= result.missed_mass.lower:
        return ""
    return " They come from other counts than the bound of the whole, and may exceed it together."


def _certified(group: Group) -> str:
    return f"≥ {percent(group.missed_mass.lower)}" if group.missed_mass.lower > 0 else "nothing"


def _too_small(result: CoverageResult, groups: list[Group], bounds: int) -> str:
    """Say what share a group must have for a certificate, where some group has none."""
    if all(group.missed_mass.lower > 0 for group in groups):
        return ""
    sharing = bounds * max(sum(group.missed_mass.lower > 0 or group.kind == "label" for group in result.groups), 1)
    each = 1 - (1 - result.confidence) / sharing
    least = smallest_certified(result.reals, result.calibration.size, result.tau, each)
    if not math.isfinite(least):
        return " With so few samples nothing can be certified of a group."
    return f" Of a part below {percent(least)} of the data nothing can be certified with so many samples."


def _so_many(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _narrow(vectors: NDArray[Any]) -> bool:
    """Whether samples have so few columns that a point is told by all of them."""
    return math.prod(vectors.shape[1:]) <= MOST_COLUMNS


def _place(result: CoverageResult, vectors: NDArray[Any], cluster: int) -> str:
    """Say in which columns a group differs most from all reals."""
    rows = np.asarray(vectors, dtype=np.float64).reshape(len(vectors), -1)
    centre = rows[np.asarray(result.cluster) == cluster].mean(axis=0)
    if _narrow(vectors):
        return f"({', '.join(f'{value:.3g}' for value in centre)})".replace("-", "−")
    spread = rows.std(axis=0)
    away = (centre - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    most = np.argsort(-np.abs(away), kind="stable")[:MOST_COLUMNS]
    return ", ".join(f"{away[column]:+.1f} in {column}" for column in most).replace("-", "−")


def _labels(labels: list[Group], result: CoverageResult) -> Table:
    order = sorted(labels, key=lambda group: (-group.missed_mass.lower, -group.named / max(group.samples, 1)))
    worst = order[0]
    title = f"No label is certified to be missed in part; of {worst.name} {worst.named} of {worst.samples} are named"
    if worst.missed_mass.lower > 0:
        title = f"Of the label {worst.name}, at least {percent(worst.missed_mass.lower)} of all data is missed"
    return Table(
        title=title,
        caption="Missed mass as a share of all the data, beside the label's share of it; all bounds hold together at "
        f"{certainty(result.confidence)} confidence.{_too_small(result, labels, HALVES)}",
        columns=("label", "share of the data", "named missed", "of", "certified missed mass", "estimate"),
        rows=tuple(
            (
                group.name,
                percent(group.samples / result.reals),
                group.named,
                group.samples,
                _certified(group),
                f"{percent(group.missed_mass.estimate)} ± {points(group.missed_mass.uncertainty)}",
            )
            for group in order[:MOST_LABELS]
        ),
    )


def _slider(result: CoverageResult) -> Slider:
    over = result.sweep
    tau = np.asarray(over.tau, dtype=float)
    start = int(np.argmin(np.abs(tau - result.tau)))
    named = np.asarray(over.named) / result.reals
    lower, estimate = np.asarray(over.lower), np.asarray(over.estimate)
    steepest = f"from {percent(lower[0])} at τ = {tau[0]:g} to {percent(lower[-1])} at τ = {tau[-1]:g}"
    return Slider(
        title=f"Certified missed mass goes {steepest}" if lower[-1] > 0 else "At no τ is any missed mass certified",
        caption="A point is missed where the generator's density is at most τ times that of the data. The certified "
        f"curve holds for all τ at once at {certainty(result.confidence)} confidence, so τ may be chosen after "
        f"looking; naming errs in at most {result.alpha:.0%} on average at a τ that was fixed beforehand.",
        setting="τ",
        stops=tuple(float(value) for value in tau),
        start=start,
        columns=(
            "of the data certified missed, at least",
            "missed by estimate",
            "samples named missed",
            "of the data covered, at most",
        ),
        rows=tuple(
            (
                percent(lower[place]),
                f"{100 * estimate[place]:.1f} ± {percent(over.uncertainty[place])}",
                f"{int(over.named[place]):,}",
                percent(1 - lower[place]),
            )
            for place in range(tau.size)
        ),
        chart=Chart(
            title=f"Missed mass over τ; the rule stands at τ = {tau[start]:g}",
            caption="Certified and estimated missed mass, and the share of the real samples that is named.",
            layers=tuple(
                line_layer(tau, 100 * values, name)
                for name, values in ((CERTIFIED, lower), (ESTIMATE, estimate), (NAMED, named))
            ),
            x_title="τ",
            y_title="share of the data, %",
            x_scale="log",
            x_domain=(float(tau[0]), float(tau[-1])),
            roles={CERTIFIED: "accent", ESTIMATE: "theory"},
        ),
    )


def _calibration(given: Calibration) -> Chart:
    said: list[Cell] = [round(float(value), 4) for value in given.said]
    true: list[Cell] = [round(float(value), 4) for value in given.true]
    line: dict[str, list[Cell]] = {"said": [0.0, 1.0], "true": [0.0, 1.0], "who": ["calibrated"] * 2}
    columns: dict[str, list[Cell]] = {"said": said, "true": true, "who": ["given D"] * len(said)}
    return Chart(
        title=f"The given discriminator errs by {given.error:.2f} on average; it ranks a real sample above a generated "
        f"one in {given.auc:.0%} of pairs",
        caption="Samples, real and generated at even weight, are binned by what it says; the height is the share that "
        "is real. On the dashed line it would be right.",
        layers=(
            Layer(mark="line", columns=line, x="said", y="true", color="who", dashed=True),
            Layer(mark="line", columns=columns, x="said", y="true", color="who"),
            Layer(mark="point", columns=columns, x="said", y="true", color="who"),
        ),
        x_title="probability said that a sample is real",
        y_title="share that is real",
        x_domain=(0.0, 1.0),
        y_domain=(0.0, 1.0),
        square=True,
        roles={"given D": "accent", "calibrated": "theory"},
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
    bound = result.precision_recall
    recall, precision = np.asarray(bound.recall), np.asarray(bound.precision)
    both = float(precision[np.argmin(np.abs(precision - recall))])
    estimated: dict[str, list[Cell]] = {
        # from the upper left to the lower right, where there is room for a name
        "recall": _rounded(bound.recall_estimate[::-1]),
        "precision": _rounded(bound.precision_estimate[::-1]),
        "who": [ESTIMATE] * recall.size,
    }
    certified: dict[str, list[Cell]] = {
        "recall": _rounded(recall[::-1]),
        "precision": _rounded(precision[::-1]),
        "who": [BOUND] * recall.size,
    }
    # what lies between both, at common recalls; beyond the end of a curve its precision is 0
    across = np.linspace(0, float(recall.max()), 120)
    upper, lower = (
        np.interp(across, np.asarray(r)[::-1], np.asarray(p)[::-1], left=float(np.max(p)), right=0.0)
        for r, p in ((recall, precision), (bound.recall_estimate, bound.precision_estimate))
    )
    band: dict[str, list[Cell]] = {
        "recall": _rounded(across),
        "upper": _rounded(upper),
        "lower": _rounded(np.minimum(lower, upper)),
        "who": [BOUND] * across.size,
    }
    return Chart(
        title=f"Precision and recall cannot both exceed {both:.1%}"
        if both < 1
        else "Precision and recall may both be 100%: nothing to the contrary is certified",
        caption=f"The true curve lies below the certified one at every point, at {certainty(result.confidence)} "
        "confidence; a perfect generator would reach the upper right corner. The estimate errs in favour of the "
        "generator.",
        layers=(
            Layer(mark="area", columns=band, x="recall", y="upper", y2="lower", color="who"),
            Layer(mark="line", columns=certified, x="recall", y="precision", color="who"),
            Layer(mark="line", columns=estimated, x="recall", y="precision", color="who", dashed=True),
        ),
        x_title="recall: how much of the data can be generated",
        y_title="precision: how much of what is generated is data",
        x_domain=(0.0, 1.02),
        y_domain=(0.0, 1.02),
        square=True,
        roles={BOUND: "accent", ESTIMATE: "theory"},
    )


def _rounded(values: Any) -> list[Cell]:
    return [round(float(value), 5) for value in values]


def _certificates(result: CoverageResult) -> Table:
    def above(quantity: str, number: FromAbove) -> tuple[str, str, str]:
        estimate = f"{percent(number.estimate)} ± {points(number.uncertainty)}"
        return quantity, f"at most {percent(number.upper)}", estimate

    missed, distance = result.missed_mass, result.total_variation
    rows = (
        (
            f"missed mass: real data where p_fake ≤ {result.tau:g} p_real",
            f"at least {percent(missed.lower)}",
            f"{percent(missed.estimate)} ± {points(missed.uncertainty)}",
        ),
        above("coverage: the rest", result.coverage),
        (
            "total variation",
            f"at least {percent(distance.lower)}",
            f"{percent(distance.estimate)} ± {points(distance.uncertainty)}",
        ),
        above("overlap: the rest", result.overlap),
        above(f"fidelity: generated samples where p_real > {result.tau:g} p_fake", result.fidelity),
    )
    found = [f"{100 * missed.lower:.1f}% missed"] if missed.lower > 0 else []
    found += [f"{percent(1 - result.fidelity.upper)} invented"] if result.fidelity.upper < 1 else []
    return Table(
        title=f"Certified: at least {' and '.join(found)}"
        if found
        else "Neither missed nor invented mass is certified",
        caption=f"Each bound holds at {certainty(result.confidence)} confidence whatever the classifier; estimates, "
        "but for chance, err in favour of the generator.",
        columns=("quantity", "certified", "estimate"),
        rows=rows,
    )


def _needed(result: CoverageResult) -> Table:
    return Table(
        title=f"With {result.fakes:,} generated samples, {resolution(result)}",
        caption="Samples needed in all to see a smaller missed part, if the classifier separates it perfectly.",
        columns=("missed share", "generated samples to name it", "real samples to certify it"),
        rows=tuple((f"{row.mass:.1%}", row.fakes, row.reals) for row in result.needed),
    )
