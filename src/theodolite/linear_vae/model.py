"""The linear variational auto-encoder, read top to bottom: encoder, decoder, and the bound it is trained on.

::

    prior    p(z)   = N(0, ε I)        ε = η_e², given
    encoder  q(z|x) = N(W x, Σ)        Σ = L Lᵀ, any covariance: L lower triangular with a positive diagonal
    decoder  p(x|z) = N(U z, δ I)      δ = η_d², learned or given
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from theodolite.theory.elbo import Weights

LOG_2PI = math.log(2 * math.pi)


class LinearVAE(nn.Module):
    """A linear VAE for data whose mean has been subtracted.

    The parameters are kept in units of the data's and of the prior's scale, so one step size suits data in any unit.

    Parameters
    ----------
    data_dim, latent_dim : int
        Dimensions d and k.
    data_scale : float
        Root of the mean variance of the data's features.
    prior_scale : float
        η_e, standard deviation of the prior.
    noise_variance : float or None
        δ, where it is given; learned, from the data's variance on, where it is None.
    """

    def __init__(
        self, data_dim: int, latent_dim: int, *, data_scale: float, prior_scale: float, noise_variance: float | None
    ) -> None:
        super().__init__()
        self.data_scale, self.prior_scale = data_scale, prior_scale
        self.unit_decoder = nn.Parameter(torch.randn(data_dim, latent_dim) / math.sqrt(data_dim))
        # zero, not random: what the data never show is never learned, and would stay random
        self.unit_encoder = nn.Parameter(torch.zeros(latent_dim, data_dim))
        # L below the diagonal, and the logarithm of its diagonal: at first the prior's
        self.unit_factor = nn.Parameter(torch.zeros(latent_dim, latent_dim))
        log_noise = 0.0 if noise_variance is None else math.log(noise_variance / data_scale**2)
        # a given δ stays what was given, whatever precision the matrices are in
        self.unit_log_noise = nn.Parameter(
            torch.tensor(log_noise, dtype=torch.float64), requires_grad=noise_variance is None
        )

    @property
    def decoder(self) -> Float[Tensor, "data latent"]:
        """U, from z to the mean of x."""
        return self.unit_decoder * (self.data_scale / self.prior_scale)

    @property
    def encoder(self) -> Float[Tensor, "latent data"]:
        """W, from x to the mean of z."""
        return self.unit_encoder * (self.prior_scale / self.data_scale)

    @property
    def encoder_factor(self) -> Float[Tensor, "latent latent"]:
        """L, the Cholesky factor of the encoder's covariance Σ."""
        below, diagonal = torch.tril(self.unit_factor, -1), torch.diagonal(self.unit_factor).exp()
        return self.prior_scale * (below + torch.diag(diagonal))

    @property
    def noise_variance(self) -> Float[Tensor, ""]:
        """δ, the decoder's variance."""
        return self.unit_log_noise.exp() * self.data_scale**2

    @torch.no_grad()
    def weights(self) -> Weights:
        """Return U, W, Σ, δ and ε as NumPy numbers."""
        U, W, L = (matrix.double().cpu().numpy() for matrix in (self.decoder, self.encoder, self.encoder_factor))
        return Weights(U, W, L @ L.T, float(self.noise_variance), self.prior_scale**2)

    @torch.no_grad()
    def assign(self, weights: Weights) -> None:
        """Take over U, W and Σ, and δ where it is learned; ε must be this model's."""
        L = torch.linalg.cholesky(torch.from_numpy(weights.encoder_covariance)) / self.prior_scale
        self.unit_decoder.copy_(torch.from_numpy(weights.decoder) * (self.prior_scale / self.data_scale))
        self.unit_encoder.copy_(torch.from_numpy(weights.encoder) * (self.data_scale / self.prior_scale))
        self.unit_factor.copy_(torch.tril(L, -1) + torch.diag(torch.diagonal(L).log()))
        if self.unit_log_noise.requires_grad:
            self.unit_log_noise.fill_(math.log(weights.noise_variance / self.data_scale**2))

    def forward(
        self, x: Float[Tensor, "batch data"], noise: Float[Tensor, "batch draw latent"] | None = None
    ) -> Float[Tensor, " batch"]:
        """ELBO of each sample in nats: estimated from standard normal draws, or exact where none are given."""
        return self.exact_elbo(x) if noise is None else self.estimated_elbo(x, noise)

    def exact_elbo(self, x: Float[Tensor, "batch data"]) -> Float[Tensor, " batch"]:
        """ELBO of each sample with z integrated out: E log p(x|z) − KL(q(z|x) ‖ p(z))."""
        U, W, L = self.decoder, self.encoder, self.encoder_factor
        delta, epsilon = self.noise_variance, self.prior_scale**2
        d, k = U.shape
        mean = x @ W.T
        # E‖x − U z‖² and E‖z‖² under the encoder
        error = (x - mean @ U.T).square().sum(-1) + (U @ L).square().sum()
        size = mean.square().sum(-1) + L.square().sum()
        log_determinant = 2 * torch.diagonal(L).log().sum()
        likelihood = -(d * (LOG_2PI + delta.log()) + error / delta) / 2
        divergence = (size / epsilon - k + k * math.log(epsilon) - log_determinant) / 2
        elbo: Tensor = likelihood - divergence
        return elbo

    def estimated_elbo(
        self, x: Float[Tensor, "batch data"], noise: Float[Tensor, "batch draw latent"]
    ) -> Float[Tensor, " batch"]:
        """ELBO of each sample, estimated with z = W x + L e for every draw e: log p(x|z) + log p(z) − log q(z|x).

        The gradient reaches W and L through z alone. What they contribute through log q itself has mean zero; without
        it the estimate's noise vanishes where q is the exact posterior (Roeder, Wu and Duvenaud 2017).
        """
        U, W, L = self.decoder, self.encoder, self.encoder_factor
        delta, epsilon = self.noise_variance, self.prior_scale**2
        d, k = U.shape
        mean = (x @ W.T).unsqueeze(1)
        z = mean + noise @ L.T
        likelihood = -(d * (LOG_2PI + delta.log()) + (x.unsqueeze(1) - z @ U.T).square().sum(-1) / delta) / 2
        prior = -(k * (LOG_2PI + math.log(epsilon)) + z.square().sum(-1) / epsilon) / 2
        # L⁻¹ (z − W x), with W and L held still
        L, mean = L.detach(), mean.detach()
        whitened = torch.linalg.solve_triangular(L, (z - mean).mT, upper=False)
        encoder = -(k * LOG_2PI + whitened.square().sum(-2)) / 2 - torch.diagonal(L).log().sum()
        elbo: Tensor = (likelihood + prior - encoder).mean(-1)
        return elbo
