"""The training procedure of the linear VAE without a run folder: for arrays in memory."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.engine.loop import fit
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.model import LinearVAE
from theodolite.linear_vae.train import Ascent, threads_for
from theodolite.theory.elbo import Weights


def ascend(
    samples: NDArray[np.float64],
    latent_dim: int,
    *,
    noise_variance: float | None,
    prior_scale: float,
    draws: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Weights:
    """Train a linear VAE by Adam, its step size going to zero along half a cosine, in the loop of the `train` module.

    Parameters
    ----------
    samples : (n, d) array
        Data of mean zero.
    latent_dim : int
        k.
    noise_variance : float or None
        η_d²; None to learn it.
    prior_scale : float
        η_e.
    draws : int
        Draws of z a sample and step; 0 to integrate z out.
    steps, batch_size, learning_rate, seed
        Of the training.

    Returns
    -------
    Weights
        What was trained.
    """
    config = LinearVAEConfig(
        latent_dim=latent_dim,
        noise_variance=noise_variance,
        prior_scale=prior_scale,
        method="reparametrised" if draws else "analytic",
        draws=max(draws, 1),
        race=False,
    )
    training = LinearVAETraining(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device="cpu", precision="64-true"
    )
    task = Ascent(config, training, samples)
    task.evaluate_every = 0  # a gap costs a pass over the data
    with threads_for(min(batch_size, len(samples)) * max(draws, 1) * samples.shape[1] * latent_dim):
        fit(task, training)
    return _weights(cast(LinearVAE, task.networks["vae"]))


@torch.no_grad()
def _weights(vae: LinearVAE) -> Weights:
    L = vae.encoder_factor.numpy()
    return Weights(vae.decoder.numpy(), vae.encoder.numpy(), L @ L.T, float(vae.noise_variance), vae.prior_scale**2)
