"""What a trained linear VAE is, measured without the formulas that planned it: by sampling, by torch and by SVD.

Data come as blocks of centred rows, so that they need not fit in memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2, multivariate_normal, norm
from scipy.stats import t as student
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, kl_divergence

from theodolite.engine.export import load_weights
from theodolite.kernel.runs import RunFolder
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import Summary
from theodolite.linear_vae.train import build
from theodolite.theory.elbo import Weights

Matrix = NDArray[np.float64]

DRAWS = 64  # of z for every sample, and fewer where that were more than
MOST_DRAWN = 2**22  # draws in all
FEWEST_DRAWS = 16
SIMULATIONS = 20_000
ACTIVE_KL = 0.01  # nats: a direction of z that carries less than this has collapsed


@dataclass(frozen=True)
class TrainedVAE:
    """The trained matrices: U (d, k), W (k, d), the factor L (k, k) of Σ = L Lᵀ, δ = η_d² and ε = η_e²."""

    decoder: Matrix
    encoder: Matrix
    encoder_factor: Matrix
    noise_variance: float
    prior_variance: float

    @classmethod
    def load(cls, run: RunFolder, config: LinearVAEConfig, summary: Summary) -> "TrainedVAE":
        """Read the trained matrices from the run folder."""
        network = build(config, summary).double()
        load_weights(run, {"vae": network})
        with torch.no_grad():
            return cls(
                network.decoder.numpy(),
                network.encoder.numpy(),
                network.encoder_factor.numpy(),
                float(network.noise_variance),
                config.prior_scale**2,
            )

    def weights(self) -> Weights:
        """Return the matrices as theory takes them."""
        covariance = self.encoder_factor @ self.encoder_factor.T
        return Weights(self.decoder, self.encoder, covariance, self.noise_variance, self.prior_variance)

    def reconstruct(self, x: Matrix) -> Matrix:
        """Decode the mean code of each sample."""
        return np.asarray(x @ self.encoder.T @ self.decoder.T)

    def sampled_terms(self, blocks: Iterable[Matrix], count: int, seed: int) -> dict[str, Matrix]:
        """Estimate the three parts of the ELBO by draws of z from the encoder, each averaged over all samples.

        Parameters
        ----------
        blocks : iterable of (b, d) arrays
            The samples.
        count : int
            How many there are.
        seed : int
            Of the draws.

        Returns
        -------
        dict of str to (draws,) array
            ``"likelihood"``, log p(x|z); ``"prior"``, log p(z); ``"entropy"``, −log q(z|x). One value a draw.
        """
        k, draws = len(self.encoder), draws_of(count)
        standard = multivariate_normal(np.zeros(k))
        prior = multivariate_normal(np.zeros(k), self.prior_variance * np.eye(k))
        scale = np.sqrt(self.noise_variance)
        volume = np.linalg.slogdet(self.encoder_factor)[1]
        sums = np.zeros((draws, 3))
        for number, x in enumerate(blocks):
            random = np.random.default_rng([seed, number])
            mean = x @ self.encoder.T
            for row in sums:
                e = random.standard_normal((len(x), k))
                z = mean + e @ self.encoder_factor.T
                likelihood = np.asarray(norm.logpdf(x, z @ self.decoder.T, scale))
                row += (likelihood.sum(), np.sum(prior.logpdf(z)), np.sum(volume - standard.logpdf(e)))
        return dict(zip(("likelihood", "prior", "entropy"), sums.T / count, strict=True))

    def log_likelihood(self, blocks: Iterable[Matrix]) -> float:
        """Mean of log p(x) by torch's density of N(0, ε U Uᵀ + δ I), in nats per sample."""
        d = len(self.decoder)
        factor = np.sqrt(self.prior_variance) * self.decoder
        density = LowRankMultivariateNormal(
            torch.zeros(d).double(), torch.from_numpy(factor), torch.full((d,), self.noise_variance).double()
        )
        log_prob: Callable[[torch.Tensor], torch.Tensor] = density.log_prob
        return _mean(log_prob(torch.from_numpy(x)) for x in blocks)

    def mean_kl(self, blocks: Iterable[Matrix]) -> float:
        """Mean of KL(q(z|x) ‖ p(z)) by torch.distributions, in nats per sample."""
        k = len(self.encoder)
        prior = MultivariateNormal(torch.zeros(k).double(), self.prior_variance * torch.eye(k).double())
        factor = torch.from_numpy(self.encoder_factor)
        return _mean(
            kl_divergence(MultivariateNormal(torch.from_numpy(x @ self.encoder.T), scale_tril=factor), prior)
            for x in blocks
        )

    def kl_by_direction(self, blocks: Iterable[Matrix], count: int) -> Matrix:
        """KL to the prior along each principal direction of Σ, in nats per sample, decreasing; their sum is the KL."""
        widths, directions = np.linalg.eigh(self.encoder_factor @ self.encoder_factor.T / self.prior_variance)
        codes = sum(((x @ self.encoder.T @ directions) ** 2).sum(axis=0) for x in blocks)
        size = codes / count / self.prior_variance
        return np.asarray(np.sort((size + widths - 1 - np.log(widths)) / 2)[::-1])

    def posterior_coverage(self, seed: int) -> float:
        """Share of codes that the encoder's ellipsoid of probability 0.95 holds, where the model itself made x.

        z is drawn from the prior and x from the decoder, so z is a draw of the exact posterior of x.
        """
        random = np.random.default_rng([seed, SIMULATIONS])
        d, k = self.decoder.shape
        z = np.sqrt(self.prior_variance) * random.standard_normal((SIMULATIONS, k))
        # x only as the encoder sees it: W x = W U z + W noise
        noise = np.sqrt(self.noise_variance) * np.concatenate(
            [random.standard_normal((len(part), d)) @ self.encoder.T for part in np.array_split(z, max(1, d // 256))]
        )
        seen = z @ self.decoder.T @ self.encoder.T + noise
        whitened = np.linalg.solve(self.encoder_factor, (z - seen).T)
        return float(np.mean((whitened**2).sum(axis=0) < chi2.ppf(0.95, k)))

    def principal_columns(self) -> tuple[Matrix, Matrix]:
        """Decoder columns along the principal directions of z, (d, k), and the nats each direction can carry, (k,)."""
        vectors, singular, _ = np.linalg.svd(self.decoder, full_matrices=False)
        return vectors * singular * np.sqrt(self.prior_variance), _carried(
            singular, self.noise_variance, self.prior_variance
        )

    def active_dimensions(self) -> int:
        """Count the directions of z that reach the data with more than `ACTIVE_KL` nats: the rank of U, in effect."""
        return active(self.decoder, self.noise_variance, self.prior_variance)


def draws_of(count: int) -> int:
    """How many draws of z each of `count` samples gets."""
    return max(FEWEST_DRAWS, min(DRAWS, MOST_DRAWN // count))


def active(decoder: Matrix, noise_variance: float, prior_variance: float) -> int:
    """Count the directions of z that reach the data through a decoder (d, k) with more than `ACTIVE_KL` nats."""
    singular = np.asarray(np.linalg.svd(decoder, compute_uv=False), float)
    return int(np.sum(_carried(singular, noise_variance, prior_variance) > ACTIVE_KL))


def mean_and_uncertainty(draws: Matrix) -> tuple[float, float]:
    """Mean of independent draws (m,), and the half-width of its 95% interval."""
    wide = student.ppf(0.975, len(draws) - 1)
    return float(draws.mean()), float(wide * draws.std(ddof=1) / np.sqrt(len(draws)))


def _carried(singular: Matrix, noise_variance: float, prior_variance: float) -> Matrix:
    return np.asarray(np.log1p(prior_variance * singular**2 / noise_variance) / 2)


def _mean(parts: Iterable[torch.Tensor]) -> float:
    total, count = 0.0, 0
    for part in parts:
        total, count = total + float(part.sum()), count + len(part)
    return total / count
