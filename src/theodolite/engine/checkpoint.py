"""Checkpoints that are whole at every moment and hold all that a resumed run needs: networks, optimisers, step."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from theodolite.kernel.errors import DataError
from theodolite.kernel.files import write_atomically
from theodolite.kernel.runs import RunFolder

_PARTS = {"step", "seconds", "seal", "networks", "optimizers"}
_REMEDY = "delete it to train from the start"


def save(run: RunFolder, state: dict[str, Any]) -> None:
    """Write the state so that either the old or the new checkpoint is there, whole."""
    buffer = BytesIO()
    torch.save(state, buffer)
    write_atomically(run.checkpoint, buffer.getbuffer())


def load(run: RunFolder) -> dict[str, Any]:
    """Read the state back, on the CPU, in no more memory than the file is long.

    Raises
    ------
    DataError
        If it is damaged, claims more than it holds, holds anything but tensors and numbers, or belongs to another plan.
    """
    path = run.checkpoint
    try:
        _check_archive(path)
        # read without their numbers first: a few bytes can claim a tensor of any size
        _check_claims(path, torch.load(path, map_location="meta", weights_only=True))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # torch.load raises what the damage happens to hit
        raise DataError(f"{path} is damaged ({type(error).__name__}); {_REMEDY}") from None
    if not isinstance(state, dict) or not state.keys() >= _PARTS:
        raise DataError(f"{path} is not a checkpoint of theodolite")
    counted = type(state["step"]) is int and state["step"] >= 0
    timed = type(state["seconds"]) in (int, float) and math.isfinite(state["seconds"])
    if not counted or not timed or not isinstance(state["networks"], dict) or not isinstance(state["optimizers"], dict):
        raise DataError(f"{path} is not a checkpoint of theodolite: its step, time, networks or optimisers are none")
    if state["seal"] != run.plan.digest():
        raise DataError(
            f"{run.path / 'plan.json'} was changed after training began: its seal does not match the checkpoint"
        )
    return state


def restore_networks(path: Path, stored: Mapping[str, Any], networks: Mapping[str, nn.Module]) -> None:
    """Load the networks' weights from what a checkpoint at `path` stored.

    Raises
    ------
    DataError
        If a network or a weight is missing or left over, a shape differs, or a weight is not finite.
    """
    _check_names(path, "networks", stored, networks)
    for name, network in networks.items():
        _check_finite(path, f"network {name!r}", stored[name])
        try:
            network.load_state_dict(stored[name])
        except Exception as error:  # a RuntimeError of many lines, or whatever a hostile file leads to
            raise _misfit(path, str(error).splitlines()[-1].strip()) from None


def restore_optimizer(path: Path, stored: Mapping[str, Any], name: str, optimizer: torch.optim.Optimizer) -> None:
    """Load one optimiser's state, by name, from what a checkpoint at `path` stored.

    Raises
    ------
    DataError
        If the optimiser is missing, its groups or the shape of an average differ, or a number is not finite.
    """
    if name not in stored:
        raise _misfit(path, f"optimiser {name!r} is missing")
    _check_finite(path, f"optimiser {name!r}", stored[name])
    try:
        optimizer.load_state_dict(stored[name])
    except Exception as error:  # a ValueError where groups differ, or whatever a hostile file leads to
        raise _misfit(path, str(error).splitlines()[-1].strip() or type(error).__name__) from None
    for parameter, averages in optimizer.state.items():
        for key, value in averages.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise _misfit(path, f"{key} of optimiser {name!r} has shape {tuple(value.shape)}")


def _check_archive(path: Path) -> None:
    """Refuse what inflates: torch compresses nothing, so the parts together are no longer than the file."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    claimed, there = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > there or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise DataError(
            f"{path} claims {claimed / 1e6:.1f} MB in a file of {there / 1e6:.1f} MB: "
            f"it is not a checkpoint of theodolite; {_REMEDY}"
        )


def _check_claims(path: Path, described: Any) -> None:
    """Refuse a tensor longer than the file: its storage may claim more than there is, or it may show a number often.

    Not their sum: tensors may share a storage, as tied weights do, and torch checks each against the file's own parts.
    """
    there = path.stat().st_size
    lengths = (max(value.untyped_storage().nbytes(), value.nbytes) for value in _tensors(described))
    claimed = max(lengths, default=0)
    if claimed > there:
        raise DataError(
            f"{path} claims a tensor of {claimed / 1e6:.1f} MB in a file of {there / 1e6:.1f} MB: "
            f"it is not a checkpoint of theodolite; {_REMEDY}"
        )


def _tensors(part: Any, depth: int = 8) -> Iterator[Tensor]:
    """All tensors in nested dicts, lists and tuples; nothing of ours is nested deeper than `depth`."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, (dict, list, tuple)):
        if not depth:
            raise ValueError("nested too deep")
        for value in part.values() if isinstance(part, dict) else part:
            yield from _tensors(value, depth - 1)


def _check_names(path: Path, kind: str, stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if stored.keys() != expected.keys():
        raise _misfit(path, f"its {kind} are {_listed(stored)}, the run's are {_listed(expected)}")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)[:40]) for name in list(names)[:8]) or "none"


def _check_finite(path: Path, owner: str, part: Any) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in _tensors(part)):
        raise DataError(f"{path} holds numbers that are not finite in {owner}; {_REMEDY}")


def _misfit(path: Path, complaint: str) -> DataError:
    return DataError(f"{path} does not fit the run's configuration: {complaint}; {_REMEDY}")
