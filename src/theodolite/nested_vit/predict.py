"""A trained network's answer for an image of any size, in nearly constant memory."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from theodolite.data import webp
from theodolite.data.images import load_image
from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.files import write_array, write_atomically
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.choice import USUAL_CHUNK
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.exhibits import tinted
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.recompute import Recomputation

LARGEST_BYTES = 2**30  # of an image, decoded
SUFFIXES = (".npy", ".webp")


def predict(run: RunFolder, source: Path, target: Path) -> dict[str, Any]:
    """Mark an image of any size, or name its labels.

    Parameters
    ----------
    run : RunFolder
        A trained run of this family.
    source : Path
        PNG, JPEG, WebP or TIFF, or an array .npy of shape (h, w) or (h, w, 3), uint8.
    target : Path
        .npy for probabilities in float32, (h, w) or (6,); .webp for the image with what is marked tinted.

    Returns
    -------
    dict
        height, width, windows, marked (share of the pixels) or labels (digits said to occur twice), target.

    Raises
    ------
    UsageError
        If the target is neither .npy nor .webp, or .webp for a network that names labels.
    DataError
        If the image cannot be read, or the weights are missing or damaged.
    """
    config = run.settings(NestedViTConfig)
    if target.suffix not in SUFFIXES or (target.suffix == ".webp" and config.target == "label"):
        raise UsageError(f"{target} must end in .npy" + (" or .webp" if config.target == "dense" else " for labels"))
    pixels = _read(source)
    lessons = Lessons(NestedViT(config)).eval()
    load_weights(run, {"lessons": lessons})
    device = best_device()
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)
    probabilities, windows = _probabilities(lessons.network.to(device), images, config.chunk or USUAL_CHUNK)
    marked = probabilities > 0.5
    if target.suffix == ".webp":
        write_atomically(target, webp.encode(tinted(pixels, marked)))
    else:
        write_array(target, probabilities)
    said = {"labels": np.flatnonzero(marked).tolist()} if config.target == "label" else {"marked": float(marked.mean())}
    return {"height": pixels.shape[0], "width": pixels.shape[1], "windows": windows, **said, "target": str(target)}


@torch.no_grad()
def _probabilities(network: NestedViT, images: Tensor, chunk: int) -> tuple[NDArray[np.float32], int]:
    """Probabilities for one image, chunk by chunk, and how many windows it has."""
    tokens = Recomputation(network, images, chunk)
    tokens.forward()
    windows = len(tokens.windows)
    if network.config.target == "label":
        return network.read_label(tokens.entered[-1], tokens.windows.grid)[0].sigmoid().cpu().numpy(), windows
    parts = [
        network.read_dense(tokens.last_patches(chosen), tokens.entered[-1][chosen]).sigmoid().cpu()
        for chosen in tokens.chunks()
    ]
    return network.join(torch.cat(parts), tokens.windows)[0, 0].numpy(), windows


def _read(source: Path) -> NDArray[np.uint8]:
    """Read an image as (h, w, 3)."""
    if source.suffix != ".npy":
        return load_image(source, LARGEST_BYTES)
    try:
        array = np.load(source, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as an array: {error}") from None
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise DataError(f"{source} holds {array.dtype} {array.shape}; an image is uint8 of shape (h, w) or (h, w, 3)")
    if 3 * array.shape[0] * array.shape[1] > LARGEST_BYTES:
        raise DataError(
            f"{source} is {array.shape[1]} × {array.shape[0]}; at most {LARGEST_BYTES // 2**20} MiB are read"
        )
    return np.array(np.broadcast_to(array[..., None], (*array.shape, 3)) if grey else array)
