"""Trained weights as safetensors, sealed with the hash of the plan they were trained under."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from theodolite.kernel.errors import DataError
from theodolite.kernel.files import write_atomically
from theodolite.kernel.runs import RunFolder


def save_weights(run: RunFolder, networks: Mapping[str, nn.Module]) -> None:
    """Write the weights of all networks to the run's ``model.safetensors``, each name led by its network's."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    write_atomically(run.weights, save(tensors, metadata={"plan": run.plan.digest()}))


def load_weights(run: RunFolder, networks: Mapping[str, nn.Module]) -> None:
    """Load the weights into networks built by the caller, and set them to evaluation.

    Raises
    ------
    DataError
        If the file is missing or damaged, a shape or name differs, a weight is not finite or too large to be squared,
        or the plan was changed after training.
    """
    path = run.weights
    if not path.is_file():
        raise DataError(f"{path} is missing: the run was not trained to its end; continue it with --resume")
    try:
        with safe_open(path, framework="pt") as file:
            seal = (file.metadata() or {}).get("plan")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if seal != run.plan.digest():
        raise DataError(f"{run.path / 'plan.json'} was changed after training: {path.name} has another seal")
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not _usable(value)]
    if broken:
        raise DataError(f"{path} holds weights that are not finite or too large, first in {broken[0]}; train again")
    for name, network in networks.items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        try:
            network.load_state_dict(own, strict=True)
        except RuntimeError as error:
            raise DataError(
                f"{path} does not fit the run's configuration: {str(error).splitlines()[-1].strip()}"
            ) from None
        network.eval()


def _usable(weights: torch.Tensor) -> bool:
    """Whether every weight is finite, and so is its square."""
    return bool((weights.abs() < torch.finfo(weights.dtype).max ** 0.5).all())
