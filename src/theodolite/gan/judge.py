"""What rejects candidates of a mixture: a discriminator of it, stopped early, calibrated on what it did not see."""

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from theodolite.engine.loop import fit
from theodolite.engine.sampling import normal, permutation, uniform
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Part, Step, Task
from theodolite.gan.blend import Blend, Judge
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Units
from theodolite.gan.model import NoisyDiscriminator, build_discriminator
from theodolite.gan.noise import least_noise

Floats = NDArray[np.float64]
STEPS, EVALUATIONS = 1500, 15
UNSEEN = 0.25  # of the train reals
FEWEST_UNSEEN = 30
LEAST_GAIN = 0.005  # nats a sample, below which the judge knows nothing worth rejecting for
LEAST_KEPT = 0.4  # of the candidates on average: of six, all are then rejected 1 time in 20
HIGHEST = 0.995  # quantile of r̂ above which candidates are not told apart
AT = 2**32 - 2  # the step whose draws serve the calibration


class Fitting(Task):
    """Logistic regression by a network: train reals against a mixture that stands still."""

    name = "judge"

    def __init__(
        self, config: GANConfig, training: GANTraining, units: Units, train: Floats, blend: Blend, device: torch.device
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            network = build_discriminator(config, units)
        self.units, self.blend, self.seed = units, blend, training.seed
        reals = torch.from_numpy(units.standardise(train)).float().to(device)
        order = permutation(training.seed, 0, len(reals)).to(device)
        unseen = max(FEWEST_UNSEEN, round(UNSEEN * len(reals)))
        self.unseen, self.reals = self._spread(reals[order[:unseen]]), reals[order[unseen:]]
        if isinstance(network, NoisyDiscriminator):  # it sees as much detail as so many samples show, and adds no noise
            network.inputs.least.fill_(math.log(least_noise(self.reals.cpu())))
        self.sample_count = len(self.reals)
        self.network = network  # as it is while the loop wraps the entry below
        self.networks = {"judge": network, "best": copy.deepcopy(network).requires_grad_(False)}
        self.rate = training.learning_rate
        self.optimizers = {"judge": torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=0.01)}
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        with torch.no_grad():
            ids = torch.arange(max(4 * unseen, 2000), device=device)
            self.unseen_fakes = blend(normal(self.seed, AT, ids, "judged", (blend.latent_dim,)))

    def step(self, at: Step) -> Mapping[str, float]:
        """Descend the cross-entropy at even odds once."""
        for group in self.optimizers["judge"].param_groups:
            group["lr"] = self.rate * half_cosine(at.number, at.total)
        self.optimizers["judge"].zero_grad()
        means = at.backward(self._losses)
        self.optimizers["judge"].step()
        return means

    def _losses(self, part: Part) -> Mapping[str, Tensor]:
        real = self.reals[part.ids]
        if self.units.grain:  # as the game spreads them
            real = real + (part.uniform("grain", real.shape[1]) - 0.5) * (self.units.grain / self.units.scale)
        with torch.no_grad():
            fake = self.blend(part.normal("latent", self.blend.latent_dim))
        scores = self.networks["judge"](torch.cat([real, fake]))
        return {"loss": _cross_entropy(*scores.chunk(2))}

    def _spread(self, real: Tensor) -> Tensor:
        """Spread samples on a grid over their cells, once and for all."""
        if not self.units.grain:
            return real
        ids = torch.arange(len(real), device=real.device)
        return real + (uniform(self.seed, AT, ids, "grain", real.shape[1:]) - 0.5) * (
            self.units.grain / self.units.scale
        )

    @torch.no_grad()
    def evaluate(self, number: int) -> dict[str, float]:
        """Keep the weights that do best on unseen samples."""
        del number
        losses = {name: float(_cross_entropy(*self._unseen_scores(name))) for name in self.networks}
        if losses["judge"] < losses["best"]:
            self.networks["best"].load_state_dict(self.network.state_dict())
        return {"unseen": min(losses.values())}

    def _unseen_scores(self, name: str) -> tuple[Tensor, Tensor]:
        return self.networks[name](self.unseen), self.networks[name](self.unseen_fakes)

    @torch.no_grad()
    def calibrated(self) -> Judge | None:
        """Return the judge, or None where it tells nothing on unseen samples."""
        real, fake = (scores.cpu().double().numpy() for scores in self._unseen_scores("best"))
        slope, offset, loss = calibrate(real, fake)
        if slope <= 0 or np.log(2) - loss < LEAST_GAIN:
            return None
        return Judge(self.networks["best"], slope, offset, ceiling(slope * fake + offset)).eval()


def _cross_entropy(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    return -(F.logsigmoid(real_scores).mean() + F.logsigmoid(-fake_scores).mean()) / 2


def calibrate(real_scores: Floats, fake_scores: Floats) -> tuple[float, float, float]:
    """Slope, offset and cross-entropy, in nats, of the log-odds slope·s + offset that fit best at even odds."""

    def loss(w: Floats) -> tuple[float, Floats]:
        real, fake = w[0] * real_scores + w[1], w[0] * fake_scores + w[1]
        value = (np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()) / 2
        on_real, on_fake = -1 / (1 + np.exp(real)), 1 / (1 + np.exp(-fake))
        slope = np.array(
            [
                (on_real * real_scores).mean() + (on_fake * fake_scores).mean(),
                on_real.mean() + on_fake.mean(),
            ]
        )
        return float(value), slope / 2

    with np.errstate(over="ignore"):
        found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(found.x[0]), float(found.x[1]), float(found.fun)


def ceiling(log_ratio: Floats) -> float:
    """Log c: as high as keeps `LEAST_KEPT` of the candidates, but no higher than nearly all of their ratios."""
    highest = float(np.quantile(log_ratio, HIGHEST))
    low, high = highest - 50.0, highest
    if kept(log_ratio, high) >= LEAST_KEPT:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(log_ratio, middle) >= LEAST_KEPT else (low, middle)
    return low


def kept(log_ratio: Floats, log_ceiling: float) -> float:
    """Mean probability of being kept, min(1, r̂/c)."""
    return float(np.exp(np.minimum(log_ratio - log_ceiling, 0.0)).mean())


def fit_judge(
    config: GANConfig, training: GANTraining, units: Units, train: Floats, blend: Blend, device: torch.device
) -> Judge | None:
    """Fit what rejects candidates of `blend`, or return None where unseen samples show that it would not help.

    Parameters
    ----------
    config : GANConfig
        Whose discriminator is taken: that of a further generator.
    training : GANTraining
        Whose seed and device are taken.
    units : Units
        Of the run.
    train : (n, *shape)
        Train reals.
    blend : Blend
        The mixture without rejection, in evaluation mode, on `device`.
    device : torch.device
        Where.
    """
    own = GANTraining.build(seed=training.seed, device=training.device, steps=STEPS, log_every=STEPS)
    task = Fitting(config, own, units, train, blend, device)
    fit(task, own)
    return task.calibrated()
