"""Where a run is computed, chosen unless it is asked for."""

import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision

from theodolite.kernel.errors import ResourceError
from theodolite.kernel.settings import TrainSettings


def best_device() -> torch.device:
    """Return a GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_device(training: TrainSettings) -> torch.device:
    """Return the device asked for, or the best there is.

    Raises
    ------
    ResourceError
        If a device was asked for that is not here.
    """
    if training.device == "auto":
        return best_device()
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[training.device]:
        raise ResourceError(f"device={training.device} was asked for, but this machine has none; use --device auto")
    return torch.device(training.device)


class Double(DoublePrecision):
    """float64 throughout: fabric's own rounds what a network returns, and so its loss, to float32."""

    def convert_output(self, data: Any) -> Any:
        """Leave it as it is."""
        return data


def make_fabric(training: TrainSettings, precision: str = "32-true") -> Fabric:
    """Build the Fabric for these settings and a precision; under torchrun, one process of a data-parallel group."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    double = precision == "64-true"
    return Fabric(
        accelerator=choose_device(training).type,
        devices=processes_here,
        num_nodes=max(1, processes // processes_here),
        strategy="ddp" if processes > 1 else "auto",
        precision=None if double else precision,  # type: ignore[arg-type]  # a str here, a Literal there
        plugins=[Double()] if double else None,
    )
