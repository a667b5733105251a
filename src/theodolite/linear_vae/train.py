"""Training of the linear VAE: one step of the reparametrised procedure, and what is fitted by which way."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from theodolite.engine.export import save_weights
from theodolite.engine.gather import gather_arrays, processes
from theodolite.engine.loop import fit
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import Dataset, Summary, load, summarise
from theodolite.linear_vae.model import LinearVAE
from theodolite.linear_vae.moments import Moments
from theodolite.linear_vae.solved import CLIMBS, greatest_elbo, solve
from theodolite.linear_vae.threads import threads_for
from theodolite.theory import elbo

EVALUATIONS = 50  # of the exact gap to the optimum, in a run

Read = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def build(config: LinearVAEConfig, summary: Summary) -> LinearVAE:
    """Build the network for these settings and data; its weights come from torch's generator."""
    return LinearVAE(
        len(summary.mean),
        config.latent_dim,
        data_scale=summary.scale,
        prior_scale=config.prior_scale,
        noise_variance=config.noise_variance,
    )


class Ascent(Task):
    """Climbs the ELBO by Adam on minibatches; ``evaluate`` measures the exact gap to the optimum over all samples.

    Parameters
    ----------
    config : LinearVAEConfig
        Of the model.
    training : TrainSettings
        Step size, seed, precision.
    summary : Summary
        Covariance of the samples trained on.
    read : function of ids (b,) that returns samples (b, d) of mean zero
        Where the samples come from.
    """

    name = "linear-vae"

    def __init__(self, config: LinearVAEConfig, training: TrainSettings, summary: Summary, read: Read) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            vae = build(config, summary)
        self.config, self.summary, self.read = config, summary, read
        self.learning_rate = training.learning_rate
        self.dtype = torch.float64 if training.precision == "64-true" else torch.float32
        self.sample_count = summary.count
        self.evaluate_every = max(1, training.steps // EVALUATIONS)
        self.networks: dict[str, nn.Module] = {"vae": vae}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "vae": torch.optim.Adam(vae.parameters(), lr=training.learning_rate)
        }
        self.vae = vae
        self.greatest = greatest_elbo(config, summary)
        self.passes: list[float] = []
        self.gaps: list[float] = []
        self._batches_a_pass = summary.count / min(training.batch_size, summary.count)

    def step(self, at: Step) -> Mapping[str, float]:
        """Move the network by one Adam step up the mean ELBO of the batch."""
        # half a cosine from the full step size to zero: the noise of the batches is averaged out towards the end
        for group in self.optimizers["vae"].param_groups:
            group["lr"] = self.learning_rate * half_cosine(at.number, at.total)
        self.optimizers["vae"].zero_grad()
        means = at.backward(self._losses)
        self.optimizers["vae"].step()
        return means

    def _losses(self, part: Part) -> Mapping[str, Tensor]:
        x = torch.from_numpy(self.read(part.ids.cpu().numpy())).to(part.device, self.dtype)
        return {"loss": -self.networks["vae"](x, self._noise(part, x.dtype)).mean()}

    def _noise(self, part: Part, dtype: torch.dtype) -> Tensor | None:
        """Draws of e, in pairs e, −e: what is odd in e leaves no noise in the gradient (Hammersley and Morton 1956)."""
        draws = self.config.draws
        if not draws:
            return None
        half = part.normal("encoder", (draws + 1) // 2, self.config.latent_dim).to(dtype)
        return torch.cat([half, -half], dim=1)[:, :draws]

    def evaluate(self, number: int) -> dict[str, float]:
        """Measure how far the exact ELBO over all training samples is below the greatest one, in nats per sample."""
        self.passes.append(number / self._batches_a_pass)
        self.gaps.append(self.greatest - elbo.elbo(self.summary.covariance, self.vae.weights()))
        return {"gap": self.gaps[-1]}


def train(config: LinearVAEConfig, training: LinearVAETraining, run: RunFolder) -> None:
    """Fit a linear VAE by the method of the settings: in steps to their end, or on from the run's checkpoint.

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
    summary = _summary(data, training)
    if config.method == "reparametrised":
        _ascend(config, training, data, summary, run)
    else:
        _solve(config, training, summary, run)
    if config.race and is_first_process():
        _race(config, training, data, summary, run)


def _summary(data: Dataset, training: LinearVAETraining) -> Summary:
    """Moments of the training rows: each process reads its share, and the shares merge exactly."""
    rank, count = processes()
    shares = gather_arrays(data.moments(rank, count).state(), training)
    moments = Moments.from_state(shares[0])
    for share in shares[1:]:
        moments.merge(Moments.from_state(share))
    return summarise(moments, data.name)


def _ascend(
    config: LinearVAEConfig, training: LinearVAETraining, data: Dataset, summary: Summary, run: RunFolder | None
) -> Ascent:
    """Take the steps of the reparametrised procedure, in a run folder or without one."""
    ids = data.train_ids
    task = Ascent(config, training, summary, lambda chosen: data.take(ids[chosen], summary.mean))
    with threads_for(training.batch_size * max(config.draws, 1) * len(summary.mean) * config.latent_dim):
        fit(task, training, run)
    return task


def _solve(config: LinearVAEConfig, training: LinearVAETraining, summary: Summary, run: RunFolder) -> None:
    """Fit by a way without steps, and leave in the run folder what the loop would."""
    if not is_first_process():
        return
    with run.lock():
        found = solve(config.method, config, summary, max_iter=training.steps, seed=training.seed)
        network = build(config, summary).double()
        network.assign(found.weights)
        run.keep_metrics_before(0)
        greatest = greatest_elbo(config, summary)
        for number, gap in enumerate(found.gaps):
            run.append_metrics({"step": number, "seconds": round(found.seconds, 3), "loss": gap - greatest, "gap": gap})
        save_weights(run, {"vae": network})
        described = {"device": "cpu", "precision": "64-true", "processes": processes()[1]}
        known = run.read_json("environment.json")
        run.write_json("environment.json", known | described | {"seconds": round(found.seconds, 3)})


def _race(
    config: LinearVAEConfig, training: LinearVAETraining, data: Dataset, summary: Summary, run: RunFolder
) -> None:
    """Let every other procedure run on the same data, and keep the course of each in ``race.json``."""
    courses = {}
    for method in ("closed-form", *CLIMBS):
        if method != config.method:
            found = solve(method, config, summary, max_iter=training.steps, seed=training.seed)
            # the closed form takes its one pass, and is there
            passes = range(len(found.gaps)) if method in CLIMBS else (1,)
            courses[method] = _course(passes, found.gaps, found.seconds)
    if config.method != "reparametrised" and processes()[1] == 1:
        began = time.monotonic()
        task = _ascend(config, training, data, summary, None)
        courses["reparametrised"] = _course(task.passes, task.gaps, time.monotonic() - began)
    run.write_json("race.json", courses)


def _course(passes: Iterable[float], gaps: Iterable[float], seconds: float) -> dict[str, Any]:
    return {"passes": list(passes), "gaps": [float(gap) for gap in gaps], "seconds": round(seconds, 4)}
