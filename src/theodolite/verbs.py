"""Verbs that one family has and the others have not, and what all verbs share."""

import json as json_
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from theodolite import families
from theodolite.families import FAMILIES, Family
from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder

Json = Annotated[bool, Parameter(name="--json", negative="", help="print one JSON document on stdout")]
Force = Annotated[bool, Parameter(name="--force", negative="", help="replace an existing run folder")]
Run = Annotated[Path, Parameter(help="run folder")]


def open_run(path: Path, family: Family) -> RunFolder:
    """Open a run folder of a family, or say in one line why it is none."""
    run = RunFolder.open(path)
    if run.family != family.name:
        raise DataError(f"{path} is a run of {run.family or 'no known family'}, not of {family.name}")
    return run


def say(
    as_json: bool, content: dict[str, Any], sentence: str, next_words: str = "", family: Family | None = None
) -> None:
    """Print a sentence and what to do next, or one JSON document."""
    if as_json:
        print_json(content)
        return
    print(sentence)
    if family:
        print(f"next: theodolite {family.name} {next_words}")


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON document."""
    print(json_.dumps(content, indent=1))


def tell(found: dict[str, Any], as_json: bool) -> None:
    """Print what was found, a line each, or one JSON document; warnings go beside it."""
    warnings = found.get("warnings", [])
    warn(warnings)
    shown = {name: value for name, value in found.items() if name != "warnings"}
    say(as_json, found, "\n".join(f"{name}: {value}" for name, value in shown.items()))


def warn(warnings: Iterable[str]) -> None:
    """Print warnings to standard error, a line each."""
    for warning in warnings:
        print(f"theodolite: {printable(warning)}", file=sys.stderr)


def printable(text: str) -> str:
    """Return a text in which what would break its line, or steer a terminal, is shown as its code."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _sample(
    run: Run,
    *,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="how many")] = 1000,
    out: Annotated[Path, Parameter(help="file to write, .npy or .safetensors, or folder for images")] = Path(
        "samples.npy"
    ),
    json: Json = False,
) -> None:
    """Draw samples from a trained generator."""
    from theodolite.gan.writing import write_samples  # loads torch

    path = write_samples(open_run(run, FAMILIES["gan"]), count, out)
    say(json, {"samples": str(path), "count": count}, f"samples: {path}")


def _export(
    run: Run, *, out: Annotated[Path, Parameter(help="file to write, .pt2")] = Path("generator.pt2"), json: Json = False
) -> None:
    """Write a trained generator as a program that torch.export.load reads, without this library."""
    from theodolite.gan.writing import export_program  # loads torch

    tell(export_program(open_run(run, FAMILIES["gan"]), out), json)


def _repair(
    run: Run,
    *,
    rounds: Annotated[int, Parameter(help="further generators at most, one a round")] = 1,
    tau: Annotated[
        float | None, Parameter(help="a set is missed where this share of its due is made [run's own]")
    ] = None,
    share: Annotated[float, Parameter(help="of what is due that must be made after, certified")] = 0.5,
    steps: Annotated[int, Parameter(help="of training, of each; 0: as many as the run")] = 0,
    force: Annotated[bool, Parameter(negative="", help="forget an earlier repair")] = False,
    json: Json = False,
) -> None:
    """Train further generators on what is missed, and mix them in where that is certified to help."""
    from theodolite.gan.repair import repair  # loads torch

    def told(stage: str) -> None:
        print(f"repair: {stage}", file=sys.stderr)

    fields: dict[str, Any] = {"rounds": rounds, "share": share, "steps": steps} | ({} if tau is None else {"tau": tau})
    found = repair(open_run(run, FAMILIES["gan"]), force=force, tell=told, **fields)
    lines = [f"round {one.number}: {one.why}" for one in found.rounds]
    say(json, found.model_dump(mode="json"), "\n".join([*lines, _after_repair(run, found.accepted)]))


def _after_repair(run: Path, accepted: bool) -> str:
    if not accepted:
        return f"left as it was: {run}"
    return f"repaired: {run}\nnext: theodolite gan audit {shlex.quote(str(run))}"


def _reconstruct(
    run: Run,
    source: Annotated[Path, Parameter(help="video to read")],
    target: Annotated[Path, Parameter(help="video to write: .mp4, or .mkv for lossless")],
    *,
    clip_by_clip: Annotated[
        bool, Parameter(negative="", help="as in training: so many frames at a time, each a clip of its own")
    ] = False,
    json: Json = False,
) -> None:
    """Send a whole video through a trained network, into a video file."""
    from theodolite.video_unet.reconstruct import reconstruct  # loads torch

    tell(reconstruct(open_run(run, FAMILIES["video-unet"]), source, target, clip_by_clip=clip_by_clip), json)


def _anomalies(
    run: Run,
    source: Annotated[Path, Parameter(help="video to examine")],
    *,
    normal: Annotated[
        list[str] | None,
        Parameter(
            help="videos or folders in which all is normal, not trained on [held-out clips]", consume_multiple=True
        ),
    ] = None,
    false_alarms: Annotated[float, Parameter(help="share of normal clips that may raise an alarm")] = 0.01,
    window: Annotated[int | None, Parameter(help="frames scored together [those of a clip of the training]")] = None,
    out: Annotated[Path | None, Parameter(help="folder to write [default: RUN/anomalies/NAME]")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Find what is not normal in a video, at a stated rate of false alarms."""
    from theodolite.video_unet.anomalies import find_anomalies  # loads torch

    opened = open_run(run, FAMILIES["video-unet"])
    fields: dict[str, Any] = {"normal": normal} if normal else {}
    out = out or run / "anomalies" / source.stem
    found = find_anomalies(opened, source, out, false_alarms=false_alarms, window=window, force=force, **fields)
    report = families.write_report(RunFolder.open(out))
    tell({**found, "report": str(report)}, json)


def _predict(
    run: Run,
    source: Annotated[Path, Parameter(help="image to read, of any size; or a folder of them, to be labelled")],
    *,
    out: Annotated[
        Path | None,
        Parameter(
            help="file to write: .csv of labels, .tif of classes; of one class .npy of probabilities, .webp with marks "
            "[default: predictions.csv or map.tif in RUN]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Name the labels of images of any size, or the class of every pixel of one, with a trained network."""
    from theodolite.nested_vit.predict import predict  # loads torch

    tell(predict(open_run(run, FAMILIES["nested-vit"]), source, out), json)


OWN_VERBS: dict[str, dict[str, Callable[..., Any]]] = {
    "gan": {"sample": _sample, "export": _export, "repair": _repair},
    "video-unet": {"reconstruct": _reconstruct, "anomalies": _anomalies},
    "nested-vit": {"predict": _predict},
}
