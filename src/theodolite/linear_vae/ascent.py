"""The training procedure of the linear VAE without a run folder: for arrays in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.engine.schedules import half_cosine
from theodolite.linear_vae.model import LinearVAE
from theodolite.theory.elbo import Weights

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
    """Train a linear VAE by Adam, its step size going to zero along half a cosine, as the `train` module does.

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
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        scale = float(np.sqrt(np.mean(samples**2)))
        vae = LinearVAE(
            samples.shape[1], latent_dim, data_scale=scale, prior_scale=prior_scale, noise_variance=noise_variance
        ).double()
    x, batch = torch.from_numpy(samples), min(batch_size, len(samples))
    optimizer = torch.optim.Adam(vae.parameters(), lr=learning_rate)
    order = torch.empty(0, dtype=torch.int64)
    with threads_for(batch * max(draws, 1) * vae.decoder.numel()):
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * half_cosine(step, steps)
            if len(order) < batch:
                order = torch.randperm(len(x), generator=generator)
            ids, order = order[:batch], order[batch:]
            noise = torch.randn(batch, draws, latent_dim, generator=generator, dtype=x.dtype) if draws else None
            optimizer.zero_grad()
            loss = -vae(x[ids], noise).mean()
            loss.backward()
            optimizer.step()
    return _weights(vae)


@torch.no_grad()
def _weights(vae: LinearVAE) -> Weights:
    L = vae.encoder_factor.numpy()
    return Weights(vae.decoder.numpy(), vae.encoder.numpy(), L @ L.T, float(vae.noise_variance), vae.prior_scale**2)
