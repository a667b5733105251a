"""Bytes that a training step needs at its peak, beyond weights, counted by walking the network backwards. No torch."""

import math

from theodolite.video_unet.architecture import Map, maps
from theodolite.video_unet.config import VideoUNetConfig

BLOCK = 16
"""Processors convolve copies of maps whose channels are laid out in blocks of so many, the last one filled up."""


CLIPS = 2
"""Clips in the step that is predicted and measured: with one alone torch convolves small clips in another way."""
LEAST, MOST = 2**28, 2**31
"""Below, what convolutions of few positions need beside their maps counts; above, a step takes too long to audit."""
TOLERANCE = 0.1
"""Relative deviation that is still agreement."""


def predicted_peak(config: VideoUNetConfig) -> int | None:
    """Return the peak of a step of `CLIPS` clips where it can be predicted and measured, else None."""
    peak = peak_bytes(config, CLIPS)
    return peak if LEAST <= peak <= MOST else None


def peak_bytes(config: VideoUNetConfig, batch: int = 1) -> int:
    """Return the largest sum, over a forward and a backward pass in float32, of what is alive at once.

    Alive are maps kept for the backward pass, gradients of maps, those of skips that wait for their encoder, the
    blocked copies that a convolution on a processor makes of its input and of its output's gradient, and gradients of
    weights. Weights themselves and the optimiser's averages are not counted: three times the parameters.

    Holds when: the convolutions are those of oneDNN, which torch takes for a batch of two or more.
    """
    made = maps(config)
    kept = {each.name: batch * each.kept for each in made}
    waiting, grown, peak = 0, 0, sum(kept.values())
    gradient = batch * _bytes(made[-1].channels, made[-1])
    for index in range(len(made) - 1, 0, -1):
        each, before = made[index], made[index - 1]
        held = sum(kept.values()) + waiting + grown
        own, below = batch * _bytes(each.channels, each), batch * _bytes(each.channels_in, before)
        if each.operation == "convolution":
            if each.name != "head" and ".up" not in each.name:
                # the rectifier's gradient beside the one it is made from; its result is not needed after
                peak = max(peak, held + gradient + own)
                held -= kept.pop(each.name)
            copies = batch * (_blocked(each.channels, each) + _blocked(each.channels_in, each)) + 8 * each.parameters
            peak = max(peak, held + own + batch * _bytes(each.channels_in, each) + copies)
            gradient = batch * _bytes(each.channels_in, each)
        elif each.operation == "concatenation":
            # the part of the skip waits, and the whole with it, of which it is a view
            waiting += gradient
            gradient = 0
        elif each.operation == "up-convolution":
            copies = batch * (_blocked(each.channels, each) + _blocked(each.channels_in, before)) + 8 * each.parameters
            peak = max(peak, held + gradient + own + copies + below)
            gradient = below
        elif each.operation == "pooling":
            whole = batch * _bytes(before.channels, before)
            joined = 2 * whole if config.skips else 0
            peak = max(peak, held + gradient + whole + joined // 2)
            waiting, gradient = waiting - joined, whole
        else:
            peak = max(peak, held + gradient + below)
            gradient = below
        grown += 4 * each.parameters
        if before.operation in ("concatenation", "pooling", "crop or pad", "up-convolution", "repetition"):
            kept[before.name] = 0
    return peak


def _bytes(channels: int, like: Map) -> int:
    return 4 * channels * math.prod(like.size)


def _blocked(channels: int, like: Map) -> int:
    return _bytes(-(-channels // BLOCK) * BLOCK, like)
