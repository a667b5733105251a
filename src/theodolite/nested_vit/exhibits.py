"""What the report of a nested ViT shows."""

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.data.twins import TwinCanvases
from theodolite.kernel.exhibits import Chart, Exhibit, Gallery, Layer, Table, Text
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs, plain_tokens
from theodolite.nested_vit.evaluation import Evaluation
from theodolite.nested_vit.measures import forward_seconds
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.plan import cost_chart
from theodolite.nested_vit.samples import batch
from theodolite.nested_vit.showcase import ShownStep

SHOWN = 6  # canvases
TIMED_SIDE = 512  # px
TINT = np.array([230, 159, 0])  # Okabe and Ito's orange
MEMORY_SIDES = (256, 512, 1024, 2048, 4096, 8192, 16384)


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
        _costs(config, counted),
        _memory(config, step),
        _counts_table(config, counted),
        justification(config, seen, blind),
    ]
    return tuple(told)


def marked_canvases(run: RunFolder, config: NestedViTConfig, network: NestedViT, seed: int) -> Gallery:
    """Held-out canvases as the network marks them, above the truth."""
    canvases = TwinCanvases(config.size, seed, "held out").canvases(range(SHOWN))
    images, truth = batch(TwinCanvases(config.size, seed, "held out"), config, range(SHOWN))
    with torch.no_grad():
        marked = (network(images).target > 0).numpy()
    true = truth.target.numpy()
    each = (marked & true).sum(axis=(1, 2)) / np.maximum((marked | true).sum(axis=(1, 2)), 1)
    return Gallery(
        title=f"Six held-out canvases are marked with an IoU from {each.min():.2f} to {each.max():.2f}",
        caption="Orange: pixels taken for a digit that occurs twice; below, those that are.",
        array=run.save_array("marked", _tinted(canvases.ink, marked)),
        labels=tuple(f"IoU {value:.2f}" for value in each),
        row_name="marked",
        nearest=run.save_array("truth", _tinted(canvases.ink, true)),
        nearest_labels=tuple("truth" for _ in each),
        nearest_row_name="truth",
    )


def _tinted(ink: NDArray[np.uint8], mark: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """White ink on black, the marked pixels on orange."""
    bright = np.repeat(ink[..., None].astype(float), 3, axis=-1)
    bright = np.minimum(255, 1.4 * bright)
    return np.where(mark[..., None], np.minimum(255, 0.65 * TINT + 0.6 * bright), bright).astype(np.uint8)


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


def _costs(config: NestedViTConfig, counted: dict[str, int]) -> Chart:
    names = ["nested", "nested", *(f"ViT-{patch}" for patch in PLAIN_PATCHES)]
    sides = [config.size, LARGE, *(LARGE for _ in PLAIN_PATCHES)]
    flops = [
        counted["flops_forward"],
        counted["flops_large"],
        *(counted[f"flops_vit{patch}"] for patch in PLAIN_PATCHES),
    ]
    columns = {"side": list(sides), "flops": list(flops), "network": list(names)}
    return cost_chart(config, Layer(mark="point", columns=columns, x="side", y="flops", color="network"))


def _memory(config: NestedViTConfig, step: ShownStep | None) -> Chart:
    rows = [(side, Costs(config, side).kept_ordinary / 1e6, "ordinary autograd") for side in MEMORY_SIDES]
    rows += [(side, Costs(config, side).kept_chunked / 1e6, "by chunks") for side in MEMORY_SIDES]
    sides, sizes, names = (list(column) for column in zip(*rows, strict=True))
    layers = [
        Layer(
            mark="line",
            columns={"side": sides, "MB": sizes, "gradients": names},
            x="side",
            y="MB",
            color="gradients",
            dashed=True,
        )
    ]
    large = Costs(config, LARGE)
    if step:
        held = (step.peak_bytes - step.base_bytes) / 1e6
        columns: dict[str, list[str | int | float | bool | None]] = {
            "side": [step.side],
            "MB": [held],
            "gradients": ["measured, whole process"],
        }
        layers.append(Layer(mark="point", columns=columns, x="side", y="MB", color="gradients"))
    return Chart(
        title=f"At {LARGE} px chunks keep {large.kept_chunked / 1e6:,.0f} MB for the backward pass instead of "
        f"{large.kept_ordinary / 1e6:,.0f}",
        caption="Lines: bytes kept by theory, without image and target; the point is the growth of a whole process.",
        layers=tuple(layers),
        x_title="side of the image, px",
        y_title="MB kept for one training step",
        x_scale="log",
        y_scale="log",
    )


def _counts_table(config: NestedViTConfig, counted: dict[str, int]) -> Table:
    seconds = forward_seconds(config, TIMED_SIDE)
    large, own = Costs(config, LARGE), Costs(config, TIMED_SIDE)
    rows: list[tuple[str, int, int, int, float, float]] = []
    predicted = {"nested": large.forward} | {f"ViT-{patch}": large.plain(patch) for patch in PLAIN_PATCHES}
    found = {"nested": counted["flops_large"]} | {
        f"ViT-{patch}": counted[f"flops_vit{patch}"] for patch in PLAIN_PATCHES
    }
    small = {"nested": own.forward} | {f"ViT-{patch}": own.plain(patch) for patch in PLAIN_PATCHES}
    tokens = {"nested": large.tokens} | {f"ViT-{patch}": plain_tokens(LARGE, patch) for patch in PLAIN_PATCHES}
    for name in predicted:
        rate = small[name] / max(seconds[name], 1e-9) / 1e9
        rows.append((name, tokens[name], predicted[name], found[name], round(seconds[name], 3), round(rate, 1)))
    equal = sum(row[2] == row[3] for row in rows)
    return Table(
        title=f"{equal} of {len(rows)} counts at {LARGE} px equal the formulas to the last digit",
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
