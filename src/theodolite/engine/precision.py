"""In which precision a run is computed: by measurement unless it is asked for, and the same from its first step on."""

from collections.abc import Mapping

import torch
from torch import nn

from theodolite.engine.bfloat16 import Check, check
from theodolite.engine.devices import choose_device
from theodolite.engine.layers import layers_of
from theodolite.engine.rates import matmul_rate
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings

WORTH_IT = 2.0  # how much faster a matrix product must be; hardware for bfloat16 gives eight times and more
_KNOWN = ("32-true", "64-true", "bf16-mixed")


def choose_precision(training: TrainSettings, networks: Mapping[str, nn.Module]) -> str:
    """Return the precision to train networks in: the one asked for, or the one that measurement favours.

    Left to itself it is bf16-mixed on a GPU whose matrix products are at least twice as fast in it, if every layer
    kind of the networks is computed right there; else float32. On the CPU it is float32: what documents and tests
    state was computed there, and a processor's bfloat16 is rarely faster.

    Raises
    ------
    UsageError
        If bf16-mixed was asked for and a layer kind is computed wrongly on this machine.
    """
    if training.precision not in ("auto", "bf16-mixed"):
        return training.precision
    device = choose_device(training)
    asked = training.precision == "bf16-mixed"
    if not asked and not (device.type == "cuda" and _faster_in_bfloat16(device)):
        return "32-true"
    wrong = first_wrong(networks, device)
    if wrong is None:
        return "bf16-mixed"
    if asked:
        raise UsageError(
            f"precision=bf16-mixed is wrong on this machine: {wrong.layer} errs by {wrong.error:.2g} in {wrong.where}, "
            f"where {wrong.bound:.2g} is allowed; take --precision 32-true"
        )
    return "32-true"


def _faster_in_bfloat16(device: torch.device) -> bool:
    size = 4096
    return matmul_rate(device, torch.bfloat16, size) >= WORTH_IT * matmul_rate(device, torch.float32, size)


def first_wrong(networks: Mapping[str, nn.Module], device: torch.device) -> Check | None:
    """Return the first layer kind of the networks that is computed wrongly in bfloat16; None where there is none."""
    checks = (check(layer, device) for layer in layers_of(networks.values()))
    return next((found for found in checks if not found.right), None)


def settle_precision(training: TrainSettings, networks: Mapping[str, nn.Module], run: RunFolder | None) -> str:
    """Choose the precision of a new run and note it in its ``environment.json``; a resumed run keeps what it began in.

    Raises
    ------
    UsageError
        If it is bf16-mixed and a layer kind is computed wrongly on this machine.
    DataError
        If what the run noted is no precision.
    """
    if run is None:
        return choose_precision(training, networks)
    noted = run.read_json("environment.json")
    if training.precision == "auto" and run.checkpoint.is_file() and "precision" in noted:
        if noted["precision"] not in _KNOWN:
            raise DataError(f"{run.path / 'environment.json'} is damaged: its precision is none of {', '.join(_KNOWN)}")
        return choose_precision(training.model_copy(update={"precision": noted["precision"]}), networks)
    chosen = choose_precision(training, networks)
    if is_first_process() and noted.get("precision") != chosen:
        run.write_json("environment.json", noted | {"precision": chosen})
    return chosen
