"""What a network that has seen normal clips only cannot rebuild in a video, at a stated rate of false alarms."""

import csv
import io
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.data import videos
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.exhibits import Exhibit
from theodolite.kernel.files import write_atomically
from theodolite.kernel.records import Audit, Figure
from theodolite.kernel.runs import RunFolder
from theodolite.theory.conformal import conformal_p_values, conformal_threshold, fewest_scores
from theodolite.video_unet import anomaly_exhibits
from theodolite.video_unet.anomaly_scores import HELD_OUT, Scorer, frame_scores, normal_scores, read

Frames = NDArray[np.uint8]
Array = NDArray[np.float64]

LONGEST_WINDOW = 4096


@dataclass(frozen=True)
class Event:
    """Frames in a row that are alarms.

    Attributes
    ----------
    first, last : int
        Frames, from 0.
    start, end : float
        Seconds from the first frame, to the end of the last.
    peak : float
        Largest score.
    p_value : float
        Largest probability that a normal clip has a frame of that score.
    """

    first: int
    last: int
    start: float
    end: float
    peak: float
    p_value: float


@dataclass
class Scored:
    """Every frame of a video, scored; and the window with the largest score."""

    times: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    worst: "Window | None" = None


@dataclass(frozen=True)
class Window:
    """Frames that are scored together; the first few of the last were scored before."""

    frames: Frames
    made: Frames
    heat: Array
    new: int

    @property
    def peak(self) -> float:
        """Largest score."""
        return float(self.heat.max())


