"""Held-out PSNR of the video U-Net at 10×32×32×3: with skips after a minute, and without them beside linear codes.

Part ``skips``: one network with default settings, as many steps as fit into 60 CPU seconds of one thread, set-up and
drawing of clips counted.

Part ``codes``: networks without skips, one for each size of the code, beside principal components and cosine transform
of as many numbers, all fitted to the same training clips and judged by the same held-out ones. A chart is written
beside the table.

Every run is a process of its own with one thread. Finished ones are kept in the folder and not repeated.

Run: python benchmarks/video_unet_quality.py FOLDER [--parts skips codes] [--codes 32 64 128 256] [--steps 10000]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Run = dict[str, Any]

SECONDS = 60  # of training with skips
LONGEST = 1800  # of one without
GOAL = 28.0  # dB with skips
POSITIONS = 32  # of the deepest map, at three stages
LINEAR = (16, 32, 64, 128, 256, 512)  # numbers of a linear code
SKIPS = {"compare_skips": False, "steps": 160}
CODES = {
    "skips": False, "compare_skips": False, "base": 16, "convs_per_stage": 1, "batch_size": 4, "optimizer": "muon",
    "loss": "squared", "temporal_weight": 0.0, "structural_weight": 0.0, "checkpoint_every": 1000,
}  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def child(out: str, settings: Run) -> None:
    """Train and measure; write what was found into the run folder."""
    import theodolite
    from theodolite.video_unet.config import VideoUNetConfig
    from theodolite.video_unet.samples import samples
    from theodolite.video_unet.trained import Trained, mean_and_uncertainty

    cpu = time.process_time()
    run = theodolite.train("video-unet", out, device="cpu", force=True, **settings)
    cpu = time.process_time() - cpu
    config = run.settings(VideoUNetConfig)
    psnr = next(iter(Trained.load(run, config, samples(config).held_out).psnr.values()))
    mean, uncertainty = mean_and_uncertainty(psnr)
    found = {"psnr": mean, "uncertainty": uncertainty, "cpu": cpu, "settings": settings}
    (run.path / "finished.json").write_text(json.dumps(found), encoding="utf-8")


def measured(out: Path, settings: Run) -> Run:
    """Return what a run found, from its folder where it has been made with these settings."""
    finished = out / "finished.json"
    if not finished.is_file() or json.loads(finished.read_text(encoding="utf-8"))["settings"] != settings:
        command = [sys.executable, __file__, str(out.parent), "--child", str(out), json.dumps(settings)]
        subprocess.run(command, check=True, env=os.environ | dict.fromkeys(THREADS, "1"))
    return dict(json.loads(finished.read_text(encoding="utf-8")))


def linear_codes() -> dict[str, list[float]]:
    """Return the mean held-out PSNR in dB of linear codes of `LINEAR` numbers, fitted to all training clips."""
    from theodolite.theory.transform_code import cosine_code_error, principal_code_error, psnr
    from theodolite.video_unet.config import VideoUNetConfig
    from theodolite.video_unet.samples import samples

    config = VideoUNetConfig(**{name: CODES[name] for name in CODES if name in VideoUNetConfig.model_fields})
    clips = samples(config)
    fit, judged = clips.draw(range(clips.count)) / 255.0, clips.held_out / 255.0
    made = {
        "principal components": principal_code_error(fit, judged, LINEAR),
        "cosine transform": cosine_code_error(fit, judged, LINEAR),
    }
    return {name: psnr(error).mean(axis=1).tolist() for name, error in made.items()}


def skips_told(folder: Path) -> str:
    """Train with skips, and tell."""
    found = measured(folder / "skips", SKIPS)
    reached = found["psnr"] >= GOAL and found["cpu"] <= SECONDS
    return (
        f"\n## With skips: {'reached' if reached else 'MISSED'}\n\n"
        f"{found['psnr']:.2f} ± {found['uncertainty']:.2f} dB (95%, over 64 held-out clips) after "
        f"{found['cpu']:.1f} CPU s, {SKIPS['steps']} steps of 2 clips; wanted: {GOAL:.0f} dB after {SECONDS} CPU s.\n"
    )


def codes_told(folder: Path, codes: list[int], steps: int) -> str:
    """Train one network a code size, and tell and draw PSNR beside linear codes."""
    kept = folder / "linear.json"
    if not kept.is_file():
        kept.write_text(json.dumps(linear_codes()), encoding="utf-8")
    linear = json.loads(kept.read_text(encoding="utf-8"))
    rows, points = "", []
    for code in codes:
        settings = CODES | {"code_channels": code // POSITIONS, "steps": steps}
        found = measured(folder / f"code{code}", settings)
        points.append((code, found["psnr"]))
        principal, cosine = (linear[name][LINEAR.index(code)] for name in ("principal components", "cosine transform"))
        said = "above" if found["psnr"] > principal and found["cpu"] <= LONGEST else "BELOW"
        rows += (
            f"| {code} | {found['psnr']:.2f} ± {found['uncertainty']:.2f} | {principal:.2f} | {cosine:.2f} | {said} | "
            f"{found['cpu']:.0f} |\n"
        )
    picture = Path(__file__).with_suffix(".svg")
    picture.write_text(drawn(linear, points), encoding="utf-8")
    return (
        "\n## Without skips\n\nOne convolution a stage, 16 channels in the first block, squared error alone, "
        f"{steps:,} steps of {CODES['batch_size']} clips. PSNR in dB.\n\n"
        "| numbers in the code | network | principal components | cosine transform | network is, of components | "
        f"CPU s |\n|---|---|---|---|---|---|\n{rows}\n![PSNR against the size of the code]({picture.name})\n"
    )


def drawn(linear: dict[str, list[float]], points: list[tuple[int, float]]) -> str:
    """Draw PSNR against code size."""
    from theodolite.kernel.exhibits import Chart, Layer
    from theodolite.report.figures import chart_svg

    def columns(sizes: list[int], psnr: list[float], name: str) -> dict[str, Any]:
        return {"size": sizes, "psnr": psnr, "code": [name] * len(sizes)}

    curves = [
        Layer(mark="line", columns=columns(list(LINEAR), psnr, name), x="size", y="psnr", color="code", dashed=True)
        for name, psnr in linear.items()
    ]
    network = columns([size for size, _ in points], [psnr for _, psnr in points], "U-Net without skips")
    marks = ("line", "point") if len(points) > 1 else ("point",)
    curves += [Layer(mark=mark, columns=network, x="size", y="psnr", color="code") for mark in marks]  # type: ignore[arg-type]
    return chart_svg(
        Chart(
            title="PSNR against the size of the code",
            caption="Mean over 64 held-out clips.",
            layers=tuple(curves),
            x_title="numbers in the code of one clip",
            y_title="PSNR (dB)",
            x_scale="log",
            roles={"U-Net without skips": "accent"},
        )
    )


def main() -> None:
    """Run the parts asked for, and write the file anew: a part that is not asked for is told from the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where finished runs are kept")
    parser.add_argument("--parts", nargs="*", default=["skips", "codes"], choices=["skips", "codes"])
    parser.add_argument("--codes", nargs="*", type=int, default=[32, 64, 128, 256], choices=LINEAR[1:])
    parser.add_argument("--steps", type=int, default=10_000, help="of each network without skips")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], json.loads(given.child[1]))
        return
    import torch

    given.folder.mkdir(parents=True, exist_ok=True)
    text = (
        f"# Quality of the video U-Net\n\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        f"torch {torch.__version__}, one thread a run, float32; other work beside it\n"
    )
    told = {
        "skips": lambda: skips_told(given.folder),
        "codes": lambda: codes_told(given.folder, given.codes, given.steps),
    }
    for part in ("skips", "codes"):
        kept = given.folder / f"{part}.md"
        if part in given.parts:
            kept.write_text(told[part](), encoding="utf-8")
        text += kept.read_text(encoding="utf-8") if kept.is_file() else ""
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
