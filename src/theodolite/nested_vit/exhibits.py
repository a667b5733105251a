"""What the report of a nested ViT shows."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Gallery, Layer, Table, Text
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.choice import USUAL_CHUNK
from theodolite.nested_vit.comparison import AXIS, SIDES
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs, plain_tokens
from theodolite.nested_vit.evaluation import Evaluation, as_it_is_used
from theodolite.nested_vit.measures import forward_seconds
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.samples import images_of, source_of, truth_of
from theodolite.nested_vit.showcase import ShownStep

SHOWN = 6  # canvases
TIMED_SIDE = 512  # px
TINT = np.array([230, 159, 0])  # Okabe and Ito's orange


def all_of(
    run: RunFolder,
    config: NestedViTConfig,
    network: NestedViT,
    seed: int,
    seen: Evaluation,
    blind: Evaluation,
    counted: dict[str, int],
    step: ShownStep | None,
) -> tuple[Exhibit, ...]:
    """All exhibits, in the order of the report."""
    told: list[Exhibit] = []
    if config.target == "dense":
        told.append(marked_canvases(run, config, network, seed))
    told += learning(run, config)
    told += [
        _memory(config, step),
        _counts_table(config, counted),
        justification(config, seen, blind),
    ]
    return tuple(told)


def marked_canvases(run: RunFolder, config: NestedViTConfig, network: NestedViT, seed: int) -> Gallery:
    """Held-out canvases as the network marks them, above the truth."""
    canvases = source_of(config, seed, "held out").canvases(range(SHOWN))
    images, truth = images_of(canvases.ink, config.channels), truth_of(config, canvases)
    with torch.no_grad(), as_it_is_used(network):
        marked = (network(images)[:, 0] > 0).numpy()
    true = truth.target.numpy()
    bright = np.repeat(np.minimum(255, 1.4 * canvases.ink)[..., None].astype(np.uint8), 3, axis=-1)
    each = (marked & true).sum(axis=(1, 2)) / np.maximum((marked | true).sum(axis=(1, 2)), 1)
    return Gallery(
        title=f"Six held-out canvases are marked with an IoU from {each.min():.2f} to {each.max():.2f}",
        caption="Orange: pixels taken for a digit that has a twin; below, those that are.",
        array=run.save_array("marked", tinted(bright, marked)),
        labels=tuple(f"IoU {value:.2f}" for value in each),
        row_name="marked",
        nearest=run.save_array("truth", tinted(bright, true)),
        nearest_labels=tuple("truth" for _ in each),
        nearest_row_name="truth",
    )


def tinted(pixels: NDArray[np.uint8], mark: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Images (…, height, width, 3), the marked pixels on orange."""
    on_orange = np.minimum(255, 0.65 * TINT + 0.6 * pixels).astype(np.uint8)
    return np.where(mark[..., None], on_orange, pixels)


def learning(run: RunFolder, config: NestedViTConfig) -> list[Exhibit]:
    """What was right on held-out canvases over the steps, lesson by lesson."""
    rows = [row for row in run.metrics() if "held_out_iou" in row]
    if len(rows) < 2:
        return []
    names = {"held_out_digits": "digits named", "held_out_twins": "twins told", "held_out_iou": "IoU of the marks"}
    points = [(row["step"], row[key], name) for row in rows for key, name in names.items()]
    steps, values, series = (list(column) for column in zip(*points, strict=True))
    return [
        Chart(
            title=f"The IoU of the marks rose to {rows[-1]['held_out_iou']:.2f} in the last lesson",
            caption="Three lessons: digits within windows, twins among windows, then the marks; "
            "shares of held-out windows, and IoU.",
            layers=(
                Layer(
                    mark="line",
                    columns={"step": steps, "value": values, "what": series},
                    x="step",
                    y="value",
                    color="what",
                ),
            ),
            x_title="step",
            y_title="share right, or IoU",
            y_domain=(0.0, 1.0),
        )
    ]


def _series(mark: Literal["line", "point"], rows: Sequence[tuple[str, int, float]], dashed: bool = False) -> Layer:
    """Rows of (name, side, value) as a layer."""
    names, sides, values = (list(column) for column in zip(*rows, strict=True))
    columns: dict[str, list[Cell]] = {"name": names, "side": sides, "value": values}
    return Layer(mark=mark, columns=columns, x="side", y="value", color="name", dashed=dashed)


