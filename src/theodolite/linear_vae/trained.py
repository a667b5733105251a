"""What a trained linear VAE is, measured without the formulas that planned it: by sampling, by SciPy and by SVD."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm
from torch.distributions import MultivariateNormal, kl_divergence

from theodolite.engine.export import load_weights
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import Dataset
from theodolite.linear_vae.train import build

Matrix = NDArray[np.float64]

DRAWS = 64  # of z for every sample
ACTIVE_KL = 0.01  # nats: a direction of z that carries less than this has collapsed
CONFIDENCE = 1.96  # standard errors on either side of a 95% interval


@dataclass(frozen=True)
class TrainedVAE:
    """The trained matrices: U (d, k), W (k, d), the factor L (k, k) of Σ = L Lᵀ, δ = η_d² and ε = η_e²."""

    decoder: Matrix
    encoder: Matrix
    encoder_factor: Matrix
    noise_variance: float
    prior_variance: float

    @classmethod
    def load(cls, run: RunFolder, config: LinearVAEConfig, data: Dataset) -> "TrainedVAE":
        """Read the trained matrices from the run folder."""
        network = build(config, data.train).double()
        load_weights(run, {"vae": network})
        with torch.no_grad():
            return cls(
                network.decoder.numpy(),
                network.encoder.numpy(),
                network.encoder_factor.numpy(),
                float(network.noise_variance),
                config.prior_scale**2,
            )

    def reconstruct(self, x: Matrix) -> Matrix:
        """Decode the mean code of each sample."""
        return np.asarray(x @ self.encoder.T @ self.decoder.T)

    def sampled_terms(self, x: Matrix, seed: int) -> dict[str, Matrix]:
        """Estimate the three parts of the ELBO by draws of z from the encoder, each averaged over all samples.

        Returns
        -------
        dict of str to (DRAWS,) array
            ``"likelihood"``, log p(x|z); ``"prior"``, log p(z); ``"entropy"``, −log q(z|x). One value a draw.
        """
        random = np.random.default_rng([seed, len(x)])
        k = len(self.encoder)
        mean = x @ self.encoder.T
        standard = multivariate_normal(np.zeros(k))
        prior = multivariate_normal(np.zeros(k), self.prior_variance * np.eye(k))
        scale = np.sqrt(self.noise_variance)
        volume = np.linalg.slogdet(self.encoder_factor)[1]
        rows = []
        for _ in range(DRAWS):
            e = random.standard_normal((len(x), k))
            z = mean + e @ self.encoder_factor.T
            likelihood = np.sum(norm.logpdf(x, z @ self.decoder.T, scale), axis=1)
            rows.append((likelihood.mean(), prior.logpdf(z).mean(), volume - standard.logpdf(e).mean()))
        return dict(zip(("likelihood", "prior", "entropy"), np.array(rows).T, strict=True))

    def log_likelihood(self, x: Matrix) -> float:
        """Mean of log p(x) by SciPy's density of N(0, ε U Uᵀ + δ I), in nats per sample."""
        covariance = self.prior_variance * self.decoder @ self.decoder.T + self.noise_variance * np.eye(x.shape[1])
        return float(np.mean(multivariate_normal(np.zeros(x.shape[1]), covariance).logpdf(x)))

    def mean_kl(self, x: Matrix) -> float:
        """Mean of KL(q(z|x) ‖ p(z)) by torch.distributions, in nats per sample."""
        k = len(self.encoder)
        encoder = MultivariateNormal(
            torch.from_numpy(x @ self.encoder.T), scale_tril=torch.from_numpy(self.encoder_factor)
        )
        prior = MultivariateNormal(torch.zeros(k).double(), self.prior_variance * torch.eye(k).double())
        return float(kl_divergence(encoder, prior).mean())

    def kl_by_direction(self, x: Matrix) -> Matrix:
        """KL to the prior along each principal direction of Σ, in nats per sample, decreasing; their sum is the KL."""
        widths, directions = np.linalg.eigh(self.encoder_factor @ self.encoder_factor.T / self.prior_variance)
        codes = x @ self.encoder.T @ directions
        size = (codes**2).mean(axis=0) / self.prior_variance
        return np.sort((size + widths - 1 - np.log(widths)) / 2)[::-1]

    def principal_columns(self) -> tuple[Matrix, Matrix]:
        """Decoder columns along the principal directions of z, (d, k), and the nats each direction can carry, (k,)."""
        vectors, singular, _ = np.linalg.svd(self.decoder, full_matrices=False)
        carried = np.log1p(self.prior_variance * singular**2 / self.noise_variance) / 2
        return vectors * singular * np.sqrt(self.prior_variance), carried

    def active_dimensions(self) -> int:
        """Count the directions of z that reach the data with more than `ACTIVE_KL` nats: the rank of U, in effect."""
        return int(np.sum(self.principal_columns()[1] > ACTIVE_KL))


def mean_and_uncertainty(draws: Matrix) -> tuple[float, float]:
    """Mean of independent draws (m,), and the half-width of its 95% interval."""
    return float(draws.mean()), float(CONFIDENCE * draws.std(ddof=1) / np.sqrt(len(draws)))
