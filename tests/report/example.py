"""A run folder with every kind of exhibit, invented but plausible, for the tests of the report."""

import math
from pathlib import Path

import numpy as np

from theodolite.kernel.environment import describe
from theodolite.kernel.exhibits import (
    Arrow,
    Box,
    Chart,
    Diagram,
    Exhibit,
    Gallery,
    Grid,
    Layer,
    Slider,
    Strip,
    Table,
    Text,
)
from theodolite.kernel.records import Audit, Figure, Finding, Measurement, Plan, Prediction
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import Settings, TrainSettings
from theodolite.kernel.verdict import compare

ROLES = {"real": "real", "generated": "generated", "theory": "theory"}


class ExampleConfig(Settings):
    data: str = "digits"
    latent_size: int = 8
    noise: float = 0.25


def example_run(
    folder: Path, *, failing: bool = False, audited: bool = True, warnings: tuple[str, ...] = ("No GPU was used.",)
) -> RunFolder:
    """Write a run folder as a family would, and return it."""
    plan = Plan(
        family="linear-vae",
        config=ExampleConfig().model_dump(),
        assumptions=("The data are Gaussian with the covariance of the train set.", "The encoder is linear."),
        predictions=predictions(),
        exhibits=(u_net(),),
    )
    run = RunFolder.create(folder, "linear-vae", ExampleConfig(), TrainSettings(), plan)
    write_course(run)
    run.write_json(
        "environment.json",
        {
            **describe(),
            "command": "theodolite linear-vae train --latent-size 8 --seed 0 --out runs/example",
            "started": "2025-03-04 10:12 UTC",
            "seconds": 192.4,
            "device": "cpu",
            "precision": "32-true",
        },
    )
    if audited:
        run.write_record("audit.json", example_audit(run, failing, warnings))
    return run


def predictions() -> tuple[Prediction, ...]:
    return (
        Prediction(
            name="elbo", label="ELBO at the optimum", value=-54.3127, unit="nats per sample", claim="exact",
            source="Tipping & Bishop 1999, eq. 8; docs/answers/q2.md", tolerance=0.05,
        ),
        Prediction(
            name="coverage", label="Share of the data that is covered", value=91.0, unit="%", claim="lower bound",
            source="Clopper & Pearson 1934",
        ),
        Prediction(
            name="tokens", label="Multiplications of one forward pass", value=137438953472, unit="", claim="exact",
            source="docs/answers/q4.md",
        ),
        Prediction(
            name="rank", label="Singular values above the noise", value=8, unit="", claim="upper bound",
            source="Baik & Silverstein 2006, thm 1.1",
        ),
    )  # fmt: skip


def example_audit(run: RunFolder, failing: bool, warnings: tuple[str, ...]) -> Audit:
    measurements = (
        Measurement(name="elbo", value=-58.9 if failing else -54.321, unit="nats per sample", uncertainty=0.034,
                    method="mean over 4 000 held-out samples"),
        Measurement(name="coverage", value=92.3, unit="%", uncertainty=1.9, method="share of reals reached"),
        Measurement(name="tokens", value=137438953472, unit="", method="counted by hooks in the running model"),
        Measurement(name="rank", value=8, unit="", method="singular values of W"),
    )  # fmt: skip
    findings: tuple[Finding, ...] = compare(predictions(), measurements)
    return Audit(
        family="linear-vae",
        title="A linear VAE on handwritten digits",
        sentences=(
            "At least 6.1% of the held-out digits are missed, most of them ones.",
            "The ELBO after training is −54.32 nats a sample, between 0.0 and 0.1 below the optimum.",
            "Seven of eight latent directions agree with the principal ones to within 2°.",
        ),
        figures=(
            Figure(value="6.1", unit="%", meaning="of held-out reals are missed, at least"),
            Figure(value="−54.32", unit="nats", meaning="ELBO a sample on held-out digits"),
            Figure(value="2.0", unit="°", meaning="largest angle between learnt and principal subspace"),
            Figure(value="3.2", unit="min", meaning="of training on two cores"),
        ),
        findings=findings,
        exhibits=every_kind(run),
        warnings=warnings,
    )


