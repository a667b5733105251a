"""Training of a GAN: the game of the question to the letter, its usual variant, the stable one, and what is fitted."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from theodolite.engine.loop import fit
from theodolite.engine.sampling import normal
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Losses, Part, Step, Task
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.course import GENERATED, keep, note
from theodolite.gan.dataset import Dataset, load, record
from theodolite.gan.model import NoisyDiscriminator, build_discriminator, build_generator
from theodolite.gan.noise import GREATEST, least_noise, lowest_level
from theodolite.gan.sizes import architecture, steps_between_penalties
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder

BETAS = {"relativistic": (0.0, 0.99)}  # of Adam: Huang et al. (2024)
PLAIN_BETAS = (0.5, 0.999)  # of the games without penalties: Radford et al. (2016)
# weight of the penalties, and step size of D as a multiple of that of G, where the settings leave them open
PENALTIES = {"under noise": 0.1, "fully-connected": 0.3, "convolutional": 5.0}
PACES = {"under noise": 4.0, "fully-connected": 1.0, "convolutional": 1.0}
EVALUATIONS = 30  # in a run


def minimax_value(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """L = E log D(x) + E log(1 − D(G(z))) with D = sigmoid(score), in nats: maximised by D, minimised by G.

    Source: Goodfellow et al. (2014), eq. 1.
    """
    # log D = log sigmoid(s), log(1 − D) = log sigmoid(−s)
    return F.logsigmoid(real_scores).mean() + F.logsigmoid(-fake_scores).mean()


def relativistic_value(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E log sigmoid(D(x) − D(G(z))) over pairs, in nats: maximised by D; −log 2 where the samples agree.

    Source: Jolicoeur-Martineau (2019); Huang et al. (2024), eq. 2, with f(t) = −log(1 + exp(−t)).
    """
    return F.logsigmoid(real_scores - fake_scores).mean()


@dataclass(frozen=True)
class Met:
    """What D is shown of some samples: real ones and generated ones, of as much noise where there is any.

    Attributes
    ----------
    real, fake : (count, features) tensor
        With the noise on them.
    level : (count, 1) tensor or None
        Log of the noise's standard deviation on a real sample and on the generated one beside it.
    """

    real: Tensor
    fake: Tensor
    level: Tensor | None

    @property
    def both(self) -> tuple[Tensor, Tensor | None]:
        """Real samples, then generated ones, and the level of the noise on each."""
        levels = None if self.level is None else torch.cat([self.level, self.level])
        return torch.cat([self.real, self.fake]), levels

    def detached(self) -> "Met":
        """Return the same, from which no gradient reaches G."""
        return Met(self.real, self.fake.detach(), self.level)


