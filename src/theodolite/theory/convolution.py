"""What a convolution, a pooling and a transposed convolution do to sizes, and what they cost. One axis at a time."""

import math
from collections.abc import Sequence
from typing import Literal

Rounding = Literal["up", "down"]


def convolution_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Positions along one axis of a convolution's output.

    Holds when: the kernel, spread by its dilation, fits into the padded axis; otherwise the result is 0 or negative.
    Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic", relations 6 and 15.
    """
    reach = dilation * (kernel - 1)
    return (size + 2 * padding - reach - 1) // stride + 1


def pooled_size(size: int, window: int, rounding: Rounding = "down") -> int:
    """Positions along one axis after pooling in windows that do not overlap.

    Holds when: the stride equals the window. Rounding down drops the last ``size mod window`` positions, rounding up
    pools them in a window of their own.
    Source: Dumoulin & Visin 2016, relation 7; rounding up is the same with the ceiling.
    """
    return -(-size // window) if rounding == "up" else size // window


def transposed_size(size: int, kernel: int, stride: int, padding: int = 0, output_padding: int = 0) -> int:
    """Positions along one axis of a transposed convolution's output.

    Holds when: size ≥ 1 and dilation is 1.
    Source: Dumoulin & Visin 2016, relation 14.
    """
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def convolution_parameters(kernel: Sequence[int], channels_in: int, channels_out: int, bias: bool = True) -> int:
    """Weights and biases of a convolution or a transposed convolution (a count).

    Holds when: the convolution is dense over channels (no groups).
    Source: LeCun et al. 1998, section II.
    """
    return math.prod(kernel) * channels_in * channels_out + (channels_out if bias else 0)


def multiply_adds(kernel: Sequence[int], channels_in: int, channels_out: int, positions: Sequence[int]) -> int:
    """Multiply-adds of one sample, counting taps that read padding too (a count).

    Holds when: the convolution is dense; `positions` is the size of the output, or of the *input* for a transposed
    convolution, whose every input position meets every tap once.
    Source: Dumoulin & Visin 2016, section 2; one multiply-add a tap, channel pair and position.
    """
    return math.prod(kernel) * channels_in * channels_out * math.prod(positions)


def taps_inside(size: int, kernel: int) -> int:
    """Pairs (output position, tap) along one axis that read a real position, not padding (a count).

    Holds when: the kernel is odd, the stride 1, and the padding keeps the size. The product over the axes, in place of
    ``kernel · size`` in each, turns nominal multiply-adds into those that matter.
    Source: counting: the tap d of −r … r is inside for size − |d| outputs.
    """
    r = kernel // 2
    return sum(max(0, size - abs(d)) for d in range(-r, r + 1))


def live_taps(extent: int, used: int, kernel: int) -> int:
    """Taps of a kernel along one axis that can ever influence anything (a count); the others are dead weights.

    Holds when: the kernel is odd and slides with stride 1 over positions of which only the first `extent` hold data
    (the rest is padding), and only its first `used` outputs are read by what follows.
    Source: counting: tap d is live where some output 0 ≤ o < used reads 0 ≤ o + d < extent.
    """
    r = kernel // 2
    return sum(max(0, -d) < min(used, extent - d) for d in range(-r, r + 1))


def unet_window(
    position: int, stages: int, convolutions: int, kernel: int, pool: int, resize: bool = False
) -> tuple[int, int]:
    """First and last position of an unbounded axis on which one output of a U-Net depends.

    The window's length depends on where in its cell of poolᴺ positions the output lies, for pooling and up-convolution
    work on a fixed grid.

    Holds when: N stages of M convolutions with an odd kernel (stride 1), pooling and up-convolution by one window, M
    convolutions at the bottom and M in every decoder stage; with `resize` the way up is a repetition and one more
    convolution, otherwise a transposed convolution. The deepest path sees all that any skip sees.
    Source: the window of an output followed backwards, layer by layer (Araujo, Norris & Sim 2019, equations 3 and 4).
    """
    reach, further = convolutions * (kernel // 2), resize * (kernel // 2)
    first = last = position
    for _ in range(stages):
        # a decoder block, then the up-convolution: its output p comes from position ⌊p / pool⌋ below
        first, last = (first - reach - further) // pool, (last + reach + further) // pool
    first, last = first - reach, last + reach
    for _ in range(stages):
        # pooling: position p comes from pool·p … pool·p + pool − 1 above, then an encoder block
        first, last = pool * first - reach, pool * last + pool - 1 + reach
    return first, last


def unet_receptive_field(stages: int, convolutions: int, kernel: int, pool: int, resize: bool = False) -> int:
    """Positions of the input along one axis that the outputs seeing most depend on (a count).

    Holds when: as for `unet_window`, away from the borders of the clip.
    Source: the longest `unet_window` of a cell.
    """
    windows = _windows_of_a_cell(stages, convolutions, kernel, pool, resize)
    return max(last - first + 1 for first, last in windows)


def unet_halo(stages: int, convolutions: int, kernel: int, pool: int, resize: bool = False) -> int:
    """Positions on either side that a tile of whole cells needs for its outputs to be those of the whole (a count).

    Holds when: as for `unet_window`, and tiles begin at multiples of poolᴺ.
    Source: how far the windows of a cell's outputs stand out of the cell.
    """
    windows = _windows_of_a_cell(stages, convolutions, kernel, pool, resize)
    return max(max(-first, last - (len(windows) - 1)) for first, last in windows)


def _windows_of_a_cell(
    stages: int, convolutions: int, kernel: int, pool: int, resize: bool = False
) -> list[tuple[int, int]]:
    return [unet_window(position, stages, convolutions, kernel, pool, resize) for position in range(pool**stages)]
