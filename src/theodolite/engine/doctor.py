"""What this machine has, how fast it is, and where its bfloat16 is right, measured: ``theodolite doctor``."""

import math
from typing import Any

import torch

from theodolite.engine.bfloat16 import check
from theodolite.engine.devices import best_device
from theodolite.engine.layers import standard_layers
from theodolite.engine.rates import closed_form_rates, copy_rate, matmul_rate
from theodolite.kernel.environment import describe, keep_rates
from theodolite.kernel.errors import ResourceError

_PRECISIONS = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


def examine() -> dict[str, Any]:
    """Return versions, device, memory, measured rates and checks, and keep the rates that plans state times by.

    Returns
    -------
    dict
        `kernel.environment.describe` and ``device``, ``device_memory_bytes``, ``threads``, ``gflop_per_second``
        (by precision, of a square matrix product, a multiply-add counted as two), ``copy_gb_per_second``,
        ``closed_form`` (`kernel.environment.Rates`), ``bfloat16`` (by layer kind: ``layer``, ``error`` relative to
        float32 and None where not finite, ``allowed``, ``right``, ``where``), and ``kept``, a sentence.
    """
    device = best_device()
    on_gpu = device.type == "cuda"
    size = 8192 if on_gpu else 1024
    found = describe()
    memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else found["memory_bytes"]
    closed_form = closed_form_rates()
    try:
        kept = f"rates kept in {keep_rates(closed_form)}"
    except ResourceError as error:
        kept = f"rates not kept: {error}"
    return found | {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "device_memory_bytes": memory,
        "threads": torch.get_num_threads(),
        "gflop_per_second": {name: round(matmul_rate(device, dtype, size), 1) for name, dtype in _PRECISIONS.items()},
        "copy_gb_per_second": round(copy_rate(device, 2**26), 1),
        "closed_form": closed_form.model_dump(),
        "bfloat16": check_bfloat16(device),
        "kept": kept,
    }


def check_bfloat16(device: torch.device) -> list[dict[str, Any]]:
    """Check in bfloat16 every kind of layer that the families are made of; see `bfloat16.check`."""
    return [
        {
            "layer": found.layer,
            "error": found.error if math.isfinite(found.error) else None,
            "allowed": found.bound,
            "right": found.right,
            "where": found.where,
        }
        for found in (check(layer, device) for layer in standard_layers())
    ]