def every_kind(run: RunFolder) -> tuple[Exhibit, ...]:
    draw = np.random.default_rng(0)
    return (
        curves(), spectrum(), cloud(), histogram(), groups(), ranking(),
        gallery(run, draw), strip(run), grid(run), table(), Text(
            title="The missed digits are ones", caption="Read from the confusion of the nearest neighbours.",
            paragraphs=("Of the 61 missed digits 48 are ones, all upright.", "Of no other digit are four missed."),
        ), transformer(), slider(),
    )  # fmt: skip


def slider() -> Slider:
    stops = (0.01, 0.1, 0.5, 1.0)
    return Slider(
        title="Certified missed mass goes from 1% to 7%",
        caption="A point is missed where the generator's density is at most τ times that of the data.",
        setting="τ",
        stops=stops,
        start=1,
        columns=("of the data certified missed", "samples named"),
        rows=(("1.0%", "12"), ("5.2%", "48"), ("6.1%", "61"), ("7.0%", "77")),
        chart=Chart(
            title="Missed mass over τ",
            caption="Certified missed mass.",
            layers=(Layer(mark="line", columns={"t": list(stops), "m": [1.0, 5.2, 6.1, 7.0]}, x="t", y="m"),),
            x_title="τ",
            y_title="certified, %",
            x_scale="log",
        ),
    )


def curves() -> Chart:
    xs = [round(-4 + 0.05 * i, 2) for i in range(161)]
    real = [0.6 * _normal(x, -1.5, 0.6) + 0.4 * _normal(x, 1.8, 0.5) for x in xs]
    made = [_normal(x, -1.4, 0.62) for x in xs]
    best = [r / (r + g) for r, g in zip(real, made, strict=True)]
    line = {"x": xs * 2, "p": real + made, "series": ["real"] * len(xs) + ["generated"] * len(xs)}
    band = {"x": xs, "low": [0.9 * p for p in real], "high": [1.1 * p for p in real], "series": ["real"] * len(xs)}
    return Chart(
        title="One of two modes is missed",
        caption="Densities of reals and of the generator; dashed is the discriminator that theory calls optimal.",
        layers=(
            Layer(mark="area", columns=band, x="x", y="high", y2="low", color="series"),
            Layer(mark="line", columns=line, x="x", y="p", color="series"),
            Layer(mark="line", columns={"x": xs, "d": best, "s": ["theory"] * 161}, x="x", y="d", color="s",
                  dashed=True),
            Layer(mark="rule", columns={"x": [0.5], "t": ["τ reached"]}, x="x", text="t"),
        ),
        x_title="x",
        y_title="density (per unit of x)",
        roles=ROLES,
    )  # fmt: skip


def spectrum() -> Chart:
    steps = list(range(1, 33))
    theory = [120 * math.exp(-k / 3) + 0.06 for k in steps]
    seen = [t * (1 + 0.08 * math.sin(3 * k)) for k, t in zip(steps, theory, strict=True)]
    return Chart(
        title="Eight directions stand above the noise",
        caption="Eigenvalues of the covariance in falling order; the dashed rule is the noise that theory predicts.",
        layers=(
            Layer(mark="line", columns={"k": steps, "v": theory, "s": ["theory"] * 32}, x="k", y="v", color="s",
                  dashed=True),
            Layer(mark="point", columns={"k": steps, "v": seen, "s": ["measured"] * 32}, x="k", y="v", color="s"),
            Layer(mark="rule", columns={"y": [0.0625], "s": ["noise η²"]}, y="y", color="s", dashed=True),
        ),
        x_title="index of the eigenvalue",
        y_title="eigenvalue (pixel²)",
        y_scale="log",
        roles={"theory": "theory", "noise η²": "theory", "measured": "accent"},
    )  # fmt: skip


def cloud() -> Chart:
    draw = np.random.default_rng(1)
    reals, made = draw.normal(size=(300, 2)) * [1, 0.4], draw.normal(size=(250, 2)) * 0.5
    both = np.concatenate([reals, made])
    names = ["real"] * 300 + ["generated"] * 250
    turn = np.linspace(0, 2 * np.pi, 80)
    ring = {"x": list(2 * np.cos(turn)), "y": list(0.8 * np.sin(turn))}
    return Chart(
        title="The outer third of the reals is not reached",
        caption="Each point is a sample in the plane of the first two components; dashed: where 95% of reals lie.",
        layers=(
            Layer(mark="point", columns={"x": list(both.T[0]), "y": list(both.T[1]), "s": names}, x="x", y="y",
                  color="s"),
            Layer(mark="line", columns=ring, x="x", y="y", dashed=True),
        ),
        x_title="first component",
        y_title="second component",
        square=True,
        x_domain=(-3, 3),
        y_domain=(-3, 3),
        roles=ROLES,
    )  # fmt: skip


