"""Training of a GAN: the game of the question to the letter, the stable one, and what is fitted."""

import copy
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from theodolite.engine.loop import fit
from theodolite.engine.sampling import normal
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Losses, Part, Step, Task
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Dataset, high_quality_shares, load, record
from theodolite.gan.model import build_discriminator, build_generator
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder

BETAS = {"minimax": (0.5, 0.999), "relativistic": (0.0, 0.99)}  # of Adam: Radford et al. (2016); Huang et al. (2024)
EVALUATIONS = 30  # in a run
EVALUATED = 2000  # generated samples in each


def minimax_value(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """L = E log D(x) + E log(1 − D(G(z))) with D = sigmoid(score), in nats: maximised by D, minimised by G.

    Source: Goodfellow et al. (2014), eq. 1.
    """
    # log D = log sigmoid(s), log(1 − D) = log sigmoid(−s)
    return F.logsigmoid(real_scores).mean() + F.logsigmoid(-fake_scores).mean()


def relativistic_value(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E log sigmoid(D(x) − D(G(z))) over pairs, in nats: maximised by D, minimised by G; −log 2 where they agree.

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024), eq. 2, with f(t) = −log(1 + exp(−t)).
    """
    return F.logsigmoid(real_scores - fake_scores).mean()


def gradient_penalty(scores: Tensor, inputs: Tensor) -> Tensor:
    """E ‖∇ₓ D(x)‖², over the rows of `inputs`: R1 on real samples, R2 on generated ones.

    Source: Mescheder et al. (2018), eq. 9 and 10.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().sum(dim=1).mean()


class Game(Task):
    """Two players, one step each in turn, and a running average of G."""

    name = "gan"

    def __init__(self, config: GANConfig, training: GANTraining, data: Dataset) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            generator = build_generator(config, data.units)
            discriminator = build_discriminator(config, data.units)
        self.config, self.data, self.seed = config, data, training.seed
        self.reals = torch.from_numpy(data.units.standardise(data.train)).float()
        self.sample_count = len(self.reals)
        self.networks: dict[str, nn.Module] = {
            "generator": generator,
            "discriminator": discriminator,
            "average": copy.deepcopy(generator).requires_grad_(False),
        }
        # D may learn faster than G: two time-scales (Heusel et al. 2017)
        self.rates = {"generator": training.learning_rate, "discriminator": config.pace * training.learning_rate}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(self.networks[name].parameters(), lr=rate, betas=BETAS[config.objective])
            for name, rate in self.rates.items()
        }
        self.evaluate_every = max(1, training.steps // EVALUATIONS) if data.counted is not None else 0

    def step(self, at: Step) -> Mapping[str, float]:
        """Let D climb the value of the game once, then G descend it once."""

        @cache  # the same generated samples meet the D that has just learned from them
        def play(part: Part) -> tuple[Tensor, Tensor]:
            return self._reals(part), self.networks["generator"](part.normal("latent", self.config.latent_dim))

        def of_discriminator(part: Part) -> Mapping[str, Tensor]:
            real, fake = play(part)
            return self._discriminator_losses(real, fake.detach())

        def of_generator(part: Part) -> Mapping[str, Tensor]:
            return {"loss": self._value(*self.networks["discriminator"](torch.cat(play(part))).chunk(2))}

        means = self._descend(at, "discriminator", of_discriminator)
        generator_loss = self._descend(at, "generator", of_generator)["loss"]
        self._follow(at.number)
        return {**means, "generator_loss": generator_loss}

    def _value(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Value of the game that the settings name."""
        value = minimax_value if self.config.objective == "minimax" else relativistic_value
        return value(real_scores, fake_scores)

    def _discriminator_losses(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        inputs = torch.cat([real, fake])
        if self.config.objective == "minimax":
            scores = self.networks["discriminator"](inputs)
            return {"loss": -self._value(*scores.chunk(2)), "penalty": torch.zeros(())}
        inputs.requires_grad_(True)
        scores = self.networks["discriminator"](inputs)
        # the mean over reals and generated samples together is half of R1 + R2, and γ/2 (R1 + R2) is asked for
        penalty = self.config.gamma * gradient_penalty(scores, inputs)
        return {"loss": penalty - self._value(*scores.chunk(2)), "penalty": penalty}

    def _reals(self, at: Part) -> Tensor:
        """Real samples of this part; those on a grid are spread over their cells, as a smooth G could never hit it."""
        self.reals = self.reals.to(at.device)
        real = self.reals[at.ids]
        units = self.data.units
        if units.grain:
            real = real + (at.uniform("grain", real.shape[1]) - 0.5) * (units.grain / units.scale)
        return real

    def _descend(self, at: Step, name: str, losses: Losses) -> dict[str, float]:
        for group in self.optimizers[name].param_groups:
            group["lr"] = self.rates[name] * half_cosine(at.number, at.total)
        self.optimizers[name].zero_grad()
        means = at.backward(losses)
        self.optimizers[name].step()
        return means

    @torch.no_grad()
    def _follow(self, number: int) -> None:
        """Move the average towards G, faster in the first steps, when it is still made of the initial weights."""
        decay = min(self.config.average, (1 + number) / (10 + number))
        pairs = zip(self.networks["average"].parameters(), self.networks["generator"].parameters(), strict=True)
        for averaged, parameter in pairs:
            averaged.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def evaluate(self, number: int) -> dict[str, float]:
        """Count, where modes are known, those that the averaged generator makes and its share of good samples."""
        counted = self.data.counted
        if counted is None:
            return {}
        ids = torch.arange(EVALUATED, device=next(self.networks["average"].parameters()).device)
        latent = normal(self.seed, number, ids, "evaluate", (self.config.latent_dim,))
        samples = self.data.units.write(self.networks["average"](latent).cpu().numpy())
        shares = high_quality_shares(counted, samples)
        made = int((shares > self.config.tau * counted.weights).sum())
        return {"modes": float(made), "high_quality": float(shares.sum())}


def train(config: GANConfig, training: GANTraining, run: RunFolder) -> None:
    """Train a GAN to the end of its steps, or on from the run's checkpoint.

    Raises
    ------
    DataError, UsageError
        If the data cannot be used; see `dataset.load`.
    DivergedError
        If a loss stops being finite.
    """
    data = load(config)
    if is_first_process():
        record(run, config, data)
    fit(Game(config, training, data), training, run)
