"""What theory says of a nested vision transformer before it is trained: its work, its memory, and what it must see."""

from theodolite.data.twins import CLASSES, DIGITS, DOUBLED, TWIN_SHARE
from theodolite.kernel.exhibits import Table
from theodolite.kernel.records import Plan, Prediction
from theodolite.nested_vit import comparison, own_plan
from theodolite.nested_vit.choice import MODES, USUAL_CHUNK, choose, costed, fit
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs, parameters, plain_tokens
from theodolite.nested_vit.diagram import diagram
from theodolite.theory import attention, swin
from theodolite.theory.attention import Nesting

FLOPS = "FLOPs"
BYTES = "bytes"
WORK = "docs/answers/q4.md, Q4.c"
MEGA, TERA = 1e6, 1e12
REFERENCE_WIDTHS = (192, 384, 768)
REFERENCE_LAYERS, REFERENCE_STAGES, REFERENCE_WINDOW, REFERENCE_LABELS = 12, 6, 16, 1000
ROUNDING = 1e-10  # of float64 over thousands of additions, generously
BOOKKEEPING = 0.02  # of the bytes kept: what losses and heads add


def plan(config: NestedViTConfig) -> Plan:
    """Predict work and memory of the network and of plain ones, and the best that windows alone could reach.

    Raises
    ------
    ResourceError
        If a training step on one canvas does not fit the memory that the settings allow.
    """
    if config.own_images:
        return own_plan.plan(config)
    return Plan(
        family="nested-vit",
        config=config.model_dump(mode="json"),
        assumptions=_assumptions(config),
        predictions=(*_work(config), *_memory(config), *_seen(config)),
        exhibits=(
            diagram(config),
            _choice_table(config),
            *comparison.tables(config),
            _reference_table(),
            *comparison.charts(config),
        ),
    )


def _assumptions(config: NestedViTConfig) -> tuple[str, ...]:
    held = {
        "twins": f"A canvas holds {DIGITS} digits of {CLASSES} classes in 16 cells, {DOUBLED} classes twice.",
        "row-twins": f"In each row of cells, some of {CLASSES} classes occur twice and twice as many once; only a twin "
        "in the same row counts, and fragments of digits lie about.",
    }[config.canvases]
    return (
        "Held-out marks show that the whole image is used, no more: a plain ViT with patches as large as the cell "
        "of a digit solves clean canvases, too.",
        "A multiplication and an addition are two FLOPs; softmax, norms and activations are not counted. "
        "The hidden layer of each MLP is 4 times as wide.",
        f"The plain ViTs have the same width {config.width} and as many layers as a patch of ours passes through "
        f"within windows, {config.stages * config.local_blocks}; they read one label from the mean token.",
        "Bytes kept are those of float32 training with fused attention (SDPA), unless materialised is said.",
        "Swin-T is that of Liu et al. (2021): patches of 4 px, windows of 7 × 7 tokens, widths 96 to 768, layers "
        "2, 2, 6, 2, each stage padded to whole windows.",
        f"{held} All have equal ink and are "
        "placed at random: what a digit looks like, and where it is, tells nothing of whether it has a twin.",
    )


def _work(config: NestedViTConfig) -> tuple[Prediction, ...]:
    own, large = Costs(config, config.size), Costs(config, LARGE)
    exact = [
        ("parameters", "Parameters", parameters(config), "", "sum over layers"),
        ("flops_forward", f"Forward pass at {config.size} px", own.forward, FLOPS, WORK),
        ("flops_ordinary", f"Forward and backward pass at {config.size} px", own.ordinary, FLOPS, WORK),
        ("flops_recomputed", "The same by chunks, recomputed from pixels", own.recomputed, FLOPS, "Q4.a there"),
        ("flops_stored", "The same by chunks, from stored boundaries", own.stored, FLOPS, "Q4.a there"),
        ("flops_large", f"Forward pass at {LARGE} px", large.forward, FLOPS, WORK),
    ]
    exact += [
        (f"flops_vit{patch}", f"Plain ViT-{patch}, forward pass at {LARGE} px", large.plain(patch), FLOPS, WORK)
        for patch in PLAIN_PATCHES
    ]
    return tuple(
        Prediction(name=name, label=label, value=value, unit=unit, claim="exact", source=source)
        for name, label, value, unit, source in exact
    )