def _work(config: NestedViTConfig, side: int) -> tuple[int, ...]:
    costs = Costs(config, side)
    return (costs.forward, *(costs.plain(patch) for patch in PLAIN_PATCHES))


def _counted(counted: dict[str, int]) -> tuple[int, ...]:
    return (counted["flops_large"], *(counted[f"flops_vit{patch}"] for patch in PLAIN_PATCHES))


def _memory(config: NestedViTConfig, step: ShownStep | None) -> Chart:
    """Memory against the image's side."""
    costs = {side: Costs(config, side) for side in SIDES}
    rows = [("ordinary autograd", side, cost.kept("ordinary") / 1e6) for side, cost in costs.items()]
    chunk = config.chunk or USUAL_CHUNK
    rows += [("recomputed", side, cost.kept("recomputed", chunk) / 1e6) for side, cost in costs.items()]
    rows += [("stored", side, cost.kept("stored", chunk) / 1e6) for side, cost in costs.items()]
    layers = [_series("line", rows, dashed=True)]
    if step:
        layers.append(_series("point", [("whole process", step.side, (step.peak_bytes - step.base_bytes) / 1e6)]))
    large = costs[LARGE]
    return Chart(
        title=f"At {LARGE} px recomputed chunks keep {large.kept('recomputed', chunk) / 1e6:,.0f} MB instead of "
        f"{large.kept('ordinary') / 1e6:,.0f}",
        caption="Lines: kept by theory, without image and target; the point is by how much a whole process grew.",
        layers=tuple(layers),
        x_title="side of the image, px",
        y_title="MB for one training step",
        x_scale="log",
        y_scale="log",
        x_domain=AXIS,
    )


def _counts_table(config: NestedViTConfig, counted: dict[str, int]) -> Table:
    """FLOPs by formula and by count, and seconds measured side by side."""
    seconds = forward_seconds(config, TIMED_SIDE)
    tokens = (Costs(config, LARGE).tokens, *(plain_tokens(LARGE, patch) for patch in PLAIN_PATCHES))
    both = list(zip(_work(config, LARGE), _counted(counted), strict=True))
    rows = [
        (name, count, formula, found, round(spent, 3), round(small / spent / 1e9, 1))
        for (name, spent), count, (formula, found), small in zip(
            seconds.items(), tokens, both, _work(config, TIMED_SIDE), strict=True
        )
    ]
    equal = sum(formula == found for formula, found in both)
    return Table(
        title=f"{equal} of {len(both)} counts at {LARGE} px equal the formulas to the last digit",
        caption=f"FLOPs of one forward pass at {LARGE} px; time of one at {TIMED_SIDE} px on this machine's CPU.",
        columns=("network", "tokens", "FLOPs, formula", "FLOPs, counted", f"CPU s at {TIMED_SIDE} px", "GFLOP/s"),
        rows=tuple(rows),
    )


def justification(config: NestedViTConfig, seen: Evaluation, blind: Evaluation) -> Text:
    """Why this architecture, in words with this run's numbers."""
    large = Costs(config, LARGE)
    n = large.nesting.patches + large.nesting.region_tokens
    regions = large.nesting.windows * large.nesting.region_tokens
    tokens = plain_tokens(LARGE, 8)
    return Text(
        title=f"Detail of {config.patch} px and global context, without one attention over all {tokens:,} patches",
        paragraphs=(
            f"At {LARGE} px, patches of 8 px are {tokens:,} tokens: each head of each layer of a plain ViT compares "
            f"{tokens**2 / 1e9:,.1f} billion pairs. Patches of 128 px are {plain_tokens(LARGE, 128):,} tokens, "
            "but each squeezes 49,152 numbers into one vector, and nothing inside a patch attends to the rest of it.",
            f"Here every patch attends to the {n} tokens of its window, among them {config.region_tokens} region "
            f"token{'s' * (config.region_tokens > 1)}, and the {regions:,} region tokens attend to each other: "
            f"{(large.nesting.windows * n**2 + regions**2) / 1e6:,.0f} million pairs for a layer of each. In the next "
            "stage each patch reads its region token and so the whole image.",
            f"Measured at {config.size} px: with the global blocks IoU {seen.iou()[0]:.2f}; with them cut out, and the "
            f"best threshold, {blind.best_iou()[0]:.2f}. The digit is named right in {100 * seen.digits:.1f} % of "
            f"windows before anything global, its twin in {100 * seen.twins:.1f} % after the first global blocks.",
        ),
    )
