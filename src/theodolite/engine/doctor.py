"""What this machine has and how fast it is, measured: ``theodolite doctor``."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from theodolite.engine.devices import best_device
from theodolite.kernel.environment import describe

_REPEATS = 5
_PRECISIONS = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


def examine() -> dict[str, Any]:
    """Return versions, device, memory, and measured rates.

    Returns
    -------
    dict
        `kernel.environment.describe` and ``device``, ``device_memory_bytes``, ``threads``, ``gflop_per_second``
        (by precision, of a square matrix product, a multiply-add counted as two) and ``copy_gb_per_second``.
    """
    device = best_device()
    on_gpu = device.type == "cuda"
    size = 8192 if on_gpu else 1024
    found = describe()
    memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else found["memory_bytes"]
    return found | {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "device_memory_bytes": memory,
        "threads": torch.get_num_threads(),
        "gflop_per_second": {name: round(matmul_rate(device, dtype, size), 1) for name, dtype in _PRECISIONS.items()},
        "copy_gb_per_second": round(copy_rate(device, 2**26), 1),
    }


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Rate of a product of two size × size matrices in 10⁹ operations a second, median of five."""
    left = torch.ones(size, size, dtype=dtype, device=device)
    return 2 * size**3 / _median_seconds(lambda: left @ left, device) / 1e9


def copy_rate(device: torch.device, count: int) -> float:
    """Rate of copying `count` float32 numbers in 10⁹ bytes a second, read and written both counted, median of five."""
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return 8 * count / _median_seconds(lambda: target.copy_(source), device) / 1e9


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])  # the first one warms up