def _memory(config: NestedViTConfig) -> tuple[Prediction, ...]:
    own, chunk = Costs(config, config.size), config.chunk or USUAL_CHUNK
    told = {
        "ordinary": f"Kept for the backward pass at {config.size} px, ordinary autograd",
        "recomputed": "Kept at most at one moment, by chunks recomputed from pixels",
        "stored": "Kept at most at one moment, by chunks from stored boundaries",
    }
    kept = [(f"kept_{mode}", label, own.kept(mode, chunk)) for mode, label in told.items()]
    return tuple(
        Prediction(
            name=name,
            label=label,
            value=value,
            unit=BYTES,
            claim="estimate",
            source=WORK,
            tolerance=BOOKKEEPING * value,
        )
        for name, label, value in kept
    )


def _seen(config: NestedViTConfig) -> tuple[Prediction, ...]:
    same = Prediction(
        name="gradient_difference",
        label="Largest relative difference of gradients by chunks and ordinary ones, in float64",
        value=ROUNDING,
        unit="",
        claim="upper bound",
        source="docs/answers/q4.md, Q4.a: they are equal but for rounding",
    )
    if config.target != "dense":
        return (same,)
    blind = Prediction(
        name="iou_without_global",
        label="IoU of the marked pixels with the global blocks cut out",
        value=TWIN_SHARE,
        unit="",
        claim="upper bound",
        source="docs/answers/q4.md, Q4.b: windows alone know only the share of twins",
    )
    return (same, blind)


def _choice_table(config: NestedViTConfig) -> Table:
    """How gradients would be found, and which way is taken, for one canvas and for one image of the paper's size."""
    own = choose(config, config.size)
    large = {mode: fit(Costs(config, LARGE), mode) for mode in MODES}
    rows = []
    for side in sorted({config.size, LARGE}):
        for mode in MODES:
            choice = fit(Costs(config, side), mode)
            taken = "taken" if side == config.size and mode == own.mode else "" if choice else "does not fit"
            shown = choice or costed(Costs(config, side), mode, config.chunk or 1)
            chunk = "all" if mode == "ordinary" else str(shown.chunk)
            cells = (round(shown.times, 2), round(shown.peak / MEGA, 1), round(shown.files / MEGA, 1))
            rows.append((side, mode, chunk, *cells, taken))
    budget = f"of {config.memory / MEGA:,.0f} allowed" if config.memory else "no bound set"
    fits = [mode for mode, choice in large.items() if choice]
    return Table(
        title=f"One canvas is trained on by {own.mode} gradients: {own.times:.2f} times the nominal work, "
        f"{own.peak / MEGA:,.0f} MB at the peak, {budget}",
        caption=f"Taken because {own.why}. At {LARGE} px {', '.join(fits) or 'nothing'} would do. Peak: all tensors of "
        "a step with AdamW on one image, files mapped into memory not counted; a batch is chosen for by itself.",
        columns=("side, px", "gradients", "windows a chunk", "× nominal work", "peak, MB", "files, MB", ""),
        rows=tuple(rows),
    )


def _reference_table() -> Table:
    rows = []
    swin_t = swin.swin_flops(LARGE, LARGE)
    for d in REFERENCE_WIDTHS:
        window = REFERENCE_WINDOW * 8
        rows_, columns = attention.windows_covering(LARGE, LARGE, window)
        nest = Nesting(rows_ * columns, REFERENCE_WINDOW**2, 1, REFERENCE_STAGES, 2, 1)
        head = attention.linear_flops(1, d, REFERENCE_LABELS)
        nested = attention.nested_flops(nest, 3 * 8**2, d, head)
        plain = [
            attention.vit_flops(plain_tokens(LARGE, patch), 3 * patch**2, d, REFERENCE_LAYERS, head)
            for patch in PLAIN_PATCHES
        ]
        share = attention.nested_attention_flops(nest, d) / nested
        cells = [float(f"{work / TERA:.4g}") for work in (*plain, nested)]
        times = [round(plain[0] / nested, 1), round(plain[1] / nested, 1), round(swin_t / nested, 2)]
        rows.append((d, *cells, *times, f"{100 * share:.1f} %"))
    return Table(
        title=f"At usual widths ViT-8 needs {rows[-1][5]} to {rows[0][5]} times the work",
        caption=f"TFLOPs of one forward pass at {LARGE} px, {REFERENCE_LAYERS} layers; nested: {REFERENCE_STAGES} "
        f"stages of 2 local and 1 global layers, windows of {REFERENCE_WINDOW} × {REFERENCE_WINDOW} patches of 8 px, "
        f"one region token. Swin-T, of width 96 to 768: {swin_t / TERA:,.3f}.",
        columns=(
            "width",
            "ViT-8",
            "ViT-16",
            "ViT-128",
            "nested",
            "ViT-8 ÷ nested",
            "ViT-16 ÷ nested",
            "Swin-T ÷ nested",
            "in attention",
        ),
        rows=tuple(rows),
    )
