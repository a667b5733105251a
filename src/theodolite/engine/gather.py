"""What each process of a launch has, handed to all of them in the order of their ranks."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from theodolite.engine.devices import make_fabric
from theodolite.kernel.settings import TrainSettings


def processes() -> tuple[int, int]:
    """Rank of this process, and how many there are: 0 of 1 outside a launch."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def gather(here: Tensor, fabric: Fabric) -> list[Tensor]:
    """Collect one tensor of every process, of the same shape everywhere."""
    there = [torch.empty_like(here) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(there, here)
    return there


def gather_numbers(values: Sequence[float], fabric: Fabric) -> list[list[float]]:
    """Collect as many numbers of every process."""
    if fabric.world_size == 1:
        return [list(values)]
    here = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    return [there.tolist() for there in gather(here, fabric)]


def gather_arrays(arrays: Sequence[NDArray[Any]], training: TrainSettings) -> list[list[NDArray[np.float64]]]:
    """Collect arrays of every process, of the same shapes everywhere, before there is a Fabric.

    Parameters
    ----------
    arrays : sequence of arrays
        What this process has; numbers that float64 holds exactly.
    training : TrainSettings
        Which device the processes talk on.
    """
    mine = [np.asarray(array, np.float64) for array in arrays]
    if processes()[1] == 1:
        return [mine]
    fabric = make_fabric(training)
    fabric.launch()
    flat = torch.from_numpy(np.concatenate([array.ravel() for array in mine])).to(fabric.device)
    ends = np.cumsum([array.size for array in mine])[:-1]
    return [
        [piece.reshape(array.shape) for piece, array in zip(np.split(row.cpu().numpy(), ends), mine, strict=True)]
        for row in gather(flat, fabric)
    ]
