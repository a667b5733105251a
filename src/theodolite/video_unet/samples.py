"""The clips of one configuration: embedded ones, drawn when asked for, or those of a user's files. NumPy out."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.data import clips, videos
from theodolite.kernel.errors import DataError, UsageError
from theodolite.video_unet.config import EMBEDDED, VideoUNetConfig

Clips = NDArray[np.uint8]

DATA_SEED = 0
"""The embedded clips are one fixed data set, whatever the seed of a training."""
HELD_OUT_SHARE = 5
"""Of a user's clips, the last fifth of every file is held out."""
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
    """Cut every file into clips that follow one another; the last fifth of each file is held out, whole clips only."""
    files = videos.find_videos(Path(config.data))
    training: list[Clips] = []
    held_out: list[Clips] = []
    warnings: list[str] = []
    # every file gives its share, so that a long first one does not crowd out the rest
    most = -(-config.clips // len(files)) * config.frames * HELD_OUT_SHARE // (HELD_OUT_SHARE - 1)
    for file in files:
        video = videos.read_video(file, size=(config.height, config.width), most=max(most, 2 * config.frames))
        warnings.extend(video.warnings)
        whole = len(video.frames) // config.frames
        cut = video.frames[: whole * config.frames].reshape(whole, config.frames, *video.frames.shape[1:])
        kept = -(-whole // HELD_OUT_SHARE) if whole > 1 else 0
        training.extend(cut[: whole - kept])
        held_out.extend(cut[whole - kept :])
    if len(held_out) < 2:
        raise DataError(
            f"{config.data} holds {len(training) + len(held_out)} whole clips of {config.frames} frames, too few to "
            f"hold two out; give {HELD_OUT_SHARE + 1} clips in one video or two videos of two, or fewer --frames"
        )
    kept_apart = _spread(held_out, config.held_out)
    stack = in_colours(np.stack(training), config.channels)
    return Samples(
        draw=lambda ids: stack[list(ids)],
        count=len(stack),
        held_out=in_colours(np.stack(kept_apart), config.channels),
        origin={
            "path": str(Path(config.data).resolve()),
            "sha256": _fingerprint(files),
            "held_out": f"the last fifth of each of {len(files)} files, {len(kept_apart)} clips",
        },
        warnings=tuple(warnings),
    )


def _spread(found: list[Clips], most: int) -> list[Clips]:
    """Return at most so many, evenly spaced."""
    return [found[i * len(found) // min(most, len(found))] for i in range(min(most, len(found)))]


def in_colours(given: Clips, channels: int) -> Clips:
    """Return RGB clips (…, 3) as they are, or as grey (…, 1)."""
    return given if channels == 3 else np.rint(given @ GREY)[..., None].astype(np.uint8)


def _fingerprint(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
