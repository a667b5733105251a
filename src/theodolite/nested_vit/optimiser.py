"""AdamW as both tasks use it: what decays, how its steps rise and fall."""

from collections.abc import Iterable
from typing import Any

import torch

from theodolite.engine.schedules import half_cosine

WARM_UP = 25  # steps
LARGEST_GRADIENT = 1.0  # norm
WEIGHT_DECAY = 0.05


def adamw(parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Build AdamW; matrices decay, vectors do not."""
    taught = list(parameters)
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in taught if parameter.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [parameter for parameter in taught if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, learning_rate, betas=(0.9, 0.98))


def rate(number: int, total: int) -> float:
    """Share of the highest step size: a linear warm-up, then half a cosine to zero."""
    return min(1.0, (number + 1) / WARM_UP) * half_cosine(number, total)
