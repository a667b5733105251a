"""The clips of one configuration: embedded ones, drawn when asked for, or those of a user's files. NumPy out."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.data import clips, decoders, footage, videos
from theodolite.kernel.errors import DataError, UsageError
from theodolite.video_unet.config import EMBEDDED, VideoUNetConfig

Clips = NDArray[np.uint8]

DATA_SEED = 0
"""The embedded clips are one fixed data set, whatever the seed of a training."""
HELD_OUT_EVERY = 5
"""Of a user's files every fifth by name is held out, where files are."""
LOOKED_AT = 5
"""Of a user's files so many times the frames are read, at most, as all training clips together have."""
BYTES_HELD = 2**31
"""Most that the training clips cut from a user's files take in memory."""
GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Samples:
    """Clips to train on and clips held out, (n, frames, height, width, channels) in uint8.

    Attributes
    ----------
    draw : callable
        Gives the training clips of some ids, each below `count`.
    count : int
        Number of training clips.
    held_out : array
        The clips kept from training.
    origin : dict
        Where they are from: path, content hash and how the held-out ones were chosen.
    warnings : tuple of str
        What has to be said about the files.
    """

    draw: Callable[[Iterable[int]], Clips]
    count: int
    held_out: Clips
    origin: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A video that can be used: where it is, the SHA-256 of its content, and how many of its frames are read."""

    path: Path
    sha256: str
    length: int


def samples(config: VideoUNetConfig) -> Samples:
    """Return the clips that a configuration names.

    Raises
    ------
    UsageError
        If clips of so many channels cannot be had.
    DataError
        If the files are missing or damaged, or too short to hold two clips out.
    """
    if config.channels not in (1, 3):
        raise UsageError(f"channels={config.channels}: clips have 3 colours, or 1 as grey")
    return _embedded(config) if config.data == EMBEDDED else _from_files(config)


def training_clips(config: VideoUNetConfig, ids: Iterable[int]) -> Clips:
    """Return embedded training clips."""
    return in_colours(clips.clips(DATA_SEED, ids, config.frames, config.height, config.width), config.channels)


def held_out_clips(config: VideoUNetConfig, count: int) -> Clips:
    """Return the first embedded held-out clips."""
    size = (config.frames, config.height, config.width)
    return in_colours(clips.clips(DATA_SEED, range(count), *size, held_out=True), config.channels)


def _embedded(config: VideoUNetConfig) -> Samples:
    return Samples(
        draw=lambda ids: training_clips(config, ids),
        count=config.clips,
        held_out=held_out_clips(config, config.held_out),
        origin={"path": EMBEDDED, "seed": DATA_SEED, "held_out": config.held_out},
    )


def _from_files(config: VideoUNetConfig) -> Samples:
    """Clips cut from a user's videos, all before training begins: each file is decoded once, in processes beside.

    What is kept is the clips alone, whatever the folder holds.
    """
    files = videos.find_videos(Path(config.data))
    # every file gives its share, so that a long first one does not crowd out the rest
    most = max(LOOKED_AT * config.clips * config.frames // len(files), 2 * config.frames)
    with decoders.started(len(files)) as processes:
        found, said = _usable(config, files, processes.lengths(files, most))
        wanted = _wanted(config, found)
        made = processes.cut(wanted)
    training: list[Clips] = []
    held_out: list[Clips] = []
    for cut in made:
        if isinstance(cut, DataError):
            said.append(_left_out(config, cut))
            continue
        training.append(in_colours(cut.training, config.channels))
        held_out.append(in_colours(cut.held_out, config.channels))
        said.extend(cut.warnings)
    return _joined(config, found, training, held_out, said)


def _usable(
    config: VideoUNetConfig, files: list[Path], lengths: Sequence[tuple[str, int] | DataError]
) -> tuple[list[_File], list[str]]:
    """Return the files that can be used, and what is said of the others."""
    found: list[_File] = []
    said: list[str] = []
    for path, answer in zip(files, lengths, strict=True):
        if isinstance(answer, DataError):
            said.append(_left_out(config, answer))
        elif same := next((each.path for each in found if each.sha256 == answer[0]), None):
            said.append(f"{path.name} has the content of {same.name}; it was left out")
        else:
            found.append(_File(path, *answer))
    return found, said


def _left_out(config: VideoUNetConfig, error: DataError) -> str:
    """Say that a file was left out; a file that was asked for by itself is refused."""
    if Path(config.data).is_file():
        raise error
    return f"left out: {error}"


def _wanted(config: VideoUNetConfig, found: list[_File]) -> list[footage.Wanted]:
    """Share the clips out among files, in proportion to the frames at which one can begin."""
    tails = config.hold_out == "tails"
    shares = [
        "tail" if tails else "all" if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "none" for i in range(len(found))
    ]
    begins = [footage.starts(each.length, config.frames, share) for each, share in zip(found, shares, strict=True)]
    kept = [footage.split(each.length, config.frames, share)[1] for each, share in zip(found, shares, strict=True)]
    affordable = _affordable(config)
    training = _shared(min(config.clips, affordable), begins)
    held_out = _shared(min(config.held_out, affordable, sum(kept)), kept)
    return [
        footage.Wanted(
            path=str(each.path), sha256=each.sha256, frames=config.frames, height=config.height, width=config.width,
            native=config.crop == "native", length=each.length, training=training[i], held_out=held_out[i],
            share=shares[i],
        )
        for i, each in enumerate(found)
    ]  # fmt: skip


def _shared(whole: int, weights: list[int]) -> list[int]:
    """Share a number out in proportion to weights."""
    ends = np.cumsum([0, *weights])
    return [int(part) for part in np.diff(whole * ends // max(1, int(ends[-1])))]


def _joined(
    config: VideoUNetConfig, found: list[_File], training: list[Clips], held_out: list[Clips], said: list[str]
) -> Samples:
    """Put the files' clips together; no copy is made of those to train on, which may be many."""
    if sum(map(len, held_out)) < 2 or not any(map(len, training)):
        whole = sum(each.length // config.frames for each in found)
        advice = f"{HELD_OUT_EVERY + 1} clips in one video or two videos of two, or fewer --frames"
        if config.hold_out == "files":
            advice = f"{HELD_OUT_EVERY} files at least, every {HELD_OUT_EVERY}th is held out, or --hold-out tails"
        raise DataError(
            f"{config.data} holds {whole} whole clips of {config.frames} frames in {len(found)} files, too few to hold "
            f"two out; give {advice}" + "".join(f"; {each}" for each in said[:1])
        )
    ends = np.cumsum([len(each) for each in training])
    if config.clips > int(ends[-1]) and _affordable(config) < config.clips:
        said.append(
            f"{ends[-1]:,} training clips are cut of {config.clips:,}: {BYTES_HELD / 2**30:.0f} GiB hold no more"
        )

    def draw(ids: Iterable[int]) -> Clips:
        numbers = np.array(list(ids), dtype=np.int64)
        parts = np.searchsorted(ends, numbers, side="right")
        return np.stack([training[part][number - ends[part]] for part, number in zip(parts, numbers, strict=True)])

    how = "the last fifth of each" if config.hold_out == "tails" else f"every {HELD_OUT_EVERY}th"
    kept = np.concatenate(held_out)
    return Samples(
        draw=draw,
        count=int(ends[-1]),
        held_out=kept,
        origin={
            "path": str(Path(config.data).resolve()),
            "sha256": _fingerprint(found),
            "held_out": f"{how} of {len(found)} files, {len(kept)} clips",
        },
        warnings=tuple(said),
    )


def _affordable(config: VideoUNetConfig) -> int:
    """Count the clips that `BYTES_HELD` holds."""
    return max(2, BYTES_HELD // (3 * config.frames * config.height * config.width))


def in_colours(given: Clips, channels: int) -> Clips:
    """Return RGB clips (…, 3) as they are, or as grey (…, 1)."""
    return given if channels == 3 else np.rint(given @ GREY)[..., None].astype(np.uint8)


def _fingerprint(found: list[_File]) -> str:
    """SHA-256 over the names and contents of files."""
    digest = hashlib.sha256()
    for each in found:
        digest.update(each.path.name.encode(errors="surrogateescape"))
        digest.update(bytes.fromhex(each.sha256))
    return digest.hexdigest()
