"""A whole video through a trained network, into a video file."""

import itertools
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.data import videos
from theodolite.data.decoding import Decoding
from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, ResourceError
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.architecture import maps
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.losses import to_pixels, to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.restoration import copies, left_out_in_turn, put_together, rebuilt
from theodolite.video_unet.samples import in_colours
from theodolite.video_unet.streaming import streamed
from theodolite.video_unet.tiles import COLUMNS, FRAMES, ROWS, Span, Tile, cell, tiles

Frames = NDArray[np.uint8]

MEMORY = 4 * 2**30
"""Bytes that the maps of a video may take."""
LOSSLESS = (".mkv", ".avi")
"""Suffixes of videos that are written in FFV1."""
PIXELS_AT_ONCE = 2**17
"""Frames go through in chunks of about so many pixels: few enough for memory, enough to be quick."""


def reconstruct(run: RunFolder, source: Path, target: Path, *, clip_by_clip: bool = False) -> dict[str, Any]:
    """Reconstruct a video of any length and size, frame for frame, with the run's network, and write it.

    A network that was trained to fill in is shown every frame (or block) as hidden once, and what is written is what it
    made of each from the others. One that was trained to take noise off takes it off.

    The video goes through at its own height and width, layer by layer, and the result is what one pass over the whole
    would give. Memory does not grow with length. Frames whose maps would not fit into `MEMORY` go through in tiles
    that see as many neighbours as matter, one tile after the other; the tiles wait as lossless videos in a folder
    beside the target.

    Parameters
    ----------
    run : RunFolder
        A trained run of this family; its first network is used.
    source, target : Path
        Video files. The target is H.264, or lossless FFV1 where its suffix is .mkv or .avi.
    clip_by_clip : bool
        Send as many frames as the network was trained on through it at a time, each a clip of its own. A last clip
        that is shorter is filled up with its last frame, which is left out again.

    Returns
    -------
    dict
        frames, width, height, tiles, psnr_db (over all pixels), network, target, warnings.

    Raises
    ------
    DataError
        If the source cannot be read, is smaller than the network can pool, or the weights are missing or damaged.
    ResourceError
        If no tile would fit into `MEMORY`, or the target cannot be written.
    """
    config = run.settings(VideoUNetConfig)
    header, seen = videos.probe(source), Decoding()
    frames = videos.read_frames(source, seen=seen)
    first = next(frames)
    height, width = first.shape[:2]  # upright, as the header's are not
    name, network = load_networks(run, config)[0]
    _check_size(config, network, source, height, width)
    if clip_by_clip:
        _check_memory(config, height, width)
        work = _Work(config, network, config.frames, clip_by_clip=True)
        cut = [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    else:
        at_once = min(cell(network, FRAMES), max(1, PIXELS_AT_ONCE // (height * width)))
        work = _Work(config, network, at_once)
        cut = tiles(network, height, width, at_once, MEMORY // copies(config))
    lossless = target.suffix.lower() in LOSSLESS
    with _tiles_of(work, source, itertools.chain([first], frames), cut, target) as made:
        written = videos.write_video(target, made, header.rate, lossless=lossless)
    return {
        "frames": written,
        "width": width,
        "height": height,
        "tiles": len(cut),
        "psnr_db": work.psnr(),
        "network": name,
        "target": str(target),
        "warnings": list(seen.warnings(header)),
    }


def load_networks(run: RunFolder, config: VideoUNetConfig) -> list[tuple[str, VideoUNet]]:
    """Load the networks of a run onto the best device; the one that was asked for comes first."""
    networks = {name: VideoUNet(settings) for name, settings in config.networks.items()}
    load_weights(run, dict(networks))
    return [(name, network.to(best_device())) for name, network in networks.items()]


def chunks(frames: Iterable[Frames], most: int) -> Iterator[Frames]:
    """Stack a stream of frames into chunks of so many; the last may be shorter."""
    held: list[Frames] = []
    for frame in frames:
        held.append(frame)
        if len(held) == most:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


class _Work:
    """Runs a network over frames, so many at a time, and counts what comes out."""

    def __init__(
        self, config: VideoUNetConfig, network: VideoUNet, at_once: int, *, clip_by_clip: bool = False
    ) -> None:
        self.config, self.network, self.at_once, self.clip_by_clip = config, network, at_once, clip_by_clip
        self.device = next(network.parameters()).device
        self.numbers, self.squares = 0, 0.0

    def frames(self, source: Iterable[Frames], tile: Tile) -> Iterator[Frames]:
        """Yield reconstructed frames (height, width, 3) of a tile, without its neighbours."""
        given = np.s_[tile.rows.begin : tile.rows.end, tile.columns.begin : tile.columns.end]
        wanted = np.s_[tile.rows.first : tile.rows.stop, tile.columns.first : tile.columns.stop]
        waiting: deque[Frames] = deque()  # the originals of what is on its way

        def arriving() -> Iterator[Frames]:
            for frame in source:
                waiting.append(frame[wanted].copy())
                yield np.ascontiguousarray(frame[given])

        inside = tuple(slice(w.start - g.start, w.stop - g.start) for w, g in zip(wanted, given, strict=True))
        for chunk in self._reconstructed(arriving(), (tile.rows.begin, tile.columns.begin)):
            for frame in chunk:
                made, original = frame[inside], waiting.popleft()
                self.numbers += made.size
                self.squares += float(np.sum((made.astype(np.float64) - original) ** 2))
                yield made

    def _reconstructed(self, frames: Iterable[Frames], corner: tuple[int, int]) -> Iterator[Frames]:
        if not self.clip_by_clip:
            yield from map(_in_rgb, self._streamed(frames, corner))
            return
        for clip in chunks(frames, self.at_once):
            filled = np.concatenate([clip, np.repeat(clip[-1:], self.at_once - len(clip), axis=0)])
            yield _in_rgb(rebuilt(self.config, self.network, self._tensor(filled)))[: len(clip)]

    def _streamed(self, frames: Iterable[Frames], corner: tuple[int, int]) -> Iterator[torch.Tensor]:
        """Yield what `rebuilt` makes of all frames joined, a few frames at a time."""
        given = map(self._tensor, chunks(frames, self.at_once))
        if self.config.corruption == "none":
            yield from streamed(self.network, given, self.at_once)
            return
        waiting: deque[tuple[torch.Tensor, torch.Tensor | None]] = deque()  # frames whose correction is on its way

        def shown() -> Iterator[torch.Tensor]:
            for chunk, hidden in left_out_in_turn(self.config, given, corner):
                each = [None] * chunk.shape[2] if hidden is None else torch.split(hidden, 1, dim=1)
                waiting.extend(zip(torch.split(chunk, 1, dim=2), each, strict=True))
                yield chunk

        for corrections in streamed(self.network, shown(), self.at_once):
            for correction in torch.split(corrections, 1, dim=2):
                frame, hidden = waiting.popleft()
                yield put_together(frame + correction, hidden)

    def _tensor(self, chunk: Frames) -> torch.Tensor:
        return to_tensor(in_colours(chunk[None], self.config.channels), self.device)

    def psnr(self) -> float:
        """PSNR over every pixel, of what is written before the codec."""
        error = self.squares / max(self.numbers, 1) / 255.0**2
        return float(-10.0 * np.log10(max(error, np.finfo(np.float64).tiny)))


def _in_rgb(made: torch.Tensor) -> Frames:
    return np.asarray(to_pixels(made.expand(-1, 3, -1, -1, -1))[0])


@contextmanager
def _tiles_of(
    work: _Work, source: Path, frames: Iterator[Frames], cut: list[Tile], target: Path
) -> Iterator[Iterator[Frames]]:
    """Give the reconstructed frames; where there are several tiles, each is first written to a video of its own."""
    if len(cut) == 1:
        yield work.frames(frames, cut[0])
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{target.stem}.tiles", dir=target.parent)
    except OSError as error:
        raise ResourceError(f"cannot write {target}: {error.strerror or error}") from None
    with folder as path:
        drafts = [Path(path) / f"{number}.mkv" for number in range(len(cut))]
        for draft, tile in zip(drafts, cut, strict=True):
            videos.write_video(draft, work.frames(frames, tile), 25, lossless=True)
            frames = videos.read_frames(source)
        yield _joined(cut, [videos.read_frames(draft) for draft in drafts])


def _joined(cut: list[Tile], parts: list[Iterator[Frames]]) -> Iterator[Frames]:
    height, width = cut[-1].rows.stop, cut[-1].columns.stop
    for together in zip(*parts, strict=True):
        frame = np.empty((height, width, 3), np.uint8)
        for tile, part in zip(cut, together, strict=True):
            frame[tile.rows.first : tile.rows.stop, tile.columns.first : tile.columns.stop] = part
        yield frame


def _check_size(config: VideoUNetConfig, network: VideoUNet, source: Path, height: int, width: int) -> None:
    """Refuse what pooling, rounding down, would leave nothing of."""
    least = (cell(network, ROWS), cell(network, COLUMNS))
    if config.rounding == "down" and (height < least[0] or width < least[1]):
        raise DataError(
            f"{source} is {width}×{height}; the run rounds down and needs at least {least[1]}×{least[0]} pixels"
        )


def _check_memory(config: VideoUNetConfig, height: int, width: int) -> None:
    """Refuse clips whose largest map is too large, with what a convolution needs beside it."""
    size = {"height": height, "width": width}
    largest = 3 * copies(config) * max(4 * each.numbers for each in maps(config.model_copy(update=size)))
    if largest > MEMORY:
        raise ResourceError(
            f"clips of {config.frames} frames of {width}×{height} would take about {largest / 2**30:.1f} GiB, more "
            f"than {MEMORY / 2**30:.0f}; leave out --clip-by-clip, or scale the video down"
        )
