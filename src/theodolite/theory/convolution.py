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


def unet_reach(stages: int, convolutions: int, kernel: int, pool: int) -> int:
    """Positions of the input on either side on which one cell of the deepest map's grid depends in the output.

    An output at phase q of its cell (0 ≤ q < poolᴺ) depends on reach + q positions before it and reach + poolᴺ − 1 −
    q after it.

    Holds when: N stages of M convolutions with an odd kernel (stride 1), pooling and up-convolution by the same
    window, M convolutions at the bottom and M in every decoder stage.
    Source: (kernel − 1)/2 times the scale, summed over the deepest path, M·r·(2·(1 + pool + … + poolᴺ⁻¹) + poolᴺ);
    Araujo, Norris & Sim 2019, equation 2.
    """
    r = kernel // 2
    # encoder and decoder stage i work on a grid of pool^i input positions
    scales: list[int] = [pool**i for i in range(stages + 1)]
    return convolutions * r * (2 * sum(scales[:-1]) + scales[-1])


def unet_receptive_field(stages: int, convolutions: int, kernel: int, pool: int) -> int:
    """Positions along one axis of an unbounded input on which each output depends (a count).

    Holds when: as for `unet_reach`; near the border of a clip the part outside it is padding.
    Source: `unet_reach` on both sides of a cell of poolᴺ positions.
    """
    cell: int = pool**stages
    return 2 * unet_reach(stages, convolutions, kernel, pool) + cell
