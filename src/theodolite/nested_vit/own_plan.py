"""What theory says before a network is trained on the user's own images: from headers, and masks once. No torch."""

from theodolite.data.image_sets import LabelledImage
from theodolite.kernel.exhibits import Table
from theodolite.kernel.records import Plan, Prediction
from theodolite.nested_vit import comparison
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK, choose
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs, parameters
from theodolite.nested_vit.diagram import diagram
from theodolite.nested_vit.own_images import (
    HELD_OUT_SHARE,
    MEMORY,
    UNKNOWN,
    Masks,
    OwnImages,
    constant_loss,
    count_masks,
    find,
    label_counts,
    settle,
    shares,
)

FLOPS, BYTES, NATS = "FLOPs", "bytes", "nats"
WORK = "docs/answers/q4.md, Q4.c"
PIECE = 4  # windows a side, of the piece of an image on which memory is counted and gradients are compared
ROUNDING = 1e-10  # of float64 over thousands of additions, generously
SINGLE = 1e-5  # of float32, of a mean over many pixels
BOOKKEEPING = 0.02  # of the bytes kept: what losses and heads add


def plan(config: NestedViTConfig) -> Plan:
    """Predict work and memory of the largest image, and the loss of the best constant answer.

    Masks are decoded once, to count classes, unless `classes` says how many there are.

    Raises
    ------
    DataError
        If the data cannot be used; the line names the first file and says how many there are.
    UsageError
        If a setting contradicts the data.
    ResourceError
        If a training step on the largest image does not fit the memory.
    """
    images = find(config)
    masks = count_masks(images) if images.dense and not config.classes else None
    settled = settle(config, images, masks)
    largest = images.largest
    return Plan(
        family="nested-vit",
        config=settled.model_dump(mode="json"),
        assumptions=_assumptions(config, images, masks),
        predictions=(
            *_work(settled, largest),
            *_memory(settled, largest),
            _gradients(),
            *_constant(settled, images, masks),
        ),
        exhibits=(
            diagram(settled, largest.height, largest.width),
            _images_table(settled, images),
            _sizes(images),
            *comparison.tables(settled, largest.height, largest.width),
            *comparison.charts(settled),
        ),
    )