def histogram() -> Chart:
    edges = np.linspace(0.025, 0.975, 20)
    return Chart(
        title="D separates 61 digits from all generated ones",
        caption="How many samples D gives a value; the further right, the surer it is that a sample is real.",
        layers=(
            Layer(
                mark="bar",
                columns={
                    "d": list(edges) * 2,
                    "n": [*(int(40 * e**2) + 2 for e in edges), *(int(60 * (1 - e) ** 3) for e in edges)],
                    "s": ["real"] * 20 + ["generated"] * 20,
                },
                x="d", y="n", color="s",
            ),
        ),
        x_title="D(x)",
        y_title="samples",
        roles=ROLES,
    )  # fmt: skip


def groups() -> Chart:
    names = [str(digit) for digit in range(10)]
    missed = [1.0, 39.5, 2.0, 0.0, 4.1, 2.2, 0.0, 1.7, 3.9, 0.0]
    return Chart(
        title="Ones are missed, 40% of them",
        caption="Share of every class that is missed, with its 95% interval.",
        layers=(
            Layer(mark="bar", columns={"digit": names, "share": missed}, x="digit", y="share"),
            Layer(
                mark="rule",
                columns={"digit": names, "low": [max(0, m - 3) for m in missed], "high": [m + 3 for m in missed]},
                x="digit", y="low", y2="high",
            ),
        ),
        x_title="class",
        y_title="missed (%)",
    )  # fmt: skip


def ranking() -> Chart:
    methods = ["closed form", "EM", "analytic gradient", "reparametrised gradient, 1 sample"]
    return Chart(
        title="The closed form is 400 times faster than sampling",
        caption="Seconds until the ELBO is within 0.01 nats of the optimum.",
        layers=(
            Layer(
                mark="bar",
                columns={
                    "method": methods * 2,
                    "s": [0.02, 0.3, 1.9, 8.2, 0.05, 0.6, 3.0, 14],
                    "on": ["64"] * 4 + ["256"] * 4,
                },
                x="s", y="method", color="on",
            ),
        ),
        x_title="seconds",
        y_title="method",
    )  # fmt: skip


def gallery(run: RunFolder, draw: np.random.Generator) -> Gallery:
    y, x = np.mgrid[:28, :28]
    rings = [np.exp(-((np.hypot(y - 14, x - 14) - r) ** 2) / 6) for r in draw.uniform(4, 11, 14)]
    tiles = np.array(rings) * 255
    run.save_array("missed", tiles.astype(np.uint8))
    run.save_array("nearest", np.clip(tiles + draw.normal(0, 25, tiles.shape), 0, 255).astype(np.uint8))
    return Gallery(
        title="What the generator cannot make",
        caption="The reals to which D gives the highest values; below each the nearest of 10 000 generated digits.",
        array="missed.npy",
        labels=tuple(f"D = {0.99 - i / 100:.2f}" for i in range(14)),
        nearest="nearest.npy",
        nearest_labels=tuple(f"distance {3 + i / 5:.1f}" for i in range(14)),
    )


def strip(run: RunFolder) -> Strip:
    t, y, x = np.mgrid[:10, :32, :32]
    ball = np.exp(-((x - 4 - 2.4 * t) ** 2 + (y - 16 - 6 * np.sin(t)) ** 2) / 12)
    video = np.stack([ball, ball[::-1], 1 - ball], axis=-1)
    blurred = (video + np.roll(video, 1, axis=2)) / 2
    rows = np.stack([video, blurred, np.abs(video - blurred)])
    run.save_array("clip", (255 * rows).astype(np.uint8))
    return Strip(
        title="Edges are lost, motion is kept",
        caption="A held-out clip, its reconstruction and the error between them, in step.",
        array="clip.npy",
        row_names=("original", "reconstruction", "error"),
    )