class Game(Task):
    """Two players, one step each in turn, and a running average of G."""

    name = "gan"

    def __init__(self, config: GANConfig, training: GANTraining, data: Dataset, run: RunFolder | None = None) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            generator = build_generator(config, data.units)
            discriminator = build_discriminator(config, data.units)
        self.config, self.data, self.seed, self.run = config, data, training.seed, run
        self.reals = torch.from_numpy(data.units.standardise(data.train)).float()
        self.sample_count = len(self.reals)
        self.least_noise: float | None = None
        of = architecture(config, data.units.shape)
        kind: str = of.kind
        self.penalise_every = steps_between_penalties(config, of)
        if isinstance(discriminator, NoisyDiscriminator):
            self.least_noise = least_noise(self.reals)
            discriminator.inputs.least.fill_(math.log(self.least_noise))
            kind = "under noise"
        self.penalty = PENALTIES[kind] if config.penalty is None else config.penalty
        self.networks: dict[str, nn.Module] = {
            "generator": generator,
            "discriminator": discriminator,
            "average": copy.deepcopy(generator).requires_grad_(False),
        }
        self.judge = discriminator  # the same one, as what wraps it for several processes does not know it
        # D may learn faster than G: two time-scales (Heusel et al. 2017)
        rate = training.learning_rate
        self.rates = {"generator": rate, "discriminator": rate * (config.pace or PACES[kind])}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                self.networks[name].parameters(),
                lr=rate,
                betas=BETAS.get(config.objective, PLAIN_BETAS),
                fused=True,
            )
            for name, rate in self.rates.items()
        }
        self.evaluate_every = max(1, training.steps // EVALUATIONS)

    def step(self, at: Step) -> Mapping[str, float]:
        """Let D climb the value of the game once, then G descend it once."""

        @cache  # the same generated samples meet the D that has just learned from them
        def meet(part: Part) -> Met:
            return self._meet(part)

        def of_discriminator(part: Part) -> Mapping[str, Tensor]:
            return self._discriminator_losses(meet(part).detached(), self._penalty_at(part.number))

        means = self._descend(at, "discriminator", of_discriminator)
        generator_loss = self._descend(at, "generator", lambda part: self._generator_losses(meet(part)))["value"]
        self._follow(at.number)
        return {**means, "generator_loss": generator_loss}

    def _meet(self, at: Part) -> Met:
        """Draw what D is shown of this part; under noise of every level, from the least one so far to the greatest."""
        real, fake = self._reals(at), self.networks["generator"](at.normal("latent", self.config.latent_dim))
        if self.least_noise is None:
            return Met(real, fake, None)
        highest, lowest = math.log(GREATEST), lowest_level(at.number / at.total, self.least_noise)
        level = lowest + (highest - lowest) * at.uniform("level", 1)
        noise = torch.exp(level) * at.normal("noise", 2 * real.shape[1])
        on_real, on_fake = noise.chunk(2, dim=1)
        return Met(real + on_real, fake + on_fake, level)

    def _penalty_at(self, number: int) -> float:
        """Weight γ of the penalties at a step: at some steps nothing, at others as much more (Karras et al. 2020)."""
        every = self.penalise_every
        return 0.0 if every is None or number % every else every * self.penalty

    def _discriminator_losses(self, met: Met, gamma: float) -> Mapping[str, Tensor]:
        inputs, levels = met.both
        value = relativistic_value if self.config.objective == "relativistic" else minimax_value
        if not gamma:
            scores = self.networks["discriminator"](inputs, levels)
            return {"loss": -value(*scores.chunk(2)), "penalty": torch.zeros(())}
        scores, slopes = self.networks["discriminator"](inputs, levels, sloped=True).unbind(1)
        if levels is not None:
            # D changes over lengths that grow with the noise: so do the lengths over which its slope is weighed
            slopes = torch.exp(2 * levels[:, 0]) * slopes
        # the mean over reals and generated samples together is half of R1 + R2, and γ/2 (R1 + R2) is asked for
        penalty = gamma * slopes.mean()
        return {"loss": penalty - value(*scores.chunk(2)), "penalty": penalty}

    def _scores_to_pass(self, inputs: Tensor, levels: Tensor | None) -> Tensor:
        """Scores of a D that stands still: nothing is computed for its weights, nor for samples that are real."""
        weights = {name: weight.detach() for name, weight in self.judge.named_parameters()}
        with self.autocast():
            scores: Tensor = functional_call(self.judge, weights, (inputs, levels))
        return scores.float()

    def _generator_losses(self, met: Met) -> Mapping[str, Tensor]:
        real_scores, fake_scores = (self._scores_to_pass(samples, met.level) for samples in (met.real, met.fake))
        if self.config.objective == "minimax":
            value = minimax_value(real_scores, fake_scores)
            return {"loss": value, "value": value}
        # the cost of not passing for real, alone or beside a real sample: D shows the way even where it is sure
        others = real_scores if self.config.objective == "relativistic" else torch.zeros_like(fake_scores)
        each = -F.logsigmoid(fake_scores - others)
        # steps towards the balance of far parts, which much noise tells, must not drown in those within a part
        weights = torch.ones_like(each) if met.level is None else torch.exp(met.level[:, 0] / 2)
        return {"loss": (weights * each).mean(), "value": each.mean()}

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
        """Measure what the averaged generator makes of the same z each time, and keep it for the report."""
        ids = torch.arange(GENERATED, device=next(self.networks["average"].parameters()).device)
        latent = normal(self.seed, 0, ids, "evaluate", (self.config.latent_dim,))
        samples = self.data.units.write(self.networks["average"](latent).cpu().numpy())
        if self.run is not None and is_first_process():
            keep(self.run, self.data, number, samples)
        return note(self.data, samples, self.config.tau)


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
    fit(Game(config, training, data, run), training, run)
