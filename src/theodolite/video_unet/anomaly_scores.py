"""How badly a network rebuilds each place of each frame of a clip, or how it changes there for a while."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from theodolite.data import videos
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.config import EMBEDDED, VideoUNetConfig
from theodolite.video_unet.losses import to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.reconstruct import chunks, load_networks
from theodolite.video_unet.restoration import copies, rebuilt
from theodolite.video_unet.samples import held_out_clips, in_colours, samples

Frames = NDArray[np.uint8]
Array = NDArray[np.float64]

HELD_OUT = "held-out"
"""In place of files: the clips that the run kept from training."""
PLACES = 8
"""Errors are averaged over windows of about this share of a frame's shorter side, three pixels at least."""
CHANGED_PLACES = 3
"""The same where changes are looked for."""
USUAL = 0.02
"""Added to the usual error of a place, so that a place that hardly ever errs does not cry at every grey level."""


@dataclass(frozen=True)
class Scorer:
    """A network that has seen normal clips only.

    Attributes
    ----------
    name : str
        Which network of the run: the one without skips, where there is one, as skips copy what they have never seen;
        of a run that fills in the one asked for, as what is hidden cannot be copied.
    network : VideoUNet
        On its device.
    config : VideoUNetConfig
        The run's.
    window : int
        Frames that are scored together.
    """

    name: str
    network: VideoUNet
    config: VideoUNetConfig
    window: int

    @classmethod
    def load(cls, run: RunFolder, window: int | None = None) -> "Scorer":
        """Load the network of a run that has least to copy from, for windows as long as the clips of its training."""
        config = run.settings(VideoUNetConfig)
        networks = dict(load_networks(run, config))
        wanted = "without_skips" if copies(config) == 1 else ""
        name = wanted if wanted in networks else next(iter(networks))
        return cls(name, networks[name], config, window or config.frames)

    def heat(self, clip: Frames) -> tuple[Array, Frames]:
        """Return a score of every place of a clip, and its reconstruction.

        Of a run that fills in it is `passing_changes`, as every frame is rebuilt from the others. Of any other it is
        the root of the squared error, averaged over colours and a small window; pixels are in [0, 1].

        Parameters
        ----------
        clip : array (frames, height, width, 3)
            RGB, uint8, of the height and width that the network was trained on.

        Returns
        -------
        heat : array (frames, height, width)
        made : array (frames, height, width, channels)
            uint8.
        """
        given = in_colours(clip[None], self.config.channels)
        shown = to_tensor(given, next(self.network.parameters()).device)
        made = rebuilt(self.config, self.network, shown).clamp(0.0, 1.0)
        pixels = made[0].movedim(0, -1).cpu().numpy().astype(np.float64)
        error, drawn = pixels - given[0] / 255.0, np.rint(255.0 * pixels).astype(np.uint8)
        if copies(self.config) > 1:
            return passing_changes(error), drawn
        return np.sqrt(np.mean(np.maximum(_averaged(error**2, PLACES), 0.0), axis=-1)), drawn


def passing_changes(error: Array) -> Array:
    """Return how sharply each place of each frame was changed, and changed back: (frames, height, width).

    Where something comes or goes, the frame before and the frame after, each rebuilt from its neighbours, err both. Of
    what lasts for some frames only these ends are seen; it lies between them as water between two walls: as deep as
    the lower of the highest wall before it and the highest behind it. Errors keep their signs while they are averaged
    over a place, for those of textures cancel and those of colours do not, and are divided by what is usual at the
    place in the clip, the median over its frames.

    Parameters
    ----------
    error : array (frames, height, width, channels)
        Of each frame rebuilt from others; pixels are in [0, 1].
    """
    size = np.sqrt(np.mean(_averaged(error, CHANGED_PLACES) ** 2, axis=-1))
    size /= np.median(size, axis=0) + USUAL
    ends = np.zeros((1, *size.shape[1:]))
    walls = np.concatenate([ends, np.minimum(size[:-1], size[1:]), ends])  # between frames
    before = np.maximum.accumulate(walls, axis=0)[:-1]
    after = np.maximum.accumulate(walls[::-1], axis=0)[::-1][1:]
    return np.asarray(np.minimum(before, after))


def _averaged(values: Array, places: int) -> Array:
    """Average (frames, height, width, channels) over small windows of rows and columns."""
    side = max(3, min(values.shape[1:3]) // places)
    for axis in (1, 2):
        values = uniform_filter1d(values, side, axis=axis, mode="nearest")
    return values


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
    UsageError
        If the clips held out are not like what the video is cut into.
    DataError
        If files are missing, damaged, too short or were trained on.
    """
    if normal == [HELD_OUT]:
        clips: Iterable[Frames] = _held_out(run, scorer, fewest)
    else:
        clips = _of_files(scorer, normal)
    return np.array([frame_scores(scorer.heat(clip)[0]).max() for clip in clips])


def read(config: VideoUNetConfig, path: Path, seen: Decoding | None = None) -> Iterator[Frames]:
    """Decode a video at the height and width that the network was trained on."""
    return videos.read_frames(path, size=(config.height, config.width), seen=seen)


def _held_out(run: RunFolder, scorer: Scorer, fewest: int) -> Frames:
    config = scorer.config
    if config.data == EMBEDDED:
        # in the colours of the network; told again as RGB below
        longer = config.model_copy(update={"frames": scorer.window})
        return _as_rgb(held_out_clips(longer, max(config.held_out, 2 * fewest + 1)))
    if scorer.window != config.frames:
        raise UsageError(
            f"--window {scorer.window}: the clips held out have {config.frames} frames; give videos with --normal"
        )
    if config.crop == "native":
        raise UsageError(
            "the clips held out were cut at the videos' own size, and anomalies are looked for in whole frames at "
            f"{config.height} × {config.width}: those are not alike; give videos with --normal"
        )
    found = samples(config)
    if found.origin.get("sha256") != run.read_json("data.json").get("sha256"):
        raise DataError(f"{config.data} is not what {run.path} was trained on, its SHA-256 differs; restore the files")
    return _as_rgb(found.held_out)


def _of_files(scorer: Scorer, normal: list[str]) -> Iterator[Frames]:
    config = scorer.config
    files = [file for each in normal for file in videos.find_videos(Path(each))]
    trained = set() if config.data == EMBEDDED else {file.resolve() for file in _files_of(config.data)}
    for file in files:
        if file.resolve() in trained:
            raise DataError(f"{file} was trained on, so its errors are too small; give other videos, or {HELD_OUT}")
    for file in files:
        yield from (clip for clip in chunks(read(config, file), scorer.window) if len(clip) == scorer.window)


def _files_of(data: str) -> list[Path]:
    """List the files that were trained on, if they are still there."""
    return videos.find_videos(Path(data)) if Path(data).exists() else []


def _as_rgb(clips: Frames) -> Frames:
    return np.repeat(clips, 3, axis=-1) if clips.shape[-1] == 1 else clips
