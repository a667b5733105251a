"""The linear VAE as a scikit-learn estimator; its closed form needs NumPy alone."""

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from theodolite.theory import elbo as theory
from theodolite.theory import ppca
from theodolite.theory.gaussian import log_density

Matrix = NDArray[Any]

METHODS = ("closed-form", "analytic", "reparametrised")
ACTIVE_SHARE = 0.02  # a latent dimension whose signal is less than this share of η_d² has collapsed: 0.01 nats
DRAWS = 8  # of z a sample and step, where reparametrised


class LinearVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Linear variational auto-encoder, fitted to the greatest ELBO.

    The model: z ~ N(0, η_e² I), x | z ~ N(U z + mean, η_d² I); the encoder q(z|x) = N(W (x − mean), Σ) with a full Σ.
    At the optimum it is probabilistic PCA, and the ELBO is the log-likelihood.

    Parameters
    ----------
    n_components : int, default=2
        Latent dimensions k, at most the number of features.
    noise : "learned" or float, default="learned"
        Variance η_d² of the decoder.
    prior_scale : float, default=1.0
        Standard deviation η_e of the prior.
    method : {"closed-form", "analytic", "reparametrised"}, default="closed-form"
        ``closed-form``: from the spectrum of the data, the global optimum. The others train by Adam: on the ELBO with z
        integrated out, or on draws of z; they need torch.
    max_iter : int, default=1000
        Adam steps, where trained.
    batch_size : int, default=128
        Samples a step, where trained.
    learning_rate : float, default=0.02
        First step size of Adam, where trained.
    ddof : int, default=0
        The covariance is divided by n − ddof. 0 is maximum likelihood; 1 agrees with `sklearn.decomposition.PCA`.
    random_state : int, RandomState or None
        For `sample` and for training.

    Attributes
    ----------
    encoder_ : (n_components, n_features) array
        W.
    encoder_covariance_ : (n_components, n_components) array
        Σ.
    decoder_ : (n_features, n_components) array
        U.
    noise_variance_ : float
        η_d²; at least 1e-8 of the mean variance, where it is learned.
    mean_ : (n_features,) array
        Mean of the training data.
    explained_variance_ : (n_components,) array
        Variance of the model along each principal direction of z: the eigenvalue λ_j, or η_d² where collapsed.
    n_active_ : int
        Latent dimensions that have not collapsed.
    n_iter_ : int
        Steps taken; 1 for the closed form.
    n_features_in_ : int
        Features seen in `fit`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> model = LinearVAE(n_components=2).fit(load_iris().data)
    >>> model.transform(load_iris().data).shape
    (150, 2)
    >>> bool(abs(model.elbo(load_iris().data).mean() - model.score(load_iris().data)) < 1e-9)
    True
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        noise: Literal["learned"] | float = "learned",
        prior_scale: float = 1.0,
        method: Literal["closed-form", "analytic", "reparametrised"] = "closed-form",
        max_iter: int = 1000,
        batch_size: int = 128,
        learning_rate: float = 0.02,
        ddof: int = 0,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.noise = noise
        self.prior_scale = prior_scale
        self.method = method
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.ddof = ddof
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Fit to samples (n, n_features).

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the data hold anything but finite numbers, do not vary, or are fewer
            than two samples.
        """
        samples: Matrix = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        self._check_parameters(*samples.shape)
        data = ppca.spectrum(samples, ddof=self.ddof)
        if not data.eigenvalues[0] > 0:
            raise ValueError(f"the {len(samples)} samples are all equal; there is nothing to model")
        learned = self.noise == "learned"
        noise = ppca.learned_noise_variance(data.eigenvalues, self.n_components) if learned else float(self.noise)
        if self.method == "closed-form":
            weights = ppca.optimum(data, self.n_components, noise, self.prior_scale**2)
            self.n_iter_ = 1
        else:
            # torch is loaded here, so that the closed form can do without it
            from theodolite.linear_vae.ascent import ascend

            seed = check_random_state(self.random_state).randint(2**31 - 1)
            weights = ascend(
                np.asarray(samples, np.float64) - data.mean,
                self.n_components,
                noise_variance=None if learned else noise,
                prior_scale=self.prior_scale,
                draws=DRAWS if self.method == "reparametrised" else 0,
                steps=self.max_iter,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                seed=int(seed),
            )
            self.n_iter_ = self.max_iter
        self._keep(weights, data.mean)
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """Encode: the mean of q(z|x) for each sample, (n, n_components), in the precision of X."""
        samples = self._checked(X)
        return np.asarray((samples - self.mean_) @ self.encoder_.T, dtype=samples.dtype)

    def inverse_transform(self, Z: ArrayLike) -> Matrix:
        """Decode: the mean of p(x|z) for each code (n, n_components), (n, n_features), in the precision of Z.

        Raises
        ------
        ValueError
            If the codes have another width than `n_components`.
        """
        check_is_fitted(self)
        codes: Matrix = check_array(Z, dtype=[np.float64, np.float32])
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"codes have {codes.shape[1]} columns, but n_components={self._n_features_out}")
        return np.asarray(codes @ self.decoder_.T + self.mean_, dtype=codes.dtype)

    def elbo(self, X: ArrayLike) -> NDArray[np.float64]:
        """Evidence lower bound of each sample, in nats, (n,)."""
        return theory.elbo_per_sample(self._checked(X) - self.mean_, self._weights)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-likelihood of each sample under the model, in nats, (n,); never below `elbo`."""
        return log_density(self._checked(X), self.mean_, self.get_covariance())

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean log-likelihood, in nats per sample."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> NDArray[np.float64]:
        """Draw samples (n_samples, n_features) from the model: z from the prior, then x from the decoder."""
        check_is_fitted(self)
        random = check_random_state(self.random_state)
        z = self.prior_scale * random.standard_normal((n_samples, self._n_features_out))
        noise = np.sqrt(self.noise_variance_) * random.standard_normal((n_samples, len(self.mean_)))
        return np.asarray(z @ self.decoder_.T + self.mean_ + noise)

    def get_covariance(self) -> NDArray[np.float64]:
        """Covariance of x under the model, η_e² U Uᵀ + η_d² I, (n_features, n_features)."""
        check_is_fitted(self)
        noise = self.noise_variance_ * np.eye(len(self.mean_))
        return np.asarray(self.prior_scale**2 * self.decoder_ @ self.decoder_.T + noise)

    def get_precision(self) -> NDArray[np.float64]:
        """Inverse of the covariance of x under the model, (n_features, n_features)."""
        return np.asarray(np.linalg.inv(self.get_covariance()))

    @property
    def _n_features_out(self) -> int:
        return int(self.encoder_.shape[0])

    @property
    def _weights(self) -> theory.Weights:
        return theory.Weights(
            self.decoder_, self.encoder_, self.encoder_covariance_, self.noise_variance_, self.prior_scale**2
        )

    def _checked(self, X: ArrayLike) -> Matrix:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    def _check_parameters(self, n: int, d: int) -> None:
        k = self.n_components
        if not isinstance(k, Integral) or not 1 <= k <= d:
            raise ValueError(f"n_components={k!r} must be a whole number from 1 to n_features={d}")
        if self.noise != "learned" and not _is_positive(self.noise):
            raise ValueError(f'noise={self.noise!r} must be "learned" or a positive variance')
        if not _is_positive(self.prior_scale):
            raise ValueError(f"prior_scale={self.prior_scale!r} must be a positive number")
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r} must be one of {', '.join(METHODS)}")
        if not isinstance(self.ddof, Integral) or not 0 <= self.ddof < n:
            raise ValueError(f"ddof={self.ddof!r} must be a whole number from 0 to n_samples − 1 = {n - 1}")
        if self.ddof and self.method != "closed-form":
            raise ValueError(f"ddof={self.ddof!r} is for the closed form; method={self.method!r} divides by n_samples")

    def _keep(self, weights: theory.Weights, mean: NDArray[np.float64]) -> None:
        self.mean_ = mean
        self.decoder_, self.encoder_, self.encoder_covariance_ = (
            weights.decoder,
            weights.encoder,
            weights.encoder_covariance,
        )
        self.noise_variance_ = weights.noise_variance
        # of the model along its own axes: η_e² s² + η_d², s the singular values of U
        signal = self.prior_scale**2 * np.linalg.svd(self.decoder_, compute_uv=False) ** 2
        self.explained_variance_ = signal + self.noise_variance_
        self.n_active_ = int(np.sum(signal > ACTIVE_SHARE * self.noise_variance_))


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf
