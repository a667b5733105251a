"""Canvases as tensors, with what a window holds."""

from collections.abc import Iterable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from theodolite.data.twins import CLASSES, Canvases, Part, TwinCanvases
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.lessons import Truth


def source_of(config: NestedViTConfig, seed: int, part: Part) -> TwinCanvases:
    """Canvases as the settings ask for them."""
    return TwinCanvases(config.size, seed, part, config.canvases)


def images_of(ink: NDArray[np.uint8], channels: int = 3) -> UInt8[Tensor, "batch channel height width"]:
    """Equal channels of the ink (n, height, width), without a copy."""
    return torch.from_numpy(ink)[:, None].expand(-1, channels, -1, -1)


def truth_of(config: NestedViTConfig, canvases: Canvases) -> Truth:
    """What the network should say of the canvases, and of each window of theirs."""
    side = config.patch * config.window
    beyond = -canvases.classes.shape[-1] % side
    cut = {"row": (canvases.classes.shape[-1] + beyond) // side, "p": side, "q": side}
    classes, twins = (
        rearrange(
            np.pad(shown, ((0, 0), (0, beyond), (0, beyond)), constant_values=nothing),
            "batch (row p) (column q) -> (batch row column) (p q)",
            **cut,
        )
        for shown, nothing in ((canvases.classes, -1), (canvases.twins, False))
    )
    digits = np.stack([(classes == digit).any(axis=1) for digit in range(CLASSES)], axis=1)
    target = canvases.twins if config.target == "dense" else canvases.doubled
    return Truth(
        torch.from_numpy(target),
        torch.from_numpy(digits),
        torch.from_numpy(twins.any(axis=1, keepdims=True)),
    )


def batch(source: TwinCanvases, config: NestedViTConfig, ids: Iterable[int]) -> tuple[Tensor, Truth]:
    """Images and truth of these ids."""
    canvases = source.canvases(ids)
    return images_of(canvases.ink, config.channels), truth_of(config, canvases)
