"""Training of the linear VAE: one step, and what is fitted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from theodolite.engine.loop import fit
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import load
from theodolite.linear_vae.model import LinearVAE
from theodolite.theory import ppca

EVALUATIONS = 50  # of the exact gap to the optimum, in a run
WORTH_SHARING = 2**24  # multiplications a step; below it two threads wait for each other longer than they work


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Compute in one thread where a step has too little to do for more."""
    before = torch.get_num_threads()
    if multiplications < WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build(config: LinearVAEConfig, samples: NDArray[np.float64]) -> LinearVAE:
    """Build the network for these settings and samples (n, d) of mean zero; weights come from torch's generator."""
    return LinearVAE(
        samples.shape[1],
        config.latent_dim,
        data_scale=float(np.sqrt(np.mean(samples**2))),
        prior_scale=config.prior_scale,
        noise_variance=config.noise_variance,
    )


class Ascent(Task):
    """Climbs the ELBO by Adam: the network ``vae`` by the method that was asked for, ``rival`` by the other one.

    Both start from the same weights and see the same batches. ``evaluate`` measures for each the exact gap to the
    optimum over all training samples.
    """

    name = "linear-vae"

    def __init__(self, config: LinearVAEConfig, training: LinearVAETraining, samples: NDArray[np.float64]) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            vae = build(config, samples)
        self.config, self.data = config, samples
        self.learning_rate = training.learning_rate
        double = training.precision == "64-true"
        self.samples = torch.from_numpy(samples).to(torch.float64 if double else torch.float32)
        self.sample_count = len(samples)
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        self.networks: dict[str, nn.Module] = {"vae": vae}
        if config.race:
            self.networks["rival"] = build(config, samples)
            self.networks["rival"].load_state_dict(vae.state_dict())
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), lr=training.learning_rate)
            for name, network in self.networks.items()
        }

    @cached_property
    def greatest(self) -> float:
        """Greatest ELBO that any linear VAE of these settings has on the training samples, in nats per sample."""
        eigenvalues = ppca.spectrum(self.data).eigenvalues
        noise = self.config.noise_variance or ppca.learned_noise_variance(eigenvalues, self.config.latent_dim)
        return ppca.greatest_elbo(eigenvalues, self.config.latent_dim, noise)

    def step(self, at: Step) -> Mapping[str, float]:
        """Move each network by one Adam step up the mean ELBO of the batch."""
        # half a cosine from the full step size to zero: the noise of the batches is averaged out towards the end
        rate = self.learning_rate * half_cosine(at.number, at.total)
        losses = {}
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            means = at.backward(partial(self._losses, name))
            optimizer.step()
            losses["loss" if name == "vae" else "rival_loss"] = means["loss"]
        return losses

    def _losses(self, name: str, part: Part) -> Mapping[str, Tensor]:
        x = self._samples_on(part.device)[part.ids]
        reparametrised = (self.config.method == "reparametrised") == (name == "vae")
        draws = (self.config.draws, self.config.latent_dim)
        noise = part.normal("encoder", *draws).to(x.dtype) if reparametrised else None
        return {"loss": -self.networks[name](x, noise).mean()}

    @torch.no_grad()
    def evaluate(self, number: int) -> dict[str, float]:
        """Measure how far the exact ELBO over all training samples is below the greatest one, in nats per sample."""
        gaps = {}
        for name, network in self.networks.items():
            device = next(network.parameters()).device
            elbo = network(self._samples_on(device)).double().mean()
            gaps["gap" if name == "vae" else "rival_gap"] = self.greatest - float(elbo)
        return gaps

    def _samples_on(self, device: torch.device) -> Tensor:
        self.samples = self.samples.to(device)
        return self.samples


def train(config: LinearVAEConfig, training: LinearVAETraining, run: RunFolder) -> None:
    """Train a linear VAE to the end of its steps, or on from the run's checkpoint.

    Raises
    ------
    DataError, UsageError
        If the data cannot be used; see `dataset.load`.
    DivergedError
        If the loss stops being finite.
    """
    data = load(config)
    if is_first_process():
        noted = {"path": config.data, "sha256": data.sha256, "held_out": data.held_out_ids.tolist()}
        run.write_json("data.json", noted)
    with threads_for(training.batch_size * config.draws * data.train.shape[1] * config.latent_dim):
        fit(Ascent(config, training, data.train), training, run)
