"""Galleries and strips of video as WebP in data addresses, at the size they are shown."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theodolite.data.webp import LARGEST_SIDE, encode
from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Gallery, Strip
from theodolite.kernel.runs import RunFolder
from theodolite.report.arrays import read_images

MOST_TILES = 48
MOST_FRAMES = 60
TILE_SIDE = 256  # pixels kept of a tile, for looking at it enlarged
FRAME_SIDE = 160
SMALL = 64  # images up to this side are shown with hard pixels
LOSSLESS_PIXELS = 128 * 128
QUALITY = 85

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """An image to embed: its address, and its size in pixels."""

    address: str
    width: int
    height: int

    @property
    def crisp(self) -> bool:
        """Whether its pixels are so few that they should be seen as they are."""
        return max(self.width, self.height) <= SMALL


@dataclass(frozen=True)
class Tile:
    """A tile of a gallery and what stands below it."""

    image: Picture
    label: str
    nearest: Picture | None
    nearest_label: str


@dataclass(frozen=True)
class Reel:
    """One row of a strip: its frames side by side in one image, of which one is seen at a time."""

    name: str
    sheet: Picture
    frames: int


def tiles(run: RunFolder, gallery: Gallery, quality: int | None) -> tuple[list[Tile], str]:
    """Return the tiles of a gallery, and what to say where not all are shown.

    Raises
    ------
    DataError
        If an array cannot be read (see `arrays`), or labels and images differ in number.
    """
    images = read_images(run, gallery.array, (3, 4))
    nearest = read_images(run, gallery.nearest, (3, 4)) if gallery.nearest else None
    _same_count(run, gallery.array, "labels", len(gallery.labels), len(images))
    if nearest is not None:
        _same_count(run, gallery.nearest or "", "tiles above", len(images), len(nearest))
        if gallery.nearest_labels:
            _same_count(run, gallery.nearest or "", "labels", len(gallery.nearest_labels), len(nearest))
    below = gallery.nearest_labels or ("",) * len(images)
    made = [
        Tile(
            _picture(images[place], quality, TILE_SIDE),
            gallery.labels[place],
            None if nearest is None else _picture(nearest[place], quality, TILE_SIDE),
            below[place] if nearest is not None else "",
        )
        for place in range(min(len(images), MOST_TILES))
    ]
    return made, f"The first {MOST_TILES} of {len(images)} are shown." if len(images) > MOST_TILES else ""


def reels(run: RunFolder, strip: Strip, quality: int | None) -> tuple[list[Reel], str]:
    """Return the rows of a strip, and what to say where not all frames are shown; raises as `tiles` does."""
    video = read_images(run, strip.array, (4, 5))
    _same_count(run, strip.array, "row names", len(strip.row_names), len(video))
    step = -(-video.shape[1] // MOST_FRAMES)
    chosen = video[:, ::step]
    made = [
        Reel(name, _sheet(frames, quality), len(frames)) for name, frames in zip(strip.row_names, chosen, strict=True)
    ]
    return made, f"One frame in {step} of {video.shape[1]} is shown." if step > 1 else ""


def address(pixels: Pixels, quality: int | None, largest_side: int = LARGEST_SIDE) -> str:
    """Return an image as a data address; small ones keep every pixel unless a quality is asked for."""
    if quality is None and pixels.shape[0] * pixels.shape[1] > LOSSLESS_PIXELS:
        quality = QUALITY
    content = encode(pixels, quality=quality, largest_side=largest_side)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _picture(pixels: Pixels, quality: int | None, side: int) -> Picture:
    height, width = _size(pixels)
    return Picture(address(pixels, quality, side), width, height)


def _sheet(frames: Pixels, quality: int | None) -> Picture:
    height, width = _size(frames[0])
    sheet = np.concatenate(list(frames), axis=1)
    shrink = min(1.0, FRAME_SIDE / max(height, width))
    side = min(LARGEST_SIDE, int(max(sheet.shape[:2]) * shrink))
    return Picture(address(sheet, quality, side), width, height)


def _size(pixels: Pixels) -> tuple[int, int]:
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise DataError(f"an image of an exhibit has shape {pixels.shape}; wanted is (h, w) or (h, w, 3): audit again")
    return pixels.shape[0], pixels.shape[1]


def _same_count(run: RunFolder, array: str, what: str, named: int, given: int) -> None:
    if named != given:
        raise DataError(f"{run.exhibits / array} holds {given} but there are {named} {what}; audit again")
