"""Samples of a trained generator, and what its discriminator says of samples."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.engine.sampling import normal
from theodolite.gan.blend import Blend, Judge
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import recorded_units
from theodolite.gan.model import build_discriminator, build_generator
from theodolite.gan.repaired import Repair, repair_of
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
BLOCK = 65_536  # samples at once
MOST_DRAWS = 2**22  # numbers drawn at once: a mixture takes many a sample
STEP = 2**32 - 1  # beyond every training step: the draws of an audit are its own


class TrainedGAN:
    """The averaged generator and the discriminator of a run folder.

    Parameters
    ----------
    run : RunFolder
        A run trained to its end.
    repaired : bool
        Whether a mixture that a repair left takes the place of the generator.
    """

    def __init__(self, run: RunFolder, *, repaired: bool = True) -> None:
        config = run.settings(GANConfig)
        self.latent_dim = config.latent_dim
        self.seed = run.settings(GANTraining).seed
        self.units = recorded_units(run)
        self.device = best_device()
        self.generator: nn.Module = build_generator(config, self.units)
        self.discriminator = build_discriminator(config, self.units)
        load_weights(run, {"average": self.generator, "discriminator": self.discriminator})
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        if repaired and (found := repair_of(run)) and found.accepted:
            self._draw_from(self._blend(run, found))

    def blended(self, blend: Blend) -> "TrainedGAN":
        """Return the same, drawing from a mixture that this run's generator is the first component of."""
        other = copy.copy(self)
        other._draw_from(blend)
        return other

    def _draw_from(self, blend: Blend) -> None:
        self.generator, self.latent_dim = blend.eval().to(self.device), blend.latent_dim

    def _blend(self, run: RunFolder, found: Repair) -> Blend:
        """Build the mixture that a repair left."""
        further = [TrainedGAN(RunFolder.open(run.path / part.folder), repaired=False) for part in found.components[1:]]
        judge = None
        if found.judge:
            folder = RunFolder(run.path / found.judge)
            # it is built as the discriminator of the further generator in whose folder it lies
            judge = Judge(build_discriminator(RunFolder(folder.path.parent).settings(GANConfig), self.units))
            load_weights(folder, {"judge": judge})
        return Blend(
            [self.generator, *(other.generator for other in further)],
            [self.latent_dim, *(other.latent_dim for other in further)],
            [part.share for part in found.components],
            judge,
        )

    @torch.no_grad()
    def draw(self, count: int, stream: str = "samples") -> Floats:
        """Generate samples 0 … count−1 of a stream, (count, *shape): the same ones however many are drawn."""
        blocks, block = [], min(BLOCK, max(1, MOST_DRAWS // self.latent_dim))
        for start in range(0, count, block):
            ids = torch.arange(start, min(start + block, count), device=self.device)
            latent = normal(self.seed, STEP, ids, stream, (self.latent_dim,))
            blocks.append(self.units.write(self.generator(latent).cpu().numpy()))
        return np.concatenate(blocks) if blocks else np.zeros((0, *self.units.shape))

    @torch.no_grad()
    def score(self, samples: NDArray[np.floating]) -> Floats:
        """Return the discriminator's logit of each sample, (n,)."""
        standard = torch.from_numpy(self.units.standardise(samples)).float()
        blocks = [self.discriminator(block.to(self.device)).cpu().double() for block in torch.split(standard, BLOCK)]
        return torch.cat(blocks).numpy()
