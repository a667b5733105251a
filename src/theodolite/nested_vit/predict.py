"""A trained network's answer for images of any size: read by windows, written by rows, in nearly constant memory."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.data import webp
from theodolite.data.images import load_image
from theodolite.data.label_maps import LabelMap
from theodolite.data.large_images import FORMATS, open_image
from theodolite.data.names import said
from theodolite.engine.devices import best_device
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.files import write_array, write_atomically
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.examples import whole_of
from theodolite.nested_vit.exhibits import tinted
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_evaluation import Pass
from theodolite.nested_vit.own_training import trained_network
from theodolite.nested_vit.windows import WindowSource

LARGEST_BYTES = 2**30  # of an image that is held whole, decoded
MAPS = (".tif", ".tiff")


def predict(run: RunFolder, source: Path, target: Path | None = None) -> dict[str, Any]:
    """Name the label of an image, or of all images of a folder; or the class of every pixel of an image.

    Parameters
    ----------
    run : RunFolder
        A trained run of this family.
    source : Path
        A TIFF, PNG, JPEG or .npy file, read by windows; a WebP; or, where labels are named, a folder of such files.
    target : Path or None
        Labels: .csv, a line an image with the probability of each class; or .npy of one image's probabilities. Pixels:
        .tif, a tiled map of classes, written while it is computed; where there is one class besides the ground, .npy of
        its probabilities, (h, w), float32, or .webp of the image with what is marked tinted. By default predictions.csv
        or map.tif in the run's folder.

    Returns
    -------
    dict
        What was read, found and written.

    Raises
    ------
    UsageError
        If the target's name promises what such a network cannot give.
    DataError
        If an image cannot be read, or the weights are missing or damaged.
    """
    config = run.settings(NestedViTConfig)
    labels = config.target == "label"
    target = target or run.path / ("predictions.csv" if labels else "map.tif")
    _check_target(target, config, source)
    network = trained_network(run, config).to(best_device())
    if labels:
        return _labels(network, run, source, target)
    with _opened(source, config) as image:
        one = Pass(network, [image])
        told = {"height": image.height, "width": image.width, "windows": len(one.windows)}
        if target.suffix.lower() in MAPS:
            return {**told, "shares": _write_map(one, target), "target": str(target)}
        _check_held(image, source)
        probabilities = _probabilities(one)
        marked = probabilities > 0.5
        if target.suffix == ".webp":
            write_atomically(target, webp.encode(tinted(_bright(image), marked)))
        else:
            write_array(target, probabilities)
        return {**told, "marked": float(marked.mean()), "target": str(target)}


def _check_target(target: Path, config: NestedViTConfig, source: Path) -> None:
    suffix = target.suffix.lower()
    if config.target == "label":
        if suffix != ".csv" and (suffix != ".npy" or source.is_dir()):
            raise UsageError(f"{said(target)} must end in .csv for labels, or .npy for those of one image")
        return
    if source.is_dir():
        raise UsageError(f"{said(source)} is a folder; a map is written of one image: name a file")
    if suffix not in MAPS and (config.num_classes > 1 or suffix not in (".npy", ".webp")):
        one = "" if config.num_classes > 1 else ", .npy or .webp"
        raise UsageError(f"{said(target)} must end in .tif{one}: this network tells every pixel")


def _labels(network: NestedViT, run: RunFolder, source: Path, target: Path) -> dict[str, Any]:
    """Write a line for each image, in the order of their names."""
    config = network.config
    names = _names(run, config.num_classes)
    files = _images_in(source) if source.is_dir() else [source]
    rows, told = [], {}
    for file in files:
        with _opened(file, config) as image:
            logits = Pass(network, [image]).label()[0].float().cpu()
        # the twins' labels may be there together, the user's exclude each other
        probabilities = logits.softmax(dim=0) if config.own_images else logits.sigmoid()
        found = [int(logits.argmax())] if config.own_images else np.flatnonzero(logits > 0).tolist()
        named = " ".join(names[number] for number in found)
        rows.append((str(file), named, *(f"{float(value):.6g}" for value in probabilities)))
        told = {"label": named, "probability": round(float(probabilities.max()), 4)}
    if target.suffix.lower() == ".npy":
        write_array(target, probabilities.numpy())
    else:
        text = StringIO(newline="")
        csv.writer(text).writerows([("path", "label", *names), *rows])
        write_atomically(target, text.getvalue().encode())
    return {"images": len(files), **(told if len(files) == 1 else {}), "target": str(target)}


def _names(run: RunFolder, classes: int) -> list[str]:
    """Names of the classes as noted; of the twins' digits, their numbers."""
    noted = run.read_json("data.json").get("classes", range(classes))
    if not isinstance(noted, (list, range)) or len(noted) != classes:
        raise DataError(f"{run.path / 'data.json'} does not name the {classes} classes; train the run again")
    return [str(name) for name in noted]


def _images_in(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in FORMATS and file.is_file())
    if not found:
        raise DataError(
            f"{said(folder)} holds no images; it must hold {', '.join(sorted(set(FORMATS.values())))} files"
        )
    return found


def _write_map(one: Pass, target: Path) -> list[float]:
    """Write the classes of all pixels while they are computed, and return the share of each."""
    counts = np.zeros(max(one.network.num_classes, 2))
    kind = np.uint8 if one.network.num_classes <= 256 else np.uint16
    with LabelMap(target, one.windows.height, one.windows.width, kind) as written:
        for rows in one.rows():
            counts += np.bincount(rows.ravel(), minlength=len(counts))
            written.write(rows)
    return [round(float(share), 6) for share in counts / counts.sum()]


@torch.no_grad()
def _probabilities(one: Pass) -> NDArray[np.float32]:
    """Probabilities of a single class for every pixel, held whole: (height, width)."""
    tiles = torch.cat([logits.sigmoid().cpu() for _, logits in one.parts()])
    return one.network.join(tiles, one.windows)[0, 0].float().numpy()


def _check_held(image: WindowSource, source: Path) -> None:
    if (needed := 4 * image.height * image.width) > LARGEST_BYTES:
        raise UsageError(
            f"the probabilities of {said(source)} take {needed / 2**30:.1f} GiB, at most "
            f"{LARGEST_BYTES / 2**30:.0f} are held; let the target end in .tif, which is written by rows"
        )


def _bright(image: WindowSource) -> NDArray[np.uint8]:
    """An image in colour, 8 bits."""
    pixels = whole_of(image)[0].permute(1, 2, 0).numpy()
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[2] < 3 else np.ascontiguousarray(pixels[..., :3])


class _Held:
    """An image that was decoded whole."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.pixels[top : top + height, left : left + width])


@contextmanager
def _opened(path: Path, config: NestedViTConfig) -> Iterator[WindowSource]:
    """Open an image of any format, with the channels that the network reads."""
    if path.suffix.lower() == ".webp":
        pixels = load_image(path, LARGEST_BYTES)
        if config.channels != pixels.shape[2]:
            raise UsageError(f"{said(path)} is read in colour; the network reads {config.channels} channel(s)")
        yield _Held(pixels)
        return
    if config.channels > 4:
        raise UsageError(f"the network reads {config.channels} channels; image files have 1 to 4")
    with open_image(path, channels=config.channels) as image:
        yield image
