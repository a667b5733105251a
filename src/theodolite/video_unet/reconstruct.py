"""A whole video through a trained network, into a video file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.data import videos
from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, ResourceError
from theodolite.kernel.runs import RunFolder
from theodolite.theory.convolution import unet_halo
from theodolite.video_unet.architecture import maps
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.losses import to_pixels, to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.samples import in_colours

Frames = NDArray[np.uint8]

MEMORY = 4 * 2**30
"""Bytes that the maps of one piece may take."""


def reconstruct(run: RunFolder, source: Path, target: Path, *, exact: bool = False) -> dict[str, Any]:
    """Reconstruct a video of any length and size, frame for frame, with the run's network, and write it.

    The video goes through at its own height and width, in pieces of as many frames as the network was trained on;
    each piece is a clip of its own, so memory does not grow with length. A last piece that is shorter is filled up
    with its last frame, which is left out again.

    With `exact`, each piece (whole cells of pool^stages frames) is given so many neighbours on both sides that the
    result is what one pass over the whole video would give, up to rounding; that takes (1 + 2·halo/piece) times the
    work.

    Parameters
    ----------
    run : RunFolder
        A trained run of this family; its first network is used.
    source, target : Path
        Video files. The target is H.264, or lossless FFV1 where its suffix is .mkv or .avi.
    exact : bool
        Whether pieces see their neighbours.

    Returns
    -------
    dict
        frames, width, height, pieces, psnr_db (over all pixels), network, target, warnings.

    Raises
    ------
    DataError
        If the source cannot be read, is smaller than the network can pool, or the weights are missing or damaged.
    ResourceError
        If the maps of one piece would take more than `MEMORY`, or the target cannot be written.
    """
    config = run.settings(VideoUNetConfig)
    header = videos.probe(source)
    piece, halo = _piece_and_halo(config, exact)
    _check_size(config, header, piece + 2 * halo)
    networks = {name: VideoUNet(settings) for name, settings in config.networks.items()}
    load_weights(run, dict(networks))
    name, network = next(iter(networks.items()))
    work = _Work(network.to(best_device()), config.channels, shortest=0 if exact else config.frames)
    seen = videos.Decoding()
    windows = pieces(videos.read_frames(source, seen=seen), piece, halo)
    lossless = target.suffix.lower() in (".mkv", ".avi")
    written = videos.write_video(target, work.frames(windows), header.rate, lossless=lossless)
    return {
        "frames": written,
        "width": work.width,
        "height": work.height,
        "pieces": work.pieces,
        "psnr_db": work.psnr(),
        "network": name,
        "target": str(target),
        "warnings": list(seen.warnings(header)),
    }


@dataclass(frozen=True)
class Window:
    """Frames given to the network, and which of them are wanted back."""

    frames: Frames
    first: int
    stop: int


def pieces(frames: Iterable[Frames], piece: int, halo: int) -> Iterator[Window]:
    """Cut a stream of frames into pieces, each with up to `halo` neighbours on either side.

    At most piece + 2·halo frames are held at a time.
    """
    held: list[Frames] = []
    begin = 0  # where in `held` the next piece begins
    for frame in frames:
        held.append(frame)
        if len(held) == begin + piece + halo:
            yield Window(np.stack(held), begin, begin + piece)
            del held[: max(0, begin + piece - halo)]
            begin = min(halo, begin + piece)
    while begin < len(held):
        stop = min(begin + piece, len(held))
        yield Window(np.stack(held[: stop + halo]), begin, stop)
        del held[: max(0, stop - halo)]
        begin = min(halo, stop)


class _Work:
    """Runs a network over windows and counts what comes out."""

    def __init__(self, network: VideoUNet, channels: int, shortest: int) -> None:
        self.network, self.channels, self.shortest = network, channels, shortest
        self.pieces, self.numbers, self.squares = 0, 0, 0.0
        self.height, self.width = 0, 0

    def frames(self, windows: Iterable[Window]) -> Iterator[Frames]:
        """Yield reconstructed frames (height, width, 3)."""
        for window in windows:
            made = self._reconstructed(window.frames)[window.first : window.stop]
            given = window.frames[window.first : window.stop]
            self.pieces += 1
            self.height, self.width = given.shape[1:3]
            self.numbers += given.size
            self.squares += float(np.sum((made.astype(np.float64) - given) ** 2))
            yield from made

    def _reconstructed(self, clip: Frames) -> Frames:
        missing = max(0, self.shortest - len(clip))
        filled = np.concatenate([clip, np.repeat(clip[-1:], missing, axis=0)])
        given = to_tensor(in_colours(filled[None], self.channels), next(self.network.parameters()).device)
        with torch.inference_mode():
            made = self.network(given)
        return to_pixels(made.expand(-1, 3, -1, -1, -1))[0, : len(clip)]

    def psnr(self) -> float:
        """PSNR over every pixel, of what is written before the codec."""
        error = self.squares / max(self.numbers, 1) / 255.0**2
        return float(-10.0 * np.log10(max(error, np.finfo(np.float64).tiny)))


def _piece_and_halo(config: VideoUNetConfig, exact: bool) -> tuple[int, int]:
    """Frames of a piece and of its neighbourhood; both whole cells when pieces must fit together."""
    if not exact:
        return config.frames, 0
    cell = config.pool**config.stages
    halo = cell * -(-unet_halo(config.stages, config.convolutions, config.kernel, config.pool) // cell)
    return max(halo, cell), halo


def _check_size(config: VideoUNetConfig, header: videos.Header, frames: int) -> None:
    cell = config.pool**config.stages
    if config.rounding == "down" and min(header.height, header.width) < cell:
        raise DataError(
            f"{header.path} is {header.width}×{header.height}; the run rounds down and needs at least {cell} both ways"
        )
    size = {"frames": frames, "height": header.height, "width": header.width}
    largest = 3 * max(4 * each.numbers for each in maps(config.model_copy(update=size)))
    if largest > MEMORY:
        raise ResourceError(
            f"{frames} frames of {header.width}×{header.height} would take about {largest / 2**30:.1f} GiB, more than "
            f"{MEMORY / 2**30:.0f}; scale the video down, or train with fewer --frames or a smaller --base"
        )
