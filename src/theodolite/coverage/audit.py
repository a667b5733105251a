"""The audit: what of the real data a generator misses, with guarantees that hold whatever the classifier is."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import pairwise_distances_argmin

from theodolite.coverage.certificates import certify
from theodolite.coverage.config import CoverageConfig
from theodolite.coverage.curves import upper_curve
from theodolite.coverage.exhibits import coverage_exhibits, coverage_figures, coverage_sentences
from theodolite.coverage.folds import Folds
from theodolite.coverage.gap import some_of, train_gap
from theodolite.coverage.heldout import NORMAL_95, HeldOut, auc, fit_both, game_value
from theodolite.coverage.members import Scorer
from theodolite.coverage.missed import name_missed
from theodolite.coverage.plan import counts, fakes_to_draw, needed
from theodolite.coverage.result import CoverageResult, FromAbove, FromBelow
from theodolite.coverage.selfcheck import false_naming, smallest_named_share
from theodolite.data.arrays import (
    check_pair,
    check_samples,
    count_shared,
    fingerprint,
    load_function,
    load_samples,
    same_shape,
)
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.records import Audit, Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.theory.coverage import smallest_nameable_mass

Samples = NDArray[Any]
Generator = Callable[[int], Samples]
SEPARABLE = 0.999  # AUC above which the two are told apart by something that is hardly their content


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
        Independent samples of the generator, or ``count -> samples``, asked for as many as the audit needs.
    train : array (t, …) or None
        The train set T, for the gap between T and held-out reals.
    tau : float in (0, 1]
        A point is missed where p_θ ≤ τ·p_r.
    alpha : float in (0, 1)
        False discovery rate of the samples named missed.
    confidence : float in [0.5, 1)
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
    UsageError
        If a setting is out of range.
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
    config = CoverageConfig.build(tau=tau, alpha=alpha, confidence=confidence, seed=seed)
    real = check_samples(real, "the real samples")
    drawn = fake(fakes_to_draw(len(real), tau, alpha)) if callable(fake) else fake
    fake = check_samples(drawn, "the generated samples")
    if train is not None:
        train = check_samples(train, "the train set")
    return _measure(config, real, fake, train, discriminator)[1]


def _measure(
    config: CoverageConfig, real: Samples, fake: Samples, train: Samples | None, scorer: Scorer | None
) -> tuple[tuple[HeldOut, ...], CoverageResult]:
    """Measure everything; the held-out scores come back too, for the self-check."""
    tau, alpha, confidence = config.tau, config.alpha, config.confidence
    warnings = check_pair(real, fake)
    if train is not None:
        same_shape(real, train, "the train set")
        if shared := count_shared(real, train):
            warnings.append(
                f"{shared:,} of the real samples occur in the train set too; the guarantees hold for real samples that "
                "took no part in training: remove them."
            )
        train = some_of(train, config.seed)
    folds = Folds.draw(len(real), len(fake), config.seed)
    fits = fit_both(real, fake, folds, scorer, config.seed, train)
    missed, p_values = name_missed(fits, folds.reals, tau, alpha)
    on_real = np.zeros(len(real))
    for fit, half in zip(fits, folds.reals, strict=True):
        on_real[half] = expit(fit.real)
    missed_mass, total_variation = certify(fits, tau, confidence), certify(fits, 1.0, confidence)
    value, uncertainty = game_value(fits)
    ranked = auc(fits)
    if ranked > SEPARABLE:
        warnings.append(
            f"Real and generated samples are told apart almost perfectly (AUC {ranked:.4f}): look for rounding, "
            "scaling or file format before content, or compare in a feature space."
        )
    result = CoverageResult(
        tau=tau,
        alpha=alpha,
        confidence=confidence,
        seed=config.seed,
        reals=len(real),
        fakes=len(fake),
        missed=missed,
        p_values=p_values,
        discriminator=on_real,
        discriminator_fake=np.mean([expit(fit.fake) for fit in fits], axis=0),
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
        auc=ranked,
        smallest_nameable_mass=smallest_nameable_mass(folds.calibration.size, tau, alpha / len(fits)),
        needed=needed(len(real), tau, alpha, confidence),
        train_gap=None if train is None else train_gap(fits, train, real, fake, tau),
        warnings=tuple(warnings),
    )
    return fits, result


def nearest_fakes(real: Samples, fake: Samples) -> NDArray[np.intp]:
    """Index of the nearest fake of each real (Euclidean, in the samples' own units); memory stays small."""
    rows, others = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (real, fake))
    return np.asarray(pairwise_distances_argmin(rows, others))


