"""Randomness as a function: every draw depends on (seed, step, sample id, stream) and on nothing else.

So a resumed run draws what the uninterrupted one would have drawn, and a batch split over processes draws what the
whole batch would have. The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3").
"""

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

_LOW_32_BITS = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox(counter: Sequence[Tensor], key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10: four words of 32 random bits for each counter.

    Parameters
    ----------
    counter : four int64 tensors of one shape
        Each holds 32 bits.
    key : two ints
        Each holds 32 bits.

    Returns
    -------
    four int64 tensors
        Words in [0, 2³²).
    """
    first, second, third, fourth = counter
    for turn in range(_ROUNDS):
        # the product of two 32-bit words wraps in int64, yet all of its 64 bits are right: shift and mask read them
        low_product, high_product = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, second, third, fourth = (
            (high_product >> 32 & _LOW_32_BITS) ^ second ^ ((key[0] + turn * _KEY_STEPS[0]) & _LOW_32_BITS),
            high_product & _LOW_32_BITS,
            (low_product >> 32 & _LOW_32_BITS) ^ fourth ^ ((key[1] + turn * _KEY_STEPS[1]) & _LOW_32_BITS),
            low_product & _LOW_32_BITS,
        )
    return first, second, third, fourth


def words(seed: int, step: int, ids: Tensor, stream: str, count: int) -> Tensor:
    """Random 32-bit words, `count` for each sample.

    Parameters
    ----------
    seed, step : int
        Non-negative; `step` below 2³².
    ids : (n,) int64 tensor
        Sample ids below 2³².
    stream : str
        What the draw is for; different streams are independent.
    count : int
        Words a sample.

    Returns
    -------
    (n, count) int64 tensor, on the device of `ids`
    """
    blocks = torch.arange(-(-count // 4), device=ids.device).expand(len(ids), -1)
    sample = (ids & _LOW_32_BITS)[:, None].expand_as(blocks)
    counter = (
        blocks,
        sample,
        torch.full_like(blocks, step & _LOW_32_BITS),
        torch.full_like(blocks, zlib.crc32(stream.encode())),
    )
    drawn = philox(counter, (seed & _LOW_32_BITS, seed >> 32 & _LOW_32_BITS))
    return torch.stack(drawn, dim=-1).flatten(1)[:, :count]


def uniform(
    seed: int, step: int, ids: Tensor, stream: str, shape: Sequence[int] = (), dtype: torch.dtype = torch.float32
) -> Tensor:
    """Independent uniform draws in [0, 1), shape (n, *shape); see `words` for the arguments."""
    drawn = words(seed, step, ids, stream, math.prod(shape)) >> 8  # 24 bits: exact in float32, never rounded up to 1
    return (drawn.to(dtype) * 2.0**-24).reshape(len(ids), *shape)


def normal(
    seed: int, step: int, ids: Tensor, stream: str, shape: Sequence[int] = (), dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal draws, (n, *shape), by Box and Muller (1958); see `words` for the arguments."""
    count = math.prod(shape)
    drawn = (words(seed, step, ids, stream, 2 * -(-count // 2)).to(_widest(ids.device)) + 0.5) * 2.0**-32
    radius = torch.sqrt(-2 * torch.log(drawn[:, 0::2]))
    angle = 2 * math.pi * drawn[:, 1::2]
    pair = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1).flatten(1)
    return pair[:, :count].to(dtype).reshape(len(ids), *shape)


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """Return the order in which an epoch visits its samples: (count,) int64, on the CPU."""
    drawn = words(seed, epoch, torch.arange(count), "order", 2)
    # 63 bits: among a million samples a tie has probability 1e-7, and a stable sort settles it the same way always
    return torch.argsort((drawn[:, 0] << 31) | (drawn[:, 1] >> 1), stable=True)


class Batches:
    """Which samples each step sees: a new permutation every epoch, the incomplete last batch dropped.

    Parameters
    ----------
    seed : int
        Seed of the run.
    sample_count : int or None
        How many samples there are; None for a source without end, whose ids are then never repeated.
    batch_size : int
        Samples a step, over all processes; a smaller data set is taken whole.
    """

    def __init__(self, seed: int, sample_count: int | None, batch_size: int) -> None:
        self.seed = seed
        self.sample_count = sample_count
        self.batch_size = batch_size if sample_count is None else min(batch_size, sample_count)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def ids(self, step: int) -> Tensor:
        """Sample ids of a step: (batch,) int64, on the CPU."""
        if self.sample_count is None:
            return torch.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epoch, batch = divmod(step, self.sample_count // self.batch_size)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, permutation(self.seed, epoch, self.sample_count)
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]