def piece(config: NestedViTConfig, image: LabelledImage) -> tuple[int, int]:
    """Height and width of a piece in whole windows, no larger than the image unless that is smaller than a window."""
    side = config.patch * config.window
    return tuple(side * min(max(length // side, 1), PIECE) for length in (image.height, image.width))  # type: ignore[return-value]  # two lengths


def _assumptions(config: NestedViTConfig, images: OwnImages, masks: Masks | None) -> tuple[str, ...]:
    told = [
        "A multiplication and an addition are two FLOPs; softmax, norms and activations are not counted. "
        "The hidden layer of each MLP is 4 times as wide.",
        f"Of each class {HELD_OUT_SHARE:.0%} are held out, by the content of the files: equal files stay together, and "
        "neither names nor the seed matter. Files that are nearly equal, such as frames of one video, are not noticed.",
        "Each image is a forward pass of its own, whatever its size, and each counts alike in a batch.",
    ]
    if config.memory is None:
        told.append(f"A training step may hold {MEMORY / 2**30:.0f} GiB; --memory says otherwise.")
    if masks and masks.marks:
        told.append(f"Masks hold 0 and {UNKNOWN} alone: {UNKNOWN} is class 1.")
    elif images.dense:
        told.append(f"Pixels that are {UNKNOWN} in a mask of fewer classes count nothing.")
    return (*told, *images.notes)


def _work(config: NestedViTConfig, image: LabelledImage) -> tuple[Prediction, ...]:
    costs = Costs(config, image.height, image.width)
    where = f"at {image.width} × {image.height} px, the largest image"
    exact = [("parameters", "Parameters", parameters(config), "", "sum over layers")]
    exact += [("flops_forward", f"Forward pass {where}", costs.forward, FLOPS, WORK)]
    exact += [
        (f"flops_{mode}", f"Forward and backward pass there, {mode}", costs.flops(mode), FLOPS, WORK) for mode in MODES
    ]
    return tuple(
        Prediction(name=name, label=label, value=value, unit=unit, claim="exact", source=source)
        for name, label, value, unit, source in exact
    )


def _memory(config: NestedViTConfig, image: LabelledImage) -> tuple[Prediction, ...]:
    height, width = piece(config, image)
    costs, chunk = Costs(config, height, width), config.chunk or USUAL_CHUNK
    return tuple(
        Prediction(
            name=f"kept_{mode}",
            label=f"Kept for the backward pass of a piece of {width} × {height} px, {mode}",
            value=costs.kept(mode, chunk),
            unit=BYTES,
            claim="estimate",
            source=WORK,
            tolerance=BOOKKEEPING * costs.kept(mode, chunk),
        )
        for mode in MODES
    )


def _gradients() -> Prediction:
    return Prediction(
        name="gradient_difference",
        label="Largest relative difference of gradients by chunks and ordinary ones, in float64",
        value=ROUNDING,
        unit="",
        claim="upper bound",
        source="docs/answers/q4.md, Q4.a: they are equal but for rounding",
    )


def _constant(config: NestedViTConfig, images: OwnImages, masks: Masks | None) -> tuple[Prediction, ...]:
    """Loss on held-out images of the answer that is the same for all; nothing where the masks were not counted."""
    if images.dense and masks is None:
        return ()
    counts = masks.counts if masks else label_counts(images.all.images, config.num_classes)
    training = shares(counts[images.division.training], config.num_classes)
    value = constant_loss(counts[images.measured(config.held_out)], training)
    return (
        Prediction(
            name="constant_loss",
            label="Loss on held-out images of the best answer that is the same for all",
            value=value,
            unit=NATS,
            claim="exact",
            source="cross-entropy of the training images' shares of the classes, one added to each",
            tolerance=SINGLE * max(value, 1.0),
        ),
    )


def _images_table(config: NestedViTConfig, images: OwnImages) -> Table:
    """Cost of the smallest, the middle and the largest image."""
    rising = sorted(images.all.images, key=lambda image: image.height * image.width)
    named = {"smallest": rising[0], "middle": rising[len(rising) // 2], "largest": rising[-1]}
    rows = []
    for name, image in named.items():
        costs = Costs(config, image.height, image.width)
        choice = choose(config, image.height, image.width, by_windows=True)
        counts = (image.height, image.width, costs.windows, costs.tokens)
        work = (round(costs.forward / 1e9, 2), round(choice.flops / 1e9, 2))
        rows.append((name, *counts, *work, choice.mode, round(choice.peak / 1e6, 1)))
    choice = choose(config, rising[-1].height, rising[-1].width, by_windows=True)
    return Table(
        title=f"The largest of {len(rising):,} images has {rows[-1][3]:,} windows; one training step on it takes "
        f"{choice.flops / 1e9:,.2f} GFLOPs and {choice.peak / 1e6:,.0f} MB at the peak",
        caption=f"By the files' headers. Gradients are exact in every way; taken is what fits {config.memory or 0:,} "
        "bytes. Where they are ordinary an image is read whole, else by windows.",
        columns=("image", "height", "width", "windows", "tokens", "GFLOPs", "a step", "gradients", "peak, MB"),
        rows=tuple(rows),
    )


def _sizes(images: OwnImages) -> Table:
    """How many images each class has."""
    held_out = set(images.division.held_out.tolist())
    if images.dense:
        rows: list[tuple[str, int, int]] = [("with masks", len(images.training), len(held_out))]
    else:
        sides = [(image.label, place in held_out) for place, image in enumerate(images.all.images)]
        rows = [
            (name, sides.count((label, False)), sides.count((label, True)))
            for label, name in enumerate(images.all.classes)
        ]
    return Table(
        title=f"{len(images.training):,} images are trained on, {len(held_out):,} are held out",
        caption="Nothing that is trained on is held out: equal files stay on one side.",
        columns=("class", "training", "held out"),
        rows=tuple(rows),
    )
