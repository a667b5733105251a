"""How badly a network rebuilds each place of each frame of a clip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from theodolite.data import videos
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.config import EMBEDDED, VideoUNetConfig
from theodolite.video_unet.losses import to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.reconstruct import chunks, load_networks
from theodolite.video_unet.samples import held_out_clips, in_colours, samples

Frames = NDArray[np.uint8]
Array = NDArray[np.float64]

HELD_OUT = "held-out"
"""In place of files: the clips that the run kept from training."""
PLACES = 8
"""Errors are averaged over windows of about this share of a frame's shorter side, three pixels at least."""


@dataclass(frozen=True)
class Scorer:
    """A network that has seen normal clips only.

    Attributes
    ----------
    name : str
        Which network of the run: the one without skips, where there is one, as skips copy what they have never seen.
    network : VideoUNet
        On its device.
    config : VideoUNetConfig
        The run's.
    """

    name: str
    network: VideoUNet
    config: VideoUNetConfig

    @classmethod
    def load(cls, run: RunFolder) -> "Scorer":
        """Load the network of a run that has least to copy from."""
        config = run.settings(VideoUNetConfig)
        networks = dict(load_networks(run, config))
        name = "without_skips" if "without_skips" in networks else next(iter(networks))
        return cls(name, networks[name], config)

    def heat(self, clip: Frames) -> tuple[Array, Frames]:
        """Return the error of every place of a clip, and its reconstruction.

        Parameters
        ----------
        clip : array (frames, height, width, 3)
            As the network was trained on: RGB, uint8.

        Returns
        -------
        heat : array (frames, height, width)
            Root of the squared error, averaged over colours and a small window; pixels are in [0, 1].
        made : array (frames, height, width, channels)
            uint8.
        """
        given = in_colours(clip[None], self.config.channels)
        with torch.inference_mode():
            made = self.network(to_tensor(given, next(self.network.parameters()).device)).clamp(0.0, 1.0)
        rebuilt = made[0].movedim(0, -1).cpu().numpy().astype(np.float64)
        squared = np.mean((rebuilt - given[0] / 255.0) ** 2, axis=-1)
        side = max(3, min(squared.shape[1:]) // PLACES)
        for axis in (1, 2):
            squared = uniform_filter1d(squared, side, axis=axis, mode="nearest")
        return np.sqrt(np.maximum(squared, 0.0)), np.rint(255.0 * rebuilt).astype(np.uint8)


def frame_scores(heat: Array) -> Array:
    """Return one score a frame, the error where it is largest."""
    return np.asarray(heat.max(axis=(1, 2)))


def normal_scores(run: RunFolder, scorer: Scorer, normal: list[str], fewest: int) -> Array:
    """Score clips that nothing is wrong with, each by its worst frame: an alarm anywhere in a clip is one alarm.

    Parameters
    ----------
    normal : list of str
        Video files or folders, or ``held-out`` alone.
    fewest : int
        Of embedded clips, which can be drawn at will, twice as many are drawn.

    Raises
    ------
    DataError
        If files are missing, damaged, too short or were trained on.
    """
    if normal == [HELD_OUT]:
        clips: Iterable[Frames] = _held_out(run, scorer.config, fewest)
    else:
        clips = _of_files(scorer.config, normal)
    return np.array([frame_scores(scorer.heat(clip)[0]).max() for clip in clips])


def read(config: VideoUNetConfig, path: Path, seen: Decoding | None = None) -> Iterator[Frames]:
    """Decode a video at the height and width that the network was trained on."""
    return videos.read_frames(path, size=(config.height, config.width), seen=seen)


def _held_out(run: RunFolder, config: VideoUNetConfig, fewest: int) -> Frames:
    if config.data == EMBEDDED:
        # in the colours of the network; told again as RGB below
        return _as_rgb(held_out_clips(config, max(config.held_out, 2 * fewest + 1)))
    found = samples(config)
    if found.origin.get("sha256") != run.read_json("data.json").get("sha256"):
        raise DataError(f"{config.data} is not what {run.path} was trained on, its SHA-256 differs; restore the files")
    return _as_rgb(found.held_out)


def _of_files(config: VideoUNetConfig, normal: list[str]) -> Iterator[Frames]:
    files = [file for each in normal for file in videos.find_videos(Path(each))]
    trained = set() if config.data == EMBEDDED else {file.resolve() for file in _files_of(config.data)}
    for file in files:
        if file.resolve() in trained:
            raise DataError(f"{file} was trained on, so its errors are too small; give other videos, or {HELD_OUT}")
    for file in files:
        yield from (clip for clip in chunks(read(config, file), config.frames) if len(clip) == config.frames)


def _files_of(data: str) -> list[Path]:
    """List the files that were trained on, if they are still there."""
    return videos.find_videos(Path(data)) if Path(data).exists() else []


def _as_rgb(clips: Frames) -> Frames:
    return np.repeat(clips, 3, axis=-1) if clips.shape[-1] == 1 else clips
