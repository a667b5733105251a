"""Clips of which a network is shown less than there is: hidden frames, hidden blocks, noise. No torch.

A U-Net with skips copies what it is given. What it was not given it has to know. What is hidden it is given as linear
interpolation in time fills it in, so that it need only learn what is wrong with that: where things move.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.restored import interpolated

Array = NDArray[np.float64]
Hidden = NDArray[np.bool_]

BLOCK = (2, 8, 8)
"""Frames × rows × columns that ``corruption = "blocks"`` hides together."""
WHOLE = 2**62
"""More rows and columns than a frame has."""
STREAM = 0xB11D


@dataclass(frozen=True)
class Shown:
    """Clips as networks are shown them.

    Attributes
    ----------
    given : array (n, frames, height, width, channels)
        Values in [0, 1], hidden ones interpolated between the others; under noise any.
    hidden : bool array (n, frames, height, width) or None
        Which pixels are hidden, all their channels together; None where nothing is.
    """

    given: Array
    hidden: Hidden | None = None


def cells(config: VideoUNetConfig) -> tuple[int, int, int]:
    """Return how many parts, each hidden or shown as a whole, a clip has along its axes."""
    if config.corruption == "masked":
        return (config.frames, 1, 1)
    frames, height, width = config.frames, config.height, config.width
    return (-(-frames // BLOCK[0]), -(-height // BLOCK[1]), -(-width // BLOCK[2]))


def hidden_cells(config: VideoUNetConfig) -> int:
    """Return how many of the cells are hidden: the share asked for, but at least one, and not all."""
    count = math.prod(cells(config))
    return min(max(round(config.level * count), 1), count - 1)


def hidden_pixels(config: VideoUNetConfig, draws: NDArray[np.floating]) -> Hidden:
    """Return what is hidden in each clip (n, frames, height, width): the cells with the smallest of `draws` (n, cells).

    So every choice of as many cells is equally likely, and each clip hides the same number.
    """
    chosen = np.zeros(draws.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(draws, axis=1, kind="stable")[:, : hidden_cells(config)], True, axis=1)
    grid = chosen.reshape(len(draws), *cells(config))
    size = (config.frames, config.height, config.width)
    for axis, (side, count) in enumerate(zip(size, cells(config), strict=True), start=1):
        block = side if count == 1 else 1 if config.corruption == "masked" else BLOCK[axis - 1]
        grid = np.repeat(grid, block, axis=axis)
    return grid[:, : size[0], : size[1], : size[2]]


def shown(config: VideoUNetConfig, clips: Array) -> Shown:
    """Return held-out clips in [0, 1] as the networks are shown them; what is hidden in clip i depends on i alone."""
    if config.corruption == "none":
        return Shown(clips)
    generators = [np.random.default_rng([STREAM, number]) for number in range(len(clips))]
    if config.corruption == "noise":
        noise = [random.standard_normal(clips.shape[1:]) for random in generators]
        return Shown(clips + config.level * np.stack(noise))
    draws = np.stack([random.random(math.prod(cells(config))) for random in generators])
    hidden = hidden_pixels(config, draws)
    return Shown(interpolated(clips, hidden), hidden)


def turns(config: VideoUNetConfig) -> int:
    """Return in how many turns every cell is hidden once, about as many at a time as in training."""
    return max(2, math.prod(cells(config)) // hidden_cells(config))


def hidden_by_turns(config: VideoUNetConfig, frames: range, rows: range, columns: range) -> Hidden:
    """Return what of a piece of a video is hidden in each turn: (turns, frames, rows, columns).

    Each cell is hidden in one turn, and its neighbours before and after it are not.
    """
    sides = BLOCK if config.corruption == "blocks" else (1, WHOLE, WHOLE)
    t, y, x = (np.array(axis) // side for axis, side in zip((frames, rows, columns), sides, strict=True))
    turn = np.add.outer(t, np.add.outer(y, x)) % turns(config)
    return np.asarray(turn == np.arange(turns(config))[:, None, None, None])
