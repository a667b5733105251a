"""The linear VAE as a scikit-learn estimator: data of any length, any shape, with gaps; torch only where asked for."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from theodolite.data.rows import Rows, open_rows
from theodolite.linear_vae import missing
from theodolite.linear_vae.fitting import Fit, Wish, fit_gaps, fit_moments, fit_rows
from theodolite.linear_vae.moments import Moments
from theodolite.linear_vae.parameters import check_parameters
from theodolite.linear_vae.selection import choose_components
from theodolite.theory import elbo as theory
from theodolite.theory import ppca

Matrix = NDArray[Any]
Source = ArrayLike | str | Path | Iterator[ArrayLike]

ACTIVE_SHARE = 0.02  # a latent dimension whose signal is less than this share of η_d² has collapsed: 0.01 nats
LEARNED = (
    "decoder_",
    "encoder_",
    "encoder_covariance_",
    "noise_variance_",
    "mean_",
    "explained_variance_",
    "n_active_",
    "n_iter_",
    "history_",
    "_prior_variance",  # what was fitted with: prior_scale may be set anew afterwards
)


class LinearVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Linear variational auto-encoder, fitted to the greatest ELBO.

    The model: z ~ N(0, η_e² I), x | z ~ N(U z + mean, η_d² I); the encoder q(z|x) = N(W (x − mean), Σ) with a full Σ.
    At the optimum it is probabilistic PCA, and the ELBO is the log-likelihood.

    Parameters
    ----------
    n_components : int or "auto", default=2
        Latent dimensions k, at most the number of features; ``"auto"`` for the fewest that predict held-out entries as
        well as any, to one standard error.
    noise : "learned" or float, default="learned"
        Variance η_d² of the decoder.
    prior_scale : float, default=1.0
        Standard deviation η_e of the prior.
    method : {"closed-form", "em", "px-em", "lbfgs", "adam", "reparametrised"}, default="closed-form"
        ``closed-form``: from the spectrum of the data, the global optimum. ``em`` and ``px-em`` (parameter-expanded),
        ``lbfgs`` and ``adam`` (analytic gradients) climb the ELBO from a random start, given the covariance alone.
        ``reparametrised``: Adam on draws of z, minibatch by minibatch; needs torch. Samples with missing entries
        are fitted by EM whatever the method.
    max_iter : int, default=200
        Passes over the data at most; ``reparametrised`` takes that many, its step size going to zero.
    tol : float, default=1e-2
        Stop when the ELBO is so near its known maximum, in nats per sample; with missing entries, when the likelihood
        is expected to rise by less.
    batch_size : int, default=128
        Samples a step, where reparametrised.
    ddof : int, default=0
        The covariance is divided by n − ddof. 0 is maximum likelihood, as always where entries are missing; 1 agrees
        with `sklearn.decomposition.PCA`.
    random_state : int, RandomState or None
        For `sample`, for random starts and for the folds of ``"auto"``.

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
        Passes over the data; 1 for the closed form.
    history_ : (n_iter_ + 1,) array
        How far the ELBO was below its maximum before and after each pass, in nats per sample; empty for the closed
        form, which is there after one. With missing entries: the log-likelihood of the observed ones.
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
        n_components: int | Literal["auto"] = 2,
        *,
        noise: Literal["learned"] | float = "learned",
        prior_scale: float = 1.0,
        method: Literal["closed-form", "em", "px-em", "lbfgs", "adam", "reparametrised"] = "closed-form",
        max_iter: int = 200,
        tol: float = 1e-2,
        batch_size: int = 128,
        ddof: int = 0,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.noise = noise
        self.prior_scale = prior_scale
        self.method = method
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.ddof = ddof
        self.random_state = random_state

    def fit(self, X: Source, y: Any = None) -> Self:
        """Fit to samples (n, n_features).

        Parameters
        ----------
        X : array, str, Path or iterator of arrays
            Samples; or the path of a ``.npy`` file or of a folder of them, read a block at a time; or blocks of
            samples (b, n_features), each seen once. NaN means missing.
        y : None
            Ignored.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or the data hold infinities, a feature without any value, do not vary,
            or are fewer than two samples.
        DataError
            If a file cannot be read.
        """
        self._forget(moments=True)
        if isinstance(X, Iterator):
            return self._fit_blocks(X)
        if isinstance(X, (str, Path)):
            rows = open_rows(X)
            self.__dict__.pop("feature_names_in_", None)
            self.n_features_in_ = rows.shape[1]
        else:
            # what is not finite is found on the way, not in a pass of its own
            rows = open_rows(self._validated(X, ensure_min_samples=2, ensure_all_finite=False))
        check_parameters(self, *rows.shape)
        wish = self._wish(self._latent_dim(rows))
        try:
            return self._keep(fit_rows(rows, wish))
        except ValueError:
            if not any(np.isnan(block).any() for block in rows.blocks()):
                raise
            samples = self._validated(rows.take(np.arange(rows.shape[0])), ensure_all_finite="allow-nan")
            return self._keep(fit_gaps(samples, wish))

    @available_if(lambda self: not self._needs_all_at_once)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Take more samples (n, n_features) in; the model is that of all samples so far, whatever their order.

        It costs one pass over these samples; what is learned is solved for when it is next asked for.

        Raises
        ------
        ValueError
            If an entry is missing or infinite, or the features differ from those before, or `fit` kept no moments
            (its samples were wide or incomplete).
        """
        begun = "_moments" in vars(self)
        if not begun and "mean_" in vars(self):
            raise ValueError(f"{self!r} keeps no moments of what fit has seen; begin with partial_fit, on a clone")
        samples = self._validated(X, reset=not begun, ensure_all_finite="allow-nan")
        if np.isnan(samples).any():
            raise ValueError("NaN: samples with missing entries are fitted all at once, by fit on an array or a file")
        if not begun:
            self._forget(moments=True)
            self._moments = Moments(samples.shape[1])
        self._moments.add(samples)
        self._forget()
        return self

    def merge(self, other: "LinearVAE") -> Self:
        """Take in what another estimator has seen: the model is then that of the samples of both.

        Raises
        ------
        ValueError
            If either keeps no moments to merge (it was fitted to wide or incomplete samples, or to none), or the
            features differ.
        """
        for estimator in (self, other):
            if not hasattr(estimator, "_moments"):
                raise ValueError(f"{estimator!r} keeps no moments to merge; fit both by partial_fit")
        if self.n_features_in_ != other.n_features_in_:
            raise ValueError(f"one has seen {self.n_features_in_} features, the other {other.n_features_in_}")
        ours, theirs = (getattr(estimator, "feature_names_in_", None) for estimator in (self, other))
        if ours is not None and theirs is not None and list(ours) != list(theirs):
            raise ValueError("the two have seen features of other names, or in another order")
        self._moments.merge(other._moments)
        self._forget()
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """Encode: the mean of q(z|x) for each sample, (n, n_components), in the precision of X.

        Where entries are missing: the mean of the posterior given the others.
        """
        samples = self._checked(X)
        means = missing.row_by_row(
            samples, self.mean_, self._weights, lambda centred: centred @ self.encoder_.T, missing.posterior_means
        )
        return means.astype(samples.dtype)

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

    def impute(self, X: ArrayLike) -> Matrix:
        """Fill what is missing with its mean given the rest of its sample, (n, n_features), in the precision of X."""
        samples = self._checked(X)
        filled = [missing.impute(block, self.mean_, self._weights) for block in missing.blocks_of(samples)]
        return np.concatenate(filled).astype(samples.dtype)

    def elbo(self, X: ArrayLike) -> NDArray[np.float64]:
        """Evidence lower bound of each sample, in nats, (n,).

        Where entries are missing the encoder is the posterior given the others, and the bound their log-likelihood.
        """
        return self._per_sample(X, lambda centred: theory.elbo_per_sample(centred, self._weights))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-likelihood of each sample's observed entries, in nats, (n,); never below `elbo`."""
        return self._per_sample(
            X,
            lambda centred: ppca.log_density(centred, self.decoder_, self.noise_variance_, self._prior_variance),
        )

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean log-likelihood, in nats per sample."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> NDArray[np.float64]:
        """Draw samples (n_samples, n_features) from the model: z from the prior, then x from the decoder."""
        check_is_fitted(self)
        random = check_random_state(self.random_state)
        z = np.sqrt(self._prior_variance) * random.standard_normal((n_samples, self._n_features_out))
        noise = np.sqrt(self.noise_variance_) * random.standard_normal((n_samples, len(self.mean_)))
        return np.asarray(z @ self.decoder_.T + self.mean_ + noise)

    def get_covariance(self) -> NDArray[np.float64]:
        """Covariance of x under the model, η_e² U Uᵀ + η_d² I, (n_features, n_features)."""
        check_is_fitted(self)
        noise = self.noise_variance_ * np.eye(len(self.mean_))
        return np.asarray(self._prior_variance * self.decoder_ @ self.decoder_.T + noise)

    def get_precision(self) -> NDArray[np.float64]:
        """Inverse of the covariance of x under the model, (n_features, n_features)."""
        check_is_fitted(self)
        # all d directions, none by subtraction from I: 1/η_d² would blow up what that rounds
        vectors, singular, _ = np.linalg.svd(self.decoder_, full_matrices=True)
        variances = np.full(len(self.mean_), self.noise_variance_)
        variances[: len(singular)] += self._prior_variance * singular**2
        return np.asarray((vectors / variances) @ vectors.T)

    def __getattr__(self, name: str) -> Any:
        """Solve for what is learned when it is first asked for after `partial_fit` or `merge`."""
        if name in LEARNED and "_moments" in vars(self):
            self._solve()
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "_moments" in vars(self) or "mean_" in vars(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _needs_all_at_once(self) -> bool:
        return self.n_components == "auto" or self.method == "reparametrised"

    @property
    def _n_features_out(self) -> int:
        return int(self.encoder_.shape[0])

    @property
    def _weights(self) -> theory.Weights:
        return theory.Weights(
            self.decoder_, self.encoder_, self.encoder_covariance_, self.noise_variance_, self._prior_variance
        )

    def _validated(self, X: Any, **options: Any) -> Matrix:
        if np.ma.is_masked(X):
            raise ValueError("X is masked, and masks are not heeded; missing entries are NaN: X.filled(np.nan)")
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], **options))

    def _checked(self, X: ArrayLike) -> Matrix:
        check_is_fitted(self)
        return self._validated(X, reset=False, ensure_all_finite="allow-nan")

    def _fit_blocks(self, blocks: Iterable[ArrayLike]) -> Self:
        """Fit to blocks of which each is seen once, in memory that does not grow with their number."""
        if self._needs_all_at_once:
            raise ValueError(
                f"n_components={self.n_components!r}, method={self.method!r} needs all samples at once, not an iterator"
            )
        for block in blocks:
            self.partial_fit(block)
        if not hasattr(self, "_moments"):
            raise ValueError("the iterator gave no blocks; there is nothing to fit")
        return self._solve()

    def _solve(self) -> Self:
        """Find what is learned from the moments of the samples so far."""
        check_parameters(self, self._moments.count, self._moments.features)
        return self._keep(fit_moments(self._moments, self._wish(int(self.n_components))))

    @property
    def _given_noise(self) -> float | None:
        return None if self.noise == "learned" else float(self.noise)

    def _wish(self, latent_dim: int) -> Wish:
        return Wish(
            latent_dim=latent_dim,
            noise_variance=self._given_noise,
            prior_scale=float(self.prior_scale),
            method=self.method,
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            batch_size=int(self.batch_size),
            ddof=int(self.ddof),
            seed=self._seed(),
        )

    def _latent_dim(self, rows: Rows) -> int:
        if self.n_components != "auto":
            return int(self.n_components)
        samples = rows.take(np.arange(rows.shape[0]))
        return int(choose_components(samples, noise_variance=self._given_noise, random_state=self._seed()).n_components)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _per_sample(self, X: ArrayLike, of_complete: Callable[[Matrix], Matrix]) -> NDArray[np.float64]:
        samples = self._checked(X)
        return missing.row_by_row(samples, self.mean_, self._weights, of_complete, missing.log_likelihood_observed)

    def _keep(self, fit: Fit) -> Self:
        self.mean_ = fit.mean
        self.decoder_, self.encoder_ = fit.weights.decoder, fit.weights.encoder
        self.encoder_covariance_ = fit.weights.encoder_covariance
        self.noise_variance_, self._prior_variance = fit.weights.noise_variance, fit.weights.prior_variance
        self.history_, self.n_iter_ = fit.history, max(1, len(fit.history) - 1)
        # of the model along its own axes: η_e² s² + η_d², s the singular values of U
        signal = self._prior_variance * np.linalg.svd(self.decoder_, compute_uv=False) ** 2
        self.explained_variance_ = signal + self.noise_variance_
        self.n_active_ = int(np.sum(signal > ACTIVE_SHARE * self.noise_variance_))
        if fit.moments is not None:
            self._moments = fit.moments
        return self

    def _forget(self, *, moments: bool = False) -> None:
        for name in (*LEARNED, *(["_moments"] if moments else [])):
            self.__dict__.pop(name, None)
