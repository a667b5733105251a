"""The U-Net drawn: its U with every map's dimensions, and the table of every map. No torch."""

from theodolite.kernel.exhibits import Arrow, Box, Diagram, Table
from theodolite.video_unet.architecture import Map, maps
from theodolite.video_unet.config import Size, VideoUNetConfig

SHAPE, AXES = "size", "frames × height × width × channels"
COLUMNS = ("map", "kernel", "in", SHAPE, "parameters", "dead", "work", "inside")
NAME_COLUMN, SHAPE_COLUMN = COLUMNS.index("map"), COLUMNS.index(SHAPE)
TABLE_TITLE = "Every map"

# units of the diagram: boxes on two columns, one row a stage
BOX_WIDTH, BOX_HEIGHT, ROW, RIGHT = 3.2, 1.0, 1.9, 7.2


def shape(made: Map) -> str:
    """Return a map's dimensions as the paper writes them, frames × height × width × channels."""
    return times((*made.size, made.channels))


def times(sides: tuple[int, ...] | Size) -> str:
    """Join numbers by ×."""
    return "×".join(str(side) for side in sides)


def shape_table(config: VideoUNetConfig) -> Table:
    """Return one row for each map, in the order they are computed."""
    made = maps(config)
    rows = tuple(
        (
            each.name,
            times(each.kernel) if each.kernel else None,
            each.channels_in,
            shape(each),
            each.parameters,
            each.dead,
            round(each.work / 1e6, 1),
            round(each.work_inside / 1e6, 1),
        )
        for each in made
    )
    skips = "the last convolution of each encoder block is its skip connection" if config.skips else "no skips"
    return Table(
        title=f"{TABLE_TITLE}: {len(made)}, with {sum(each.parameters for each in made):,} parameters",
        caption="In the order they are computed, by their names in the network. In: channels of what they are made "
        f"from. Size: {AXES}; {skips}; sizes that {_pool(config)} not divide are rounded {config.rounding}. A dead "
        "weight can only ever meet padding. Work: million multiply-adds, and those of them inside, which read none.",
        columns=COLUMNS,
        rows=rows,
    )


def u_diagram(config: VideoUNetConfig) -> Diagram:
    """Return the U: encoder blocks down the left, the bottleneck below, decoder blocks up the right."""
    made = maps(config)
    by_block: dict[str, list[Map]] = {}
    for each in made:
        by_block.setdefault(each.block, []).append(each)
    boxes = [
        _box("input", 0.0, 0.0, ("clip", shape(made[0]))),
        _box("output", RIGHT, 0.0, ("reconstruction", shape(made[-1]))),
    ]
    arrows = [Arrow(start="input", end="encoder 1"), Arrow(start="decoder 1", end="output", label="1×1×1")]
    for stage in range(1, config.stages + 1):
        encoder, decoder = f"encoder {stage}", f"decoder {stage}"
        below = f"encoder {stage + 1}" if stage < config.stages else "bottleneck"
        above = f"decoder {stage + 1}" if stage < config.stages else "bottleneck"
        skip, pooled = by_block[encoder][-2:]
        up = next(each for each in reversed(by_block[decoder]) if ".up" in each.name)
        boxes.append(_box(encoder, 0.0, stage * ROW, (encoder, _convolutions(config), shape(skip))))
        boxes.append(_box(decoder, RIGHT, stage * ROW, (decoder, _convolutions(config), shape(by_block[decoder][-1]))))
        arrows.append(Arrow(start=encoder, end=below, label=f"pool {shape(pooled)}"))
        arrows.append(Arrow(start=above, end=decoder, label=f"up {shape(up)}{_fitting(by_block[decoder])}"))
        if config.skips:
            arrows.append(Arrow(start=encoder, end=decoder, label=f"skip {shape(skip)}", dashed=True))
    deepest = by_block["bottleneck"][-1]
    lines = ("bottleneck", _convolutions(config), shape(deepest))
    bottom = Box(
        key="bottleneck",
        x=0.0,
        y=(config.stages + 1) * ROW,
        width=RIGHT + BOX_WIDTH,
        height=BOX_HEIGHT,
        lines=lines,
        accent=True,
    )
    boxes.append(bottom)
    joined = "joined with the skips (dashed)" if config.skips else "without skips"
    return Diagram(
        title=f"{times(made[0].size)}×{config.channels} becomes {shape(deepest)}, and again {shape(made[-1])}",
        caption=f"Frames × height × width × channels of every map: pooled on the left, raised on the right, {joined}.",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )


def _box(key: str, x: float, y: float, lines: tuple[str, ...]) -> Box:
    return Box(key=key, x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, lines=lines)


def _convolutions(config: VideoUNetConfig) -> str:
    return f"{config.convs_per_stage} × {times(config.kernels)}"


def _pool(config: VideoUNetConfig) -> str:
    """Return the pools as the subject of a sentence, with its verb."""
    return f"{config.pools[0]} does" if len(set(config.pools)) == 1 else f"{times(config.pools)} do"


def _fitting(decoder: list[Map]) -> str:
    """Say to what a raised map is cropped or padded."""
    fitted = [each for each in decoder if each.operation == "crop or pad"]
    return f" → {times(fitted[0].size)}" if fitted else ""