def _complement(mass: FromBelow) -> FromAbove:
    return FromAbove(estimate=1 - mass.estimate, upper=1 - mass.lower, uncertainty=mass.uncertainty)


def audit(run: RunFolder) -> Audit:
    """Audit the samples that a run folder's settings name, and hold the instrument against its plan.

    Raises
    ------
    UsageError
        If the settings name no samples.
    DataError
        If samples cannot be read, or do not fit each other.
    """
    config = run.settings(CoverageConfig)
    if not config.real or not config.fake:
        raise UsageError(
            "an audit needs samples: give --real and --fake (files, folders of images, or module:function)"
        )
    real = check_samples(load_samples(config.real), f"the real samples ({config.real})")
    fake = check_samples(_load_fake(config), f"the generated samples ({config.fake})")
    scorer = load_function(config.discriminator) if config.discriminator else None
    train = check_samples(load_samples(config.train), f"the train set ({config.train})") if config.train else None
    fits, result = _measure(config, real, fake, train, scorer)
    run.write_record("coverage.json", result)
    run.write_json("data.json", {name: _origin(getattr(config, name)) for name in ("real", "fake", "train")})
    return Audit(
        family="coverage",
        title=f"{config.fake} against {config.real}",
        sentences=tuple(coverage_sentences(result)),
        figures=tuple(coverage_figures(result)),
        findings=compare(run.plan.predictions, _measurements(fits, result)),
        # what more samples would show is in the plan already
        exhibits=tuple(coverage_exhibits(result, real, fake, run)[:-1]),
        warnings=result.warnings,
    )


def _load_fake(config: CoverageConfig) -> Samples:
    if ":" not in config.fake:
        return load_samples(config.fake)
    count = counts(config)[1]
    given = load_function(config.fake)(count)
    try:
        drawn = np.asarray(given)
    except ValueError:
        raise DataError(f"{config.fake} gave samples of several shapes; all must have one") from None
    if not drawn.shape:
        raise DataError(f"{config.fake} gave a {type(given).__name__}; an array of {count:,} samples is needed")
    if len(drawn) != count:
        raise DataError(f"{config.fake} was asked for {count:,} samples and gave {len(drawn):,}")
    return drawn


def _origin(source: str) -> dict[str, str]:
    """Where samples came from, and their hash where they are files."""
    return {"path": source, "sha256": fingerprint(source) if source and ":" not in source else ""}


def _measurements(fits: tuple[HeldOut, ...], result: CoverageResult) -> list[Measurement]:
    level = result.alpha / len(fits)
    alarms, alarms_error = false_naming(fits, result.tau, level, result.seed)
    on_real, on_fake = result.discriminator, result.discriminator_fake
    sum_error = NORMAL_95 * float(np.sqrt(on_real.var() / on_real.size + on_fake.var() / on_fake.size))
    told = (
        (
            "smallest_nameable_mass",
            smallest_named_share(fits[0], result.tau, level, result.seed),
            "",
            0.0,
            "samples planted beyond all fakes, fewer and fewer, until the test no longer names them",
        ),
        (
            "false_naming",
            alarms,
            "",
            alarms_error,
            "400 random splits of the fakes: one part poses, the other calibrates",
        ),
        ("discriminator_sum", float(on_real.mean() + on_fake.mean()), "", sum_error, "D̂ on samples no fit saw"),
        ("game_value", result.game_value, "nats", result.game_value_uncertainty, "D̂ on samples no fit saw"),
    )
    return [
        Measurement(name=name, value=value, unit=unit, uncertainty=error, method=method)
        for name, value, unit, error, method in told
    ]
