"""The reparametrised procedure without a run folder: for arrays in memory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.engine.loop import fit
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import Summary
from theodolite.linear_vae.threads import threads_for
from theodolite.linear_vae.train import Ascent, Read
from theodolite.theory.elbo import Weights


class Ascended(NamedTuple):
    """What was trained, and its gap to the greatest ELBO at the start and after each pass, in nats per sample."""

    weights: Weights
    gaps: NDArray[np.float64]


def ascend(
    read: Read,
    summary: Summary,
    latent_dim: int,
    *,
    noise_variance: float | None,
    prior_scale: float,
    passes: int,
    batch_size: int,
    seed: int,
) -> Ascended:
    """Train a linear VAE by the reparametrised procedure, as the `train` module does.

    Parameters
    ----------
    read : function of ids (b,) that returns samples (b, d) of mean zero
        Where the samples come from.
    summary : Summary
        Count, mean and covariance of all of them.
    latent_dim : int
        k.
    noise_variance : float or None
        η_d²; None to learn it.
    prior_scale : float
        η_e.
    passes : int
        Over the data.
    batch_size, seed : int
        Samples a step; of weights, batches and draws.
    """
    config = LinearVAEConfig.build(latent_dim=latent_dim, noise_variance=noise_variance, prior_scale=prior_scale)
    batch = min(batch_size, summary.count)
    each = summary.count // batch
    training = LinearVAETraining.build(steps=passes * each, batch_size=batch, seed=seed, device="cpu")
    task = Ascent(config, training, summary, read)
    task.evaluate_every = each
    task.evaluate(0)
    with threads_for(batch * config.draws * task.vae.decoder.numel()):
        fit(task, training, None)
    return Ascended(task.vae.weights(), np.array(task.gaps))
