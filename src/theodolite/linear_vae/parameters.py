"""What the parameters of the estimator may be, given the samples."""

from numbers import Integral, Real
from typing import Any

import numpy as np

METHODS = ("closed-form", "em", "px-em", "lbfgs", "adam", "reparametrised")


def check_parameters(model: Any, n: int, d: int) -> None:
    """Refuse parameters that `n` samples of `d` features leave no meaning, each with one line of what would do.

    Raises
    ------
    ValueError
        Naming the first such parameter.
    """
    k = model.n_components
    if k != "auto" and not _is_whole(k, 1, d):
        raise ValueError(f'n_components={k!r} must be "auto" or a whole number from 1 to n_features={d}')
    if model.noise != "learned" and not _is_positive(model.noise):
        raise ValueError(f'noise={model.noise!r} must be "learned" or a positive variance')
    if not _is_positive(model.prior_scale):
        raise ValueError(f"prior_scale={model.prior_scale!r} must be a positive number")
    if model.method not in METHODS:
        raise ValueError(f"method={model.method!r} must be one of {', '.join(METHODS)}")
    for name in ("max_iter", "batch_size"):
        value = getattr(model, name)
        if not _is_whole(value, 1):
            raise ValueError(f"{name}={value!r} must be a whole number from 1")
    if not _is_positive(model.tol):
        raise ValueError(f"tol={model.tol!r} must be a positive number of nats")
    if n < 2:
        raise ValueError(f"{n} sample is too few to fit; a variance needs 2 or more samples")
    if not _is_whole(model.ddof, 0, n - 1):
        raise ValueError(f"ddof={model.ddof!r} must be a whole number from 0 to n_samples − 1 = {n - 1}")
    if model.ddof and model.method == "reparametrised":
        raise ValueError(f"ddof={model.ddof!r} is not for method={model.method!r}, whose batches divide by their size")


def _is_whole(value: Any, lowest: int, highest: float = np.inf) -> bool:
    return isinstance(value, Integral) and lowest <= int(value) <= highest


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf
