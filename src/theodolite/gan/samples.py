"""Samples of a trained generator, and what its discriminator says of samples."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.engine.sampling import normal
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import recorded_units
from theodolite.gan.model import build_discriminator, build_generator
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.files import write_array
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
BLOCK = 65_536  # samples at once
STEP = 2**32 - 1  # beyond every training step: the draws of an audit are its own
MOST_BYTES = 4 * 2**30


class TrainedGAN:
    """The averaged generator and the discriminator of a run folder.

    Parameters
    ----------
    run : RunFolder
        A run trained to its end.
    """

    def __init__(self, run: RunFolder) -> None:
        config = run.settings(GANConfig)
        self.latent_dim = config.latent_dim
        self.seed = run.settings(GANTraining).seed
        self.units = recorded_units(run)
        self.device = best_device()
        self.generator = build_generator(config, self.units)
        self.discriminator = build_discriminator(config, self.units)
        load_weights(run, {"average": self.generator, "discriminator": self.discriminator})
        self.generator.to(self.device)
        self.discriminator.to(self.device)

    @torch.no_grad()
    def draw(self, count: int, stream: str = "samples") -> Floats:
        """Generate samples 0 … count−1 of a stream, (count, *shape): the same ones however many are drawn."""
        blocks = []
        for start in range(0, count, BLOCK):
            ids = torch.arange(start, min(start + BLOCK, count), device=self.device)
            latent = normal(self.seed, STEP, ids, stream, (self.latent_dim,))
            blocks.append(self.units.write(self.generator(latent).cpu().numpy()))
        return np.concatenate(blocks) if blocks else np.zeros((0, *self.units.shape))

    @torch.no_grad()
    def score(self, samples: NDArray[np.floating]) -> Floats:
        """Return the discriminator's logit of each sample, (n,)."""
        standard = torch.from_numpy(self.units.standardise(samples)).float()
        blocks = [self.discriminator(block.to(self.device)).cpu().double() for block in torch.split(standard, BLOCK)]
        return torch.cat(blocks).numpy()


def write_samples(run: RunFolder, count: int, out: Path) -> Path:
    """Write samples of a run's generator to a ``.npy`` file, float64, (count, *shape).

    Parameters
    ----------
    run : RunFolder
        A GAN trained to its end.
    count : int
        How many; sample i is the same however many are asked for.
    out : Path
        Must end in ``.npy``; its folder must exist.

    Raises
    ------
    UsageError
        If `count` or `out` cannot be meant.
    DataError
        If the run is of another family, or was not trained to its end.
    """
    if run.family != "gan":
        raise DataError(f"{run.path} is a run of {run.family or 'nothing known'}; samples are drawn from one of gan")
    if out.suffix != ".npy" or not out.parent.is_dir():
        raise UsageError(f"--out {out} must be a file ending in .npy, in a folder that exists")
    trained = TrainedGAN(run)
    most = MOST_BYTES // (8 * len(trained.units.centre))
    if not 1 <= count <= most:
        raise UsageError(f"-n {count} must lie between 1 and {most:,} for these samples")
    write_array(out, trained.draw(count))
    return out
