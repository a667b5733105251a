"""Checkpoints that are whole at every moment and hold all that a resumed run needs: networks, optimisers, step."""

import zipfile
from io import BytesIO
from typing import Any

import torch

from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder, write_atomically

# a checkpoint whose compressed form claims more than this much room is not one of ours
_LARGEST_BYTES = 64 * 2**30


def save(run: RunFolder, state: dict[str, Any]) -> None:
    """Write the state so that either the old or the new checkpoint is there, whole."""
    buffer = BytesIO()
    torch.save(state, buffer)
    write_atomically(run.checkpoint, buffer.getvalue())


def load(run: RunFolder) -> dict[str, Any]:
    """Read the state back, on the CPU.

    Raises
    ------
    DataError
        If it is damaged, holds anything but tensors and numbers, or belongs to another plan.
    """
    path = run.checkpoint
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_BYTES:
                raise DataError(
                    f"{path} claims more than {_LARGEST_BYTES // 2**30} GiB; it is not a checkpoint of theodolite"
                )
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # torch.load raises what the damage happens to hit
        raise DataError(f"{path} is damaged ({type(error).__name__}); delete it to train from the start") from None
    if not isinstance(state, dict) or not {"step", "seal", "networks", "optimizers"} <= state.keys():
        raise DataError(f"{path} is not a checkpoint of theodolite")
    if state["seal"] != run.plan.digest():
        raise DataError(
            f"{run.path / 'plan.json'} was changed after training began: its seal does not match the checkpoint"
        )
    return state
