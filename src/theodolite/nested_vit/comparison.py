"""The nested network beside plain ViTs and Swin-T on images of one size, and over all sizes. No torch."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from theodolite.kernel.exhibits import Cell, Chart, Layer, Table
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs, parameters, plain_parameters, plain_tokens
from theodolite.theory import attention, memory, swin

MEGA, GIGA, TERA = 1e6, 1e9, 1e12
SIDES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)  # px, of the charts
AXIS = (100.0, 20000.0)  # px
NESTED, SWIN = "nested", "Swin-T"
SQUARE = (LARGE, LARGE)


class Network(NamedTuple):
    """What a network is, takes and keeps for one image.

    Attributes
    ----------
    name : str
        ``"nested"``, ``"ViT-8"``, …, ``"Swin-T"``.
    tokens, parameters : int
        Tokens that attention begins with; trained numbers.
    entries : int
        Attention weights of a forward pass, over all layers and heads.
    attention, forward, training : int
        FLOPs of the products within attention alone; of a forward pass; of a forward and a backward pass.
    fused, materialised : int
        Bytes that ordinary autograd keeps for the backward pass, by what happens to attention weights.
    peak : int
        Most bytes at one moment of a step with AdamW, attention fused.
    """

    name: str
    tokens: int
    parameters: int
    entries: int
    attention: int
    forward: int
    training: int
    fused: int
    materialised: int
    peak: int


Found = dict[tuple[int, int], tuple[Network, ...]]
"""Networks by the height and width of the image."""


def nested(config: NestedViTConfig, height: int, width: int | None = None) -> Network:
    """Return our network by ordinary autograd."""
    costs = Costs(config, height, width)
    nest, d, h = costs.nesting, config.width, config.heads
    bodies = [memory.nested_kept_bytes(nest, costs.patch_values, d, h, fused=fused) for fused in (True, False)]
    fused = costs.kept("ordinary")
    return Network(
        NESTED,
        costs.tokens,
        parameters(config),
        attention.nested_attention_entries(nest, h),
        attention.nested_attention_flops(nest, d),
        costs.forward,
        costs.ordinary,
        fused,
        fused + bodies[1] - bodies[0],
        costs.peak("ordinary"),
    )


def plain(config: NestedViTConfig, patch: int, height: int, width: int | None = None) -> Network:
    """Return the plain ViT of the same width and as many layers as a patch of ours passes through within windows."""
    costs = Costs(config, height, width)
    tokens, d, h, layers = plain_tokens(height, patch, width), config.width, config.heads, costs.layers
    values, forward = config.channels * patch**2, costs.plain(patch)
    trained = plain_parameters(config, patch, layers)
    fused, whole = (
        memory.vit_kept_bytes(tokens, values, d, h, layers, fused=fused) + memory.reading_kept_bytes(tokens, d)
        for fused in (True, False)
    )
    working = memory.phase_peak_bytes(fused, memory.FLOAT32 * tokens * d)
    return Network(
        f"ViT-{patch}",
        tokens,
        trained,
        attention.vit_attention_entries(tokens, h, layers),
        layers * attention.attention_flops(tokens, d),
        forward,
        attention.training_flops(forward, attention.linear_flops(tokens, values, d)),
        fused,
        whole,
        memory.step_peak_bytes(working, 0, memory.FLOAT32 * trained, config.channels * costs.pixels),
    )


def swin_t(config: NestedViTConfig, height: int, width: int | None = None) -> Network:
    """Return Swin-T, as published, with our channels and outputs."""
    across = width or height
    first = swin.swin_stages(height, across)[0]
    forward = swin.swin_flops(height, across, config.channels, config.outputs)
    embedding = attention.linear_flops(first.tokens, config.channels * swin.PATCH**2, first.width)
    trained = swin.swin_parameters(config.channels, config.outputs)
    fused, whole = (swin.swin_kept_bytes(height, across, config.channels, fused=fused) for fused in (True, False))
    return Network(
        SWIN,
        first.tokens,
        trained,
        swin.swin_attention_entries(height, across),
        swin.swin_attention_flops(height, across),
        forward,
        attention.training_flops(forward, embedding),
        fused,
        whole,
        # the backward pass begins with the few tokens of the last stage
        memory.step_peak_bytes(fused, 0, memory.FLOAT32 * trained, config.channels * height * across),
    )


def networks(config: NestedViTConfig, height: int, width: int | None = None) -> tuple[Network, ...]:
    """Ours, the plain ones and Swin-T."""
    others = (plain(config, patch, height, width) for patch in PLAIN_PATCHES)
    return (nested(config, height, width), *others, swin_t(config, height, width))


def tables(config: NestedViTConfig, height: int | None = None, width: int | None = None) -> tuple[Table, ...]:
    """Sizes, work, memory, and what ours does not do better: at the settings' size, or another, and at 4096 px."""
    sizes = {(height or config.size, width or height or config.size), SQUARE}
    both = {size: networks(config, *size) for size in sorted(sizes, key=math.prod)}
    return _sizes(config, both), _work(both), _memory(config, both), _limits(config, both)