def grid(run: RunFolder) -> Grid:
    y, x = np.mgrid[-2:2:60j, -2:2:60j]
    fields = np.stack([np.exp(-(x**2) - y**2), np.exp(-((x - 0.7) ** 2) - (y + 0.5) ** 2), x * y])
    fields[2, :5, :5] = np.nan
    run.save_array("fields", fields)
    return Grid(
        title="The generator's mass lies beside the data's",
        caption="Density of reals, of the generator, and their difference in the plane.",
        array="fields.npy",
        panel_names=("reals", "generator", "difference"),
        x_title="first component",
        y_title="second component",
        x_domain=(-2, 2),
        y_domain=(-2, 2),
    )


def table() -> Table:
    return Table(
        title="Patch 8 needs 256 times the attention of patch 128",
        caption="Tokens and multiplications of one layer at 4096×4096.",
        columns=("Model", "Patch", "Tokens", "Multiplications", "Memory (GiB)", "Error", "Fits"),
        rows=(
            ("plain ViT", 8, 262144, 52776558133248, 256.0, None, False),
            ("plain ViT", 128, 1024, 805306368, 0.0039, 0.2134, True),
            ("nested ViT", 8, 262144, 137438953472, 1.75, 0.0912, True),
        ),
    )


def u_net() -> Diagram:
    sizes = [("10×32×32×16", 16), ("5×16×16×32", 32), ("2×8×8×64", 64)]
    boxes, arrows = [Box(key="in", x=0, y=-2, width=4, height=1, lines=("video", "10×32×32×3"))], []
    for level, (shape, channels) in enumerate(sizes):
        boxes.append(
            Box(key=f"e{level}", x=2 * level, y=2 * level, width=4, height=1.2, lines=(f"encoder {level + 1}", shape))
        )
        boxes.append(
            Box(
                key=f"d{level}",
                x=20 - 2 * level,
                y=2 * level,
                width=4,
                height=1.2,
                lines=(f"decoder {level + 1}", shape),
            )
        )
        arrows.append(Arrow(start=f"e{level}", end=f"d{level}", label=f"skip, {channels} channels", dashed=True))
        if level:
            arrows.append(Arrow(start=f"e{level - 1}", end=f"e{level}", label="pool 2×2×2"))
            arrows.append(Arrow(start=f"d{level}", end=f"d{level - 1}", label="up-convolution"))
    boxes.append(Box(key="b", x=10, y=6.5, width=4, height=1.2, lines=("bottleneck", "1×4×4×128"), accent=True))
    arrows += [Arrow(start="in", end="e0"), Arrow(start="e2", end="b"), Arrow(start="b", end="d2")]
    return Diagram(
        title="Three blocks down, three up",
        caption="Every map's frames × height × width × channels; dashed arrows are skip connections.",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )


def transformer() -> Diagram:
    steps = (
        ("image", "4096×4096×3"),
        ("windows", "1 024 of 128×128"),
        ("regions", "1 024 tokens"),
        ("label", "10 classes"),
    )
    boxes = [
        Box(key=name, x=180 * i, y=0, width=120, height=60, lines=(name, size)) for i, (name, size) in enumerate(steps)
    ]
    arrows = [Arrow(start=a, end=b, label=label) for a, b, label in (
        ("image", "windows", "cut"), ("windows", "regions", "attend within"), ("regions", "label", "attend across"),
    )]  # fmt: skip
    return Diagram(
        title="262 144 patches become 1 024 tokens before they meet",
        caption="From image to windows to regions, with token counts.",
        boxes=tuple(boxes),
        arrows=tuple(arrows),
    )


def write_course(run: RunFolder, steps: int = 2000) -> None:
    draw = np.random.default_rng(2)
    for step in range(0, steps, 2):
        noise = float(draw.normal())
        row = {"step": step, "seconds": step / 10, "loss": 54 + 900 * math.exp(-step / 150) + noise, "rate": 1e-3}
        run.append_metrics(row)


def _normal(x: float, mean: float, deviation: float) -> float:
    return math.exp(-((x - mean) ** 2) / 2 / deviation**2) / deviation / math.sqrt(2 * math.pi)