def find_anomalies(
    run: RunFolder,
    source: Path,
    out: Path,
    *,
    normal: Sequence[str] = (HELD_OUT,),
    false_alarms: float = 0.01,
    window: int | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Find what is not normal in a video, and write a folder of tables, videos and a record for a report.

    The video is cut into windows of as many frames as the network was trained on, or `window`, at the height and width
    that it was trained on, and each goes through the network as a clip of its own; so do the normal clips. A clip's
    score is that of its worst frame, a frame's that of its worst place. The threshold is the split-conformal one.

    A plain run sees what it cannot rebuild, wherever it is; best of a camera that stands still. A run that was trained
    to fill in sees what comes and goes within one window, in moving pictures, too; see `passing_changes`.

    The promise: a normal clip raises an alarm, in whichever of its frames, with a probability of at most
    `false_alarms`. It holds where that clip and the normal clips that were given are exchangeable: clips of the same
    kind, in no order that matters. Frames of one clip are not, for they resemble each other, and none is counted by
    itself. Clips of one file resemble each other too: give many files, or long ones.

    Parameters
    ----------
    run : RunFolder
        A trained run of this family; its network without skips is used where there is one.
    source : Path
        The video.
    out : Path
        Folder to write: frames.csv, events.csv, heat.mkv, annotated.mp4, and audit.json for ``theodolite video-unet
        report``.
    normal : sequence of str
        Video files or folders in which all is normal and which were not trained on; or ``held-out``.
    false_alarms : float
        Largest share of normal clips that raise an alarm.
    window : int or None
        Frames that are scored together; by default those of a clip of the training.
    force : bool
        Replace the folder.

    Returns
    -------
    dict
        frames, seconds, threshold, normal_clips, alarms, events, expected_false_alarms, network, out, warnings.

    Raises
    ------
    UsageError
        If the rate is no share, or needs more normal clips than there are.
    DataError
        If a video cannot be read or is shorter than one clip.
    ResourceError
        If the folder cannot be written.
    """
    if not 0.0 < false_alarms < 1.0:
        raise UsageError(f"--false-alarms {false_alarms:g} is no share; give one between 0 and 1, such as 0.01")
    if window is not None and not 1 <= window <= LONGEST_WINDOW:
        raise UsageError(f"--window {window} must be 1 to {LONGEST_WINDOW} frames")
    videos.probe(source)
    scorer = Scorer.load(run, window)
    fewest = fewest_scores(false_alarms)
    usual = normal_scores(run, scorer, list(normal), fewest)
    if len(usual) < fewest:
        raise UsageError(
            f"--false-alarms {false_alarms:g} needs at least {fewest} normal clips of {scorer.window} frames, "
            f"and there are {len(usual)}; give more, or --false-alarms {_up(1 / (len(usual) + 1)):g}"
        )
    folder = RunFolder.create(out, "video-unet", scorer.config, None, run.plan, force=force)
    try:
        return _examined(scorer, source, folder, usual, false_alarms)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # half a folder would pass for a whole one
        raise


def _examined(scorer: Scorer, source: Path, folder: RunFolder, usual: Array, false_alarms: float) -> dict[str, Any]:
    """Score the video, write everything."""
    header, seen, scored, out = videos.probe(source), Decoding(), Scored(), folder.path
    threshold = conformal_threshold(usual, false_alarms)
    videos.write_video(out / "heat.mkv", _heat(scorer, source, seen, scored, threshold), header.rate, lossless=True)
    found = events(scored.times, scored.scores, threshold, usual, header.rate)
    write_atomically(out / "frames.csv", _frames_table(scored, threshold, usual))
    write_atomically(out / "events.csv", _events_table(found))
    frames, heat = read(scorer.config, source), videos.read_frames(out / "heat.mkv")
    videos.write_video(
        out / "annotated.mp4", anomaly_exhibits.annotated(frames, heat, scored.scores, threshold), header.rate
    )
    clips = math.ceil(len(scored.scores) / scorer.window)
    told = {
        "frames": len(scored.scores),
        "seconds": round(scored.times[-1] + float(1 / header.rate), 3),
        "threshold": threshold,
        "normal_clips": len(usual),
        "alarms": int(np.sum(np.array(scored.scores) > threshold)),
        "events": len(found),
        "expected_false_alarms": round(clips * false_alarms, 3),
        "network": scorer.name,
        "out": str(out),
        "warnings": list(seen.warnings(header)),
    }
    exhibits = anomaly_exhibits.of(folder, scored, found, threshold)
    folder.write_record("audit.json", _record(source, told, found, false_alarms, exhibits))
    return told


def _record(
    source: Path, told: dict[str, Any], found: list[Event], false_alarms: float, exhibits: tuple[Exhibit, ...]
) -> Audit:
    meaning = f"above the threshold, of {told['frames']}"
    return Audit(
        family="video-unet",
        title=f"What is not normal in {source.name}",
        sentences=sentences(told, found, false_alarms),
        figures=(
            Figure(value=str(len(found)), unit="events", meaning="frames in a row above the threshold"),
            Figure(value=str(told["alarms"]), unit="frames", meaning=meaning),
        ),
        exhibits=exhibits,
        warnings=tuple(told["warnings"]),
    )


def events(
    times: Sequence[float], scores: Sequence[float], threshold: float, usual: Array, rate: Fraction
) -> list[Event]:
    """Join alarms in a row, with the p-value of the largest score among them."""
    alarms = np.concatenate([[False], np.asarray(scores) > threshold, [False]])
    turns = np.flatnonzero(alarms[1:] != alarms[:-1])
    found = []
    for first, stop in zip(turns[::2], turns[1::2], strict=True):
        peak = max(scores[first:stop])
        p_value = float(conformal_p_values(usual, peak))
        end = times[stop] if stop < len(times) else times[-1] + float(1 / rate)
        found.append(Event(int(first), int(stop) - 1, times[first], end, peak, p_value))
    return found


def sentences(told: dict[str, Any], found: list[Event], false_alarms: float) -> tuple[str, ...]:
    """Say what was found, and what the threshold promises."""
    said = []
    if found:
        worst = max(found, key=lambda event: event.peak)
        said.append(
            f"{told['alarms']} of {told['frames']} frames cannot be rebuilt as normal ones can, in {len(found)} "
            f"{'event' if len(found) == 1 else 'events'}; the worst is at {worst.start:.2f} to {worst.end:.2f} s "
            f"(p ≤ {worst.p_value:.2g})."
        )
    else:
        said.append(f"None of {told['frames']} frames is rebuilt worse than those of normal clips.")
    said.append(
        f"A normal clip raises an alarm with a probability of at most {false_alarms:g}, if it and the "
        f"{told['normal_clips']} normal clips given are exchangeable; in a normal video as long as this one "
        f"{told['expected_false_alarms']:g} clips at most would, on average."
    )
    return tuple(said)


def _heat(scorer: Scorer, source: Path, seen: Decoding, scored: Scored, threshold: float) -> Iterator[Frames]:
    """Yield heat as grey frames, half of white at the threshold, and note scores on the way."""
    for window in windows(scorer, source, seen, scored.times):
        scored.scores.extend(frame_scores(window.heat)[-window.new :].tolist())
        if scored.worst is None or window.peak > scored.worst.peak:
            scored.worst = window
        for heat in window.heat[-window.new :]:
            grey = np.rint(np.minimum(255.0, 127.5 * heat / max(threshold, np.finfo(float).tiny)))
            yield np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


def windows(scorer: Scorer, source: Path, seen: Decoding, times: list[float]) -> Iterator[Window]:
    """Cut a video into windows; the last one reaches back so far that it is as long as the others."""
    length, held, new = scorer.window, list[Frames](), 0
    for frame in read(scorer.config, source, seen):
        times.append(seen.time)
        held, new = [*held[-length + 1 :], frame] if length > 1 else [frame], new + 1
        if new == length:
            yield _window(scorer, held, new)
            new = 0
    if len(held) < length:
        raise DataError(
            f"{source} has {len(held)} frames, fewer than the {length} of one clip; nothing can be promised of it"
        )
    if new:
        yield _window(scorer, held, new)


def _window(scorer: Scorer, frames: list[Frames], new: int) -> Window:
    clip = np.stack(frames)
    heat, made = scorer.heat(clip)
    return Window(clip, made, heat, new)


def _frames_table(scored: Scored, threshold: float, usual: Array) -> bytes:
    p_values = conformal_p_values(usual, scored.scores)
    rows = zip(scored.times, scored.scores, p_values.tolist(), strict=True)
    return _csv(
        ("frame", "time_s", "score", "p_value", "alarm"),
        ((number, f"{time:.6f}", score, p, int(score > threshold)) for number, (time, score, p) in enumerate(rows)),
    )


def _events_table(found: list[Event]) -> bytes:
    return _csv(
        ("start_s", "end_s", "first_frame", "last_frame", "frames", "peak_score", "p_value"),
        ((f"{e.start:.6f}", f"{e.end:.6f}", e.first, e.last, e.last - e.first + 1, e.peak, e.p_value) for e in found),
    )


def _csv(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def _up(rate: float) -> float:
    """Round up to three figures, so that what is advised suffices."""
    scale = 10.0 ** (2 - math.floor(math.log10(rate)))
    return math.ceil(rate * scale) / scale
