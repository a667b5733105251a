"""What a network makes of a clip that was shown it: the clip rebuilt, or what it was given, corrected."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import BLOCK, hidden_by_turns, turns
from theodolite.video_unet.restored import interpolated

Clip = Float[Tensor, "batch channels frames height width"]
Hidden = Bool[Tensor, "batch frames height width"]


def restored(config: VideoUNetConfig, network: Callable[[Clip], Clip], given: Clip, hidden: Hidden | None) -> Clip:
    """Return clips as a network restores them; not clamped.

    Without corruption the network's output is the clip. Otherwise it is what is to be added to what was given: the
    error of interpolation in time, or the noise with its sign changed. So nothing has to be learned again that was
    given, and a network whose last weights are 0 does what is done without one. What was not hidden stays.

    Notes
    -----
    Learning the noise in place of the picture: Zhang et al. 2017, "Beyond a Gaussian denoiser".
    """
    if config.corruption == "none":
        return network(given)
    corrected = given + network(given)
    return corrected if hidden is None else torch.where(hidden[:, None], corrected, given)


def rebuilt(config: VideoUNetConfig, network: Callable[[Clip], Clip], clip: Clip) -> Clip:
    """Return what a network makes of one clip (1, channels, frames, height, width) of which nothing is hidden.

    One that fills in has each part of the clip hidden from it in turn, and what it makes of the hidden parts is put
    together: nothing of the result was seen.
    """
    given, hidden = clip, None
    if copies(config) > 1:
        given, hidden = _left_out(config, clip, 0, (0, 0), 0, clip.shape[2])
    with torch.inference_mode():
        return put_together(restored(config, network, given, hidden), hidden)


def copies(config: VideoUNetConfig) -> int:
    """Return how many copies of a clip a network is shown to rebuild it."""
    return turns(config) if config.corruption in ("masked", "blocks") else 1


def left_out_in_turn(
    config: VideoUNetConfig, chunks: Iterable[Clip], corner: tuple[int, int] = (0, 0)
) -> Iterator[tuple[Clip, Hidden | None]]:
    """Yield the chunks of a video as many times as there are turns, filled in where each has something left out.

    Parameters
    ----------
    chunks : iterable of (1, channels, frames, height, width)
        One after the other. The next is read before one is yielded, for what is hidden at its end.
    corner : (row, column)
        Where they lie in the video.

    Yields
    ------
    given : (turns, channels, frames, height, width)
        With a single turn and nothing hidden, if the network does not fill in.
    hidden : bool (turns, frames, height, width) or None
    """
    if copies(config) == 1:
        yield from ((chunk, None) for chunk in chunks)
        return
    reach = BLOCK[0] if config.corruption == "blocks" else 1
    held, begin, ready = None, 0, 0  # frames; the number of the first; how many of them are done with
    for chunk in chunks:
        held = chunk if held is None else torch.cat([held, chunk], dim=2)
        done = held.shape[2] - reach
        if done > ready:
            yield _left_out(config, held, begin, corner, ready, done)
            begin, held, ready = begin + max(0, done - reach), held[:, :, max(0, done - reach) :], min(done, reach)
    if held is not None:
        yield _left_out(config, held, begin, corner, ready, held.shape[2])


def _left_out(
    config: VideoUNetConfig, frames: Clip, begin: int, corner: tuple[int, int], first: int, stop: int
) -> tuple[Clip, Hidden]:
    """Fill in, turn by turn, with all the frames given, and return those from `first` to `stop`."""
    count, height, width = frames.shape[2:]
    rows, columns = (range(start, start + side) for start, side in zip(corner, (height, width), strict=True))
    hidden = hidden_by_turns(config, range(begin, begin + count), rows, columns)
    clips = np.repeat(frames.movedim(1, -1).cpu().numpy(), len(hidden), axis=0)
    given = torch.from_numpy(interpolated(clips, hidden)[:, first:stop]).to(frames).movedim(-1, 1)
    return given, torch.from_numpy(hidden[:, first:stop].copy()).to(frames.device)


def put_together(made: Clip, hidden: Hidden | None) -> Clip:
    """Return each place of (turns, channels, frames, height, width) as it was made when it was hidden: (1, …)."""
    return made if hidden is None else (made * hidden[:, None]).sum(dim=0, keepdim=True)
