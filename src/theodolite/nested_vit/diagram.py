"""The nested ViT as a diagram: image, windows, region tokens, with token counts."""

from theodolite.kernel.exhibits import Arrow, Box, Diagram
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, nesting_of

SHOWN_STAGES = 3
STEP = 26.0  # from one column of boxes to the next
WIDE, HIGH = 18.0, 8.0


def diagram(config: NestedViTConfig, height: int | None = None, width: int | None = None) -> Diagram:
    """Image → windows → regions, stage by stage, with the tokens of an image (a canvas, by default) and of 4096 px."""
    height = height or config.size
    width = width or height
    said = f"{height} px" if height == width else f"{width} × {height} px"
    own, large = nesting_of(config, height, width), nesting_of(config, LARGE)
    n = own.patches + own.region_tokens
    image = Box(
        key="image",
        x=0,
        y=0,
        width=WIDE,
        height=HIGH,
        lines=("image", f"{width} × {height} × {config.channels}"),
    )
    cut = Box(
        key="windows",
        x=0,
        y=14,
        width=WIDE,
        height=HIGH,
        lines=(
            f"{own.windows:,} windows",
            f"{config.window} × {config.window} patches of {config.patch} px",
            f"+ {own.region_tokens} region token{'s' * (own.region_tokens > 1)}",
        ),
    )
    boxes, arrows = [image, cut], [Arrow(start="image", end="windows", label="cut")]
    shown = min(config.stages, SHOWN_STAGES)
    for stage in range(1, shown + 1):
        name = (
            f"stage {stage}" if stage < shown or shown == config.stages else f"stages {stage} … {config.stages}, each"
        )
        x = STEP * stage
        boxes.append(
            Box(
                key=f"local{stage}",
                x=x,
                y=14,
                width=WIDE,
                height=HIGH,
                lines=(name, f"{config.local_blocks} local blocks", f"{own.windows:,} × {n} tokens"),
            )
        )
        boxes.append(
            Box(
                key=f"global{stage}",
                x=x + STEP / 2,
                y=0,
                width=WIDE,
                height=HIGH,
                lines=(f"{config.global_blocks} global blocks", f"1 × {own.windows * own.region_tokens:,} tokens"),
                accent=True,
            )
        )
        before = f"local{stage - 1}" if stage > 1 else "windows"
        arrows.append(Arrow(start=before, end=f"local{stage}", label="patches"))
        arrows.append(Arrow(start=f"local{stage}", end=f"global{stage}", label="region tokens"))
        if stage > 1:
            arrows.append(Arrow(start=f"global{stage - 1}", end=f"local{stage}", label="back"))
    reading = (
        ("every pixel", f"{config.outputs} logits a patch") if config.target == "dense" else ("label", "mean region")
    )
    boxes.append(Box(key="head", x=STEP * (shown + 1), y=14, width=WIDE, height=HIGH, lines=("head", *reading)))
    arrows.append(Arrow(start=f"global{shown}", end="head", label="region tokens"))
    if config.target == "dense":
        arrows.append(Arrow(start=f"local{shown}", end="head", label="patches"))
    return Diagram(
        title=f"{own.windows:,} windows at {said}, {large.windows:,} at {LARGE} px: no attention over more "
        f"than {max(n, large.windows * large.region_tokens):,} tokens",
        caption="Patches see their window; region tokens see each other; what they learn returns to every patch in the "
        "next stage.",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )
