"""How fast this machine computes, measured: products of matrices, copies, and what a closed-form fit is made of."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh, get_blas_funcs
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it says nothing of its types

from theodolite.kernel.environment import Rates

_REPEATS = 5
_SYRK_ROWS, _DIMENSION = 8192, 512
_READ_NUMBERS = 2**24  # float64: 128 MiB, more than caches hold


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Rate of a product of two size × size matrices in 10⁹ operations a second, best of five."""
    left = torch.ones(size, size, dtype=dtype, device=device)
    return 2 * size**3 / _seconds(lambda: left @ left, device) / 1e9


def copy_rate(device: torch.device, count: int) -> float:
    """Rate of copying `count` float32 numbers in 10⁹ bytes a second, read and written both counted, best of five."""
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return 8 * count / _seconds(lambda: target.copy_(source), device) / 1e9


def closed_form_rates(rows: int = _SYRK_ROWS, dimension: int = _DIMENSION, numbers: int = _READ_NUMBERS) -> Rates:
    """Rates of NumPy's and SciPy's linear algebra on the processor, each the best of five.

    Parameters
    ----------
    rows, dimension : int
        Shape of the matrix X whose products XᵀX are timed; `dimension` is also that of the eigenproblem.
    numbers : int
        How many float64 numbers are read to measure the memory.

    Returns
    -------
    Rates
        See `kernel.environment.Rates` for each field and its unit.
    """
    samples = np.random.default_rng(0).standard_normal((rows, dimension))
    found: dict[str, float] = {}
    for dtype in ("float32", "float64"):
        for threads, limit in (("one_thread", 1), ("all_threads", None)):
            with threadpool_limits(limit, user_api="blas"):
                found[f"syrk_{dtype}_{threads}"] = _syrk_rate(samples.astype(dtype))
        found[f"eigh_{dtype}"] = _eigh_seconds(samples.astype(dtype)) / dimension**3
    values = np.ones(numbers)
    found["read"] = values.nbytes / _seconds(values.sum)
    return Rates(**found)


def _syrk_rate(samples: NDArray[Any]) -> float:
    """Multiply-adds per second of XᵀX, half of it computed."""
    rows, dimension = samples.shape
    products = rows * dimension * (dimension + 1) // 2
    syrk = get_blas_funcs("syrk", (samples,))
    # the transpose of rows in C order is what Fortran reads without a copy
    seconds = _seconds(lambda: syrk(1.0, samples.T))
    return float(products / seconds)


def _eigh_seconds(samples: NDArray[Any]) -> float:
    gram = samples.T @ samples
    return _seconds(lambda: eigh(gram))


def _seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    times = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        work()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])  # the first one warms up, and others may share the machine