def said(size: tuple[int, int]) -> int | str:
    """Side of a square, or width × height."""
    height, width = size
    return height if height == width else f"{width} × {height}"


def charts(config: NestedViTConfig) -> tuple[Chart, ...]:
    """Work, what is saved, and memory, over the side of the image."""
    over = {side: networks(config, side) for side in SIDES}
    return _work_chart(over), _savings_chart(over), _memory_chart(config, over)


def _sizes(config: NestedViTConfig, both: Found) -> Table:
    rows = [
        (said(size), each.name, each.tokens, each.parameters, each.entries)
        for size, found in both.items()
        for each in found
    ]
    ours, vit8 = both[SQUARE][:2]
    return Table(
        title=f"At {LARGE} px ViT-8 has {vit8.entries / ours.entries:,.0f} times the attention weights",
        caption="Attention weights: over all layers and heads of one forward pass. Swin-T begins with patches of 4 px "
        f"and has a width of its own, 96 to 768; the plain ViTs have ours, {config.width}, "
        f"and {config.stages * config.local_blocks} layers.",
        columns=("image, px", "network", "tokens", "parameters", "attention weights"),
        rows=tuple(rows),
    )


def _work(both: Found) -> Table:
    rows = []
    for size, found in both.items():
        ours = found[0]
        for each in found:
            work = [flops / GIGA for flops in (each.attention, each.forward, each.training)]
            times = [each.attention / ours.attention, each.forward / ours.forward]
            rows.append((said(size), each.name, *(float(f"{value:.4g}") for value in (*work, *times))))
    ours, vit8 = both[SQUARE][:2]
    return Table(
        title=f"At {LARGE} px ViT-8 costs {vit8.attention / ours.attention:,.0f} times as much in attention, "
        f"{vit8.forward / ours.forward:,.1f} times in the whole",
        caption="GFLOPs: of the products within attention alone, of one forward pass, with the backward pass; the last "
        "columns are the first two in units of the nested network's. Fused attention does the same operations.",
        columns=("image, px", "network", "attention", "forward", "with backward", "× in attention", "× in the whole"),
        rows=tuple(rows),
    )


def _memory(config: NestedViTConfig, both: Found) -> Table:
    chunk = config.chunk or USUAL_CHUNK
    rows: list[tuple[Cell, ...]] = []
    for size, found in both.items():
        costs = Costs(config, *size)
        for each in found:
            held = (each.materialised, each.fused, each.peak, costs.read("ordinary"))
            rows.append((said(size), each.name, *(round(bytes_ / MEGA, 1) for bytes_ in held)))
        for mode in ("recomputed", "stored"):
            told = [round(bytes_ / MEGA, 1) for bytes_ in (costs.kept(mode, chunk), costs.peak(mode, chunk))]
            rows.append((said(size), f"nested, {mode}", None, *told, round(costs.read(mode) / MEGA, 1)))
    large = Costs(config, LARGE)
    return Table(
        title=f"In chunks, a training step at {LARGE} px keeps {large.kept('recomputed', chunk) / MEGA:,.0f} MB "
        f"instead of {large.kept('ordinary') / MEGA:,.0f}",
        caption="MB kept for the backward pass of one image in float32, where attention weights are materialised and "
        f"where attention is fused; peak: all tensors of a step with AdamW, fused; read: pixels, a byte each. "
        f"Chunks: {chunk} windows. Swin-T's shifts, padding and biases of position come on top.",
        columns=("image, px", "network", "materialised", "fused", "peak", "read"),
        rows=tuple(rows),
    )


