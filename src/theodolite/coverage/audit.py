"""The audit: what of the real data a generator misses, with guarantees that hold whatever the classifier is."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import pairwise_distances_argmin, roc_auc_score

from theodolite.coverage.certificates import NORMAL_95, HeldOut, certify
from theodolite.coverage.curves import upper_curve
from theodolite.coverage.discriminator import fit_score
from theodolite.coverage.folds import Folds
from theodolite.coverage.members import Floats, Scorer
from theodolite.coverage.missed import name_missed
from theodolite.coverage.plan import fakes_to_draw, needed
from theodolite.coverage.result import CoverageResult, FromAbove, FromBelow
from theodolite.data.arrays import check_pair, check_samples
from theodolite.theory.coverage import smallest_nameable_mass
from theodolite.theory.density_ratio import game_value_of

Samples = NDArray[Any]
Generator = Callable[[int], Samples]


def audit_coverage(
    real: Samples,
    fake: Samples | Generator,
    *,
    train: Samples | None = None,
    tau: float = 0.1,
    alpha: float = 0.1,
    confidence: float = 0.95,
    discriminator: Scorer | None = None,
    seed: int = 0,
) -> CoverageResult:
    """Find what of the real data a generator misses.

    Parameters
    ----------
    real : array (n, …)
        Reals that took no part in training: the guarantees hold for these only.
    fake : array (m, …) or callable
        Independent samples of the generator, or ``count -> samples``, which is then asked for as many as the audit
        needs.
    train : array (t, …) or None
        The train set T, for the gap between T and held-out reals.
    tau : float in (0, 1]
        A point is missed where p_θ ≤ τ·p_r.
    alpha : float in (0, 1)
        False discovery rate of the samples named missed.
    confidence : float in (0, 1)
        Of each certificate on its own.
    discriminator : callable or None
        A discriminator from elsewhere, ``samples -> (samples,)``, such as the GAN's own: one more feature.
    seed : int
        Of the folds and the classifiers.

    Returns
    -------
    CoverageResult

    Raises
    ------
    DataError
        If samples are too few, not finite, or of different shapes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real = np.concatenate([rng.normal(0, 1, (900, 2)), rng.normal(9, 1, (100, 2))])
    >>> result = audit_coverage(real, rng.normal(0, 1, (5000, 2)))
    >>> bool(result.missed[900:].all()), bool(result.missed[:900].any())
    (True, False)
    """
    real = check_samples(real, "the real samples")
    if callable(fake):
        fake = fake(fakes_to_draw(len(real), tau, alpha))
    fake = check_samples(fake, "the generated samples")
    warnings = check_pair(real, fake)
    folds = Folds.draw(len(real), len(fake), seed)
    fits = _fit_both(real, fake, folds, discriminator, seed)
    missed, p_values = name_missed(fits, folds.reals, tau, alpha)
    on_real = np.zeros(len(real))
    for fit, half in zip(fits, folds.reals, strict=True):
        on_real[half] = expit(fit.real)
    on_fake = np.mean([expit(fit.fake) for fit in fits], axis=0)
    missed_mass, total_variation = certify(fits, tau, confidence), certify(fits, 1.0, confidence)
    value, uncertainty = _game_value(fits)
    return CoverageResult(
        tau=tau,
        alpha=alpha,
        confidence=confidence,
        seed=seed,
        reals=len(real),
        fakes=len(fake),
        missed=missed,
        p_values=p_values,
        discriminator=on_real,
        discriminator_fake=on_fake,
        calibration=folds.calibration,
        nearest=nearest_fakes(real, fake),
        missed_mass=missed_mass,
        total_variation=total_variation,
        coverage=_complement(missed_mass),
        overlap=_complement(total_variation),
        fidelity=_complement(certify(tuple(fit.mirrored() for fit in fits), tau, confidence)),
        curve=upper_curve(fits, confidence),
        game_value=value,
        game_value_uncertainty=uncertainty,
        auc=float(np.mean([_auc(fit.real, fit.fake) for fit in fits])),
        smallest_nameable_mass=smallest_nameable_mass(folds.calibration.size, tau, alpha / 2),
        needed=needed(len(real), tau, alpha, confidence),
        warnings=tuple(warnings),
    )


def _fit_both(real: Samples, fake: Samples, folds: Folds, scorer: Scorer | None, seed: int) -> tuple[HeldOut, ...]:
    """Fit on one half of the reals and score the other, both ways."""
    fits = []
    for tested, fitted in (folds.reals, folds.reals[::-1]):
        score = fit_score(real[fitted], fake[folds.training], scorer=scorer, seed=seed)
        fits.append(
            HeldOut(
                real=score.log_odds(real[tested]),
                fake=score.log_odds(fake[folds.calibration]),
                training_real=score.out_of_fold_real,
                training_fake=score.out_of_fold_fake,
            )
        )
    return tuple(fits)


def nearest_fakes(real: Samples, fake: Samples) -> NDArray[np.intp]:
    """Index of the nearest fake of each real (Euclidean, in the samples' own units); memory stays small."""
    return np.asarray(
        pairwise_distances_argmin(
            np.asarray(real, dtype=np.float64).reshape(len(real), -1),
            np.asarray(fake, dtype=np.float64).reshape(len(fake), -1),
        )
    )


def _complement(mass: FromBelow) -> FromAbove:
    return FromAbove(estimate=1 - mass.estimate, upper=1 - mass.lower, uncertainty=mass.uncertainty)


def _auc(real: Floats, fake: Floats) -> float:
    labels = np.concatenate([np.ones(real.size), np.zeros(fake.size)])
    return float(roc_auc_score(labels, np.concatenate([real, fake])))


def _game_value(fits: tuple[HeldOut, ...]) -> tuple[float, float]:
    """Held-out value of the game and the half-width of its 95% interval, in nats."""
    values = [game_value_of(expit(fit.real), expit(fit.fake)) for fit in fits]
    variances = [
        np.var(np.log(expit(fit.real))) / fit.real.size + np.var(np.log(expit(-fit.fake))) / fit.fake.size
        for fit in fits
    ]
    return float(np.mean(values)), NORMAL_95 * float(np.sqrt(np.sum(variances))) / len(fits)
