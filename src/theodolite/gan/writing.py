"""A trained generator for others: its samples as an array or a folder of images, and itself as a program."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from torch import Tensor, nn

from theodolite.gan.dataset import Units
from theodolite.gan.samples import TrainedGAN
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.files import write_array, write_atomically
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
MOST_BYTES = 4 * 2**30  # of samples in memory
MOST_FILES = 10**6
WHITE = 255
CHANNELS = (1, 3, 4)  # of an image file: grey, RGB, RGB with opacity
ARRAYS = (".npy", ".safetensors")


def write_samples(run: RunFolder, count: int, out: Path) -> Path:
    """Write samples of a run's generator.

    Parameters
    ----------
    run : RunFolder
        A GAN trained to its end.
    count : int
        How many; sample i is the same however many are asked for.
    out : Path
        A ``.npy`` or ``.safetensors`` file (there the array is called ``samples``), float64 of shape (count, *shape),
        in a folder that exists; or, of images, a folder, new or empty, for ``000000.png`` and so on: the least and the
        greatest value of the data are 0 and 255 there.

    Raises
    ------
    UsageError
        If `count` or `out` cannot be meant.
    DataError
        If the run is of another family, or was not trained to its end.
    """
    trained = _trained(run)
    if out.suffix not in ("", *ARRAYS) or not out.parent.is_dir():
        raise UsageError(
            f"--out {out} must be a file ending in .npy or .safetensors, or a folder for images, where a folder exists"
        )
    if not out.suffix:
        _check_folder(out, trained.units)
    most = MOST_BYTES // (8 * len(trained.units.centre))
    if not out.suffix:
        most = min(most, MOST_FILES)
    if not 1 <= count <= most:
        raise UsageError(f"-n {count} must lie between 1 and {most:,} for these samples")
    samples = trained.draw(count)
    match out.suffix:
        case ".npy":
            write_array(out, samples)
        case ".safetensors":
            write_atomically(out, save({"samples": samples}))
        case _:
            _write_images(out, samples, trained.units)
    return out


def _trained(run: RunFolder) -> TrainedGAN:
    if run.family != "gan":
        raise DataError(f"{run.path} is a run of {run.family or 'nothing known'}; samples are drawn from one of gan")
    return TrainedGAN(run)


def _check_folder(folder: Path, units: Units) -> None:
    shape = units.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in CHANNELS):
        raise UsageError(f"samples of shape {shape} are no images; give --out a file ending in .npy")
    if not units.grain:
        raise UsageError("the data have no least and greatest value to write as 0 and 255; give --out a .npy file")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} is not an empty folder; name a new one")


def _write_images(folder: Path, samples: Floats, units: Units) -> None:
    folder.mkdir(exist_ok=True)
    pixels = np.round(WHITE * (samples - units.low) / (units.high - units.low)).astype(np.uint8)
    if pixels.shape[3:] == (1,):
        pixels = pixels[..., 0]
    digits = max(6, len(str(len(pixels) - 1)))
    for number, image in enumerate(pixels):
        file = BytesIO()
        Image.fromarray(image).save(file, format="PNG")
        write_atomically(folder / f"{number:0{digits}d}.png", file.getvalue())


class Program(nn.Module):
    """A generator that needs nothing of this library: from standard normal draws to samples in the data's units."""

    def __init__(self, generator: nn.Module, units: Units) -> None:
        super().__init__()
        self.generator, self.units = generator, units
        self.register_buffer("centre", torch.tensor(units.centre))

    def forward(self, normal: Float[Tensor, "batch latent"]) -> Tensor:
        """Generate one sample a row, (batch, *shape), rounded to the grain of the data."""
        units = self.units
        flat = self.generator(normal) * units.scale + self.centre
        if units.grain:
            flat = units.low + torch.round((flat - units.low) / units.grain) * units.grain
            flat = flat.clamp(units.low, units.high)
        samples: Tensor = flat.unflatten(1, units.shape)
        return samples


def export_program(run: RunFolder, out: Path) -> dict[str, str]:
    """Write a run's generator as a program that ``torch.export.load`` reads, without this library.

    Parameters
    ----------
    run : RunFolder
        A GAN trained to its end, and perhaps repaired: then the whole mixture is one program.
    out : Path
        Must end in ``.pt2``; its folder must exist.

    Returns
    -------
    dict
        The file, and what goes in and comes out: (batch, latent) standard normal draws, (batch, *shape) samples.

    Raises
    ------
    UsageError
        If `out` cannot be meant.
    DataError
        If the run is of another family, or was not trained to its end.
    """
    if out.suffix != ".pt2" or not out.parent.is_dir():
        raise UsageError(f"--out {out} must be a file ending in .pt2, in a folder that exists")
    trained = _trained(run)
    program = Program(trained.generator.cpu(), trained.units).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        exported = torch.export.export(
            program, (torch.zeros(2, trained.latent_dim),), dynamic_shapes=({0: batch},), strict=False
        )
    file = BytesIO()
    torch.export.save(exported, file)
    write_atomically(out, file.getvalue())
    shape = " × ".join(map(str, trained.units.shape))
    return {
        "program": str(out),
        "takes": f"(batch, {trained.latent_dim}) standard normal draws, float32",
        "gives": f"batch samples of {shape}, float32",
    }
