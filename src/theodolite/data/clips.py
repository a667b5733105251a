"""Embedded videos: a handwritten digit drifts over a photograph that moves behind it.

Each clip is a function of (seed, sample id) and of its size, whatever was drawn before it. Training and held-out
clips share neither a digit nor a piece of photograph.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from theodolite.data.digits import digits
from theodolite.data.photos import photos

STREAM = 0xC11B
TRAINING_COLUMNS = 352
"""The photographs are cut here: training sees the columns to the left, held-out clips those to the right."""
REDUCTIONS = (4, 2, 1)
"""A clip shows the photographs at one of these reductions, so that small clips show more than a leaf."""
HELD_OUT_EVERY = 5
"""Every fifth digit of the data set belongs to held-out clips."""

Clip = NDArray[np.uint8]


def clips(seed: int, ids: Iterable[int], frames: int, height: int, width: int, *, held_out: bool = False) -> Clip:
    """Return the clips of the given ids.

    Parameters
    ----------
    seed : int
        Names the data set; any integer ≥ 0.
    ids : iterable of int
        Sample ids, each ≥ 0; every id has a clip.
    frames, height, width : int
        Size of each clip, each ≥ 1.
    held_out : bool
        Which of the two disjoint halves of the material to draw from.

    Returns
    -------
    array (n, frames, height, width, 3)
        RGB, uint8.
    """
    drawn = [clip(seed, number, frames, height, width, held_out=held_out) for number in ids]
    return np.stack(drawn) if drawn else np.zeros((0, frames, height, width, 3), dtype=np.uint8)


def clip(seed: int, sample_id: int, frames: int, height: int, width: int, *, held_out: bool = False) -> Clip:
    """Return one clip (frames, height, width, 3), RGB, uint8; see `clips`."""
    random = np.random.default_rng([seed, STREAM, int(held_out), sample_id])
    photo, number = int(random.integers(len(photos()))), int(random.choice(digit_numbers(held_out)))
    region = photo_region(photo, held_out)
    fitting = [reduction for reduction in REDUCTIONS if reduction * max(height, width) <= min(region.shape[:2])]
    reduced = photo_region(photo, held_out, int(random.choice(fitting or [1])))
    background = _moving_window(reduced, random, frames, height, width)
    cover = _drifting_digit(_scans()[number], random, frames, height, width)[..., None]
    colour = 255.0 * random.uniform(0.0, 1.0, 3)
    return np.rint((1.0 - cover) * background + cover * colour).astype(np.uint8)


@cache
def digit_numbers(held_out: bool) -> NDArray[np.int64]:
    """Return the numbers of the digits that training, or held-out clips, may show."""
    numbers = np.arange(len(_scans()))
    return np.asarray(numbers[(numbers % HELD_OUT_EVERY == HELD_OUT_EVERY - 1) == held_out])


@cache
def photo_region(number: int, held_out: bool, reduction: int = 1) -> NDArray[np.float64]:
    """Return the piece (height, width, 3) of a photograph that training, or held-out clips, may show, made smaller."""
    photo = photos()[number]
    piece = photo[:, TRAINING_COLUMNS:] if held_out else photo[:, :TRAINING_COLUMNS]
    height, width = (size // reduction for size in piece.shape[:2])
    blocks = piece[: height * reduction, : width * reduction].reshape(height, reduction, width, reduction, 3)
    return np.asarray(blocks.mean(axis=(1, 3)))


@cache
def _scans() -> NDArray[np.float64]:
    return digits()[0]


def _moving_window(
    region: NDArray[np.float64], random: np.random.Generator, frames: int, height: int, width: int
) -> NDArray[np.float64]:
    """Cut a window that moves by up to two pixels a frame, between pixels too; the region is mirrored at its border."""
    start = random.uniform(0.0, region.shape[:2])
    path = start + np.arange(frames)[:, None] * random.uniform(-2.0, 2.0, 2)
    whole = np.floor(path).astype(np.int64)
    rows = _mirror(whole[:, :1] + np.arange(height + 1), region.shape[0])
    columns = _mirror(whole[:, 1:] + np.arange(width + 1), region.shape[1])
    seen = region[rows[:, :, None], columns[:, None, :]]
    part = (path - whole)[:, :, None, None, None]
    seen = (1.0 - part[:, 0]) * seen[:, :-1] + part[:, 0] * seen[:, 1:]
    return np.asarray((1.0 - part[:, 1]) * seen[:, :, :-1] + part[:, 1] * seen[:, :, 1:])


def _drifting_digit(
    digit: NDArray[np.float64], random: np.random.Generator, frames: int, height: int, width: int
) -> NDArray[np.float64]:
    """Return how much of each pixel the digit covers, (frames, height, width) in [0, 1]; it bounces off the frame."""
    pixel = random.uniform(0.4, 0.8) * min(height, width) / len(digit)
    speed = random.uniform(-0.08, 0.08, 2) * (height, width)
    path = random.uniform(0.0, (height, width)) + np.arange(frames)[:, None] * speed
    centre = np.abs((path - (height, width)) % (2.0 * np.array([height, width])) - (height, width))
    down = _tents(height, centre[:, 0], pixel, len(digit))
    across = _tents(width, centre[:, 1], pixel, len(digit))
    return np.asarray(np.einsum("fhi,ij,fwj->fhw", down, digit, across, optimize=True))


def _tents(size: int, centre: NDArray[np.float64], pixel: float, count: int) -> NDArray[np.float64]:
    """Bilinear enlargement along one axis as matrices (frames, size, count): a tent for each pixel of the digit."""
    position = (np.arange(size) - centre[:, None]) / pixel + (count - 1) / 2.0
    return np.clip(1.0 - np.abs(position[..., None] - np.arange(count)), 0.0, 1.0)


def _mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Fold any index back into 0 … size − 1 as between two mirrors."""
    folded = index % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)