def _limits(config: NestedViTConfig, both: Found) -> Table:
    """What another network takes less of, at some size, and what chunks cost."""
    told: dict[str, Callable[[Network], int]] = {
        "work, forward": lambda each: each.forward,
        "work outside attention": lambda each: each.forward - each.attention,
        "kept, fused": lambda each: each.fused,
        "parameters": lambda each: each.parameters,
    }
    rows: list[tuple[Cell, ...]] = []
    for place in range(1, len(both[SQUARE])):
        for what, of in told.items():
            times = [of(found[0]) / of(found[place]) for found in both.values()]
            if max(times) > 1:
                rows.append((both[SQUARE][place].name, what, *(round(each, 2) if each > 1 else None for each in times)))
    sizes = [Costs(config, *size) for size in both]
    for mode in MODES[1:]:
        work = [round(costs.flops(mode) / costs.ordinary, 2) for costs in sizes]
        read = [round(costs.read(mode) / costs.read("ordinary"), 2) for costs in sizes]
        rows += [("nested itself", f"work, chunks {mode}", *work), ("nested itself", f"pixels read, {mode}", *read)]
    ahead = [str(row[0]) for row in rows if row[1] == "work, forward" and row[-1]]
    return Table(
        title=f"What ours does not do better: at {LARGE} px {', '.join(ahead) or 'no other network'} "
        f"take{'s' * (len(ahead) < 2)} less work",
        caption="How many times as much the nested network takes, where it is more. Large patches are cheap, and look "
        "at nothing within them; linear layers cost ours what they cost others; small images need no windows.",
        columns=("against", "of what", *(f"× at {said(size)} px" for size in both)),
        rows=tuple(rows),
    )


def _work_chart(over: dict[int, tuple[Network, ...]]) -> Chart:
    rows = [(each.name, side, each.forward / TERA) for side, found in over.items() for each in found]
    ours, vit8 = over[LARGE][:2]
    return Chart(
        title=f"At {LARGE} px ViT-8 needs {vit8.forward / ours.forward:,.0f} times the work of the nested network",
        caption="One forward pass, by theory; lines twice as steep are quadratic in the pixels.",
        layers=(_lines(rows),),
        x_title="side of the image, px",
        y_title="TFLOPs",
        x_scale="log",
        y_scale="log",
        x_domain=AXIS,
    )


def _savings_chart(over: dict[int, tuple[Network, ...]]) -> Chart:
    """Work of others in units of ours, in the whole and in attention alone."""
    shown = {"ViT-8", "ViT-16", SWIN}
    whole, alone = [], []
    for side, found in over.items():
        for each in found:
            if each.name in shown:
                whole.append((each.name, side, each.forward / found[0].forward))
                alone.append((f"{each.name}, attention", side, each.attention / found[0].attention))
    large = {name: value for name, side, value in whole if side == LARGE}
    less = [name for name, side, value in whole if side == LARGE and value < 1]
    told = f", {' and '.join(less)} less than ours" if less else ""
    return Chart(
        title=f"At {LARGE} px ViT-8 costs {large['ViT-8']:,.0f} times as much in the whole{told}",
        caption="Work of one forward pass in units of the nested network's: the whole, and the products within "
        "attention alone; below 1 the nested network costs more.",
        layers=(_lines([*whole, *alone]), Layer(mark="rule", columns={"one": [1.0]}, y="one")),
        x_title="side of the image, px",
        y_title="times the nested network's work",
        x_scale="log",
        y_scale="log",
        x_domain=AXIS,
    )


def _memory_chart(config: NestedViTConfig, over: dict[int, tuple[Network, ...]]) -> Chart:
    chunk = config.chunk or USUAL_CHUNK
    rows = []
    for side, found in over.items():
        ours, vit8, _, _, swin_ = found
        kept = {
            "nested, in chunks": Costs(config, side).kept("recomputed", chunk),
            "nested": ours.fused,
            "ViT-8, materialised": vit8.materialised,
            "ViT-8, fused": vit8.fused,
            SWIN: swin_.fused,
        }
        rows += [(name, side, size / MEGA) for name, size in kept.items()]
    large = Costs(config, LARGE)
    return Chart(
        title=f"Chunks keep {large.kept('recomputed', chunk) / MEGA:,.0f} MB at {LARGE} px where ViT-8 keeps "
        f"{over[LARGE][1].fused / MEGA:,.0f} with fused attention",
        caption="Kept for the backward pass of one image, by theory; where not said otherwise, attention is fused.",
        layers=(_lines(rows),),
        x_title="side of the image, px",
        y_title="MB kept",
        x_scale="log",
        y_scale="log",
        x_domain=AXIS,
    )


def _lines(rows: Iterable[tuple[str, int, float]]) -> Layer:
    """Rows of (name, side, value) as lines."""
    names, sides, values = (list(column) for column in zip(*rows, strict=True))
    columns: dict[str, list[Cell]] = {"name": names, "side": sides, "value": values}
    return Layer(mark="line", columns=columns, x="side", y="value", color="name")
