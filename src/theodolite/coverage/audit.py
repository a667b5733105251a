"""The audit: what of the real data a generator misses, with guarantees that hold whatever the classifier is."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from theodolite.coverage.beside import beside, peers_of
from theodolite.coverage.calibration import calibrate
from theodolite.coverage.certificates import certify
from theodolite.coverage.config import CoverageConfig
from theodolite.coverage.curves import upper_curve
from theodolite.coverage.exhibits import coverage_exhibits
from theodolite.coverage.features import Embedded, Given, embed
from theodolite.coverage.folds import Folds
from theodolite.coverage.gap import some_of, train_gap
from theodolite.coverage.given import memorised
from theodolite.coverage.groups import check_groups, find_groups
from theodolite.coverage.heldout import HeldOut, auc, fit_both, game_value
from theodolite.coverage.landscape import grid_axes, grid_points
from theodolite.coverage.listing import missed_csv
from theodolite.coverage.members import Floats, Scorer
from theodolite.coverage.missed import name_missed
from theodolite.coverage.nearest import nearest
from theodolite.coverage.plan import fakes_to_draw, needed
from theodolite.coverage.planning import smallest_nameable
from theodolite.coverage.result import CoverageResult, FromAbove, FromBelow, Landscape
from theodolite.coverage.selfcheck import false_naming, smallest_named_share
from theodolite.coverage.sources import Sources, origin, read_sources
from theodolite.coverage.stages import Tell, silent, told_on_stderr
from theodolite.coverage.sweep import sweep
from theodolite.coverage.words import coverage_figures, coverage_sentences
from theodolite.data.arrays import check_pair, check_samples, count_different, count_shared, same_shape
from theodolite.kernel.files import write_atomically
from theodolite.kernel.records import Audit, Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.theory.gaussian import NORMAL_95

Samples = NDArray[Any]
Generator = Callable[[int], Samples]
SEPARABLE = 0.999  # AUC above which the two are told apart by something that is hardly their content
COLLAPSED, HARDLY = 0.5, 0.95  # shares of the samples that differ
FAINT = 1e-9  # of a column's usual size: seen where it is looked for, and nowhere else


def audit_coverage(
    real: Samples,
    fake: Samples | Generator,
    *,
    train: Samples | None = None,
    tau: float = 0.1,
    alpha: float = 0.1,
    confidence: float = 0.95,
    discriminator: Scorer | None = None,
    features: Given = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> CoverageResult:
    """Find what of the real data a generator misses.

    Parameters
    ----------
    real : array (n, …)
        Reals that took no part in training: the guarantees hold for these only. May be a memory-map.
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
        A discriminator from elsewhere, ``samples -> (samples,)``, such as the GAN's own: one more feature, and held
        against the samples to see how far it is calibrated. It must not have been trained on `real`.
    features : str, path, sequence of arrays, callable or None
        The space in which samples are compared; as they are by default. See `theodolite.coverage.features.embed`.
    groups : array (n,) or None
        A label for each real; the missed mass of each label is certified.
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
    given = Sources(
        real=real,
        fake=check_samples(drawn, "the generated samples"),
        train=None if train is None else check_samples(train, "the train set"),
        scorer=discriminator,
        labels=None if groups is None else np.asarray(groups),
        names=(),
    )
    return _measure(config, given, features, silent)[1]


def _measure(
    config: CoverageConfig, given: Sources, features: Given, tell: Tell
) -> tuple[tuple[HeldOut, ...], CoverageResult, Embedded]:
    """Measure everything; the held-out scores and the features come back too, for the self-check and the report."""
    tau, alpha, confidence, seed = config.tau, config.alpha, config.confidence, config.seed
    real, fake, n = given.real, given.fake, len(given.real)
    tell("looking the samples over")
    warnings = _what_to_know(given)
    if given.scorer is not None and (said := memorised(given.scorer, real, fake, seed)):
        warnings.append(said)
    labels = None if given.labels is None else check_groups(given.labels, n)
    folds = Folds.draw(n, len(fake), seed)
    tell("computing features")
    seen = embed(features, real, fake, given.train, folds.training, seed)
    train = None if seen.train is None else some_of(seen.train, seed)
    stacked, scorer = _with_scores(seen, train, given, seed)
    axes = grid_axes(seen.real, seen.fake) if given.scorer is None or seen.name == "raw" else None
    asked = [part for part in (stacked.train, None if axes is None else grid_points(axes)) if part is not None]
    tell("fitting the discriminator")
    together = np.concatenate([part.reshape(len(part), *stacked.real.shape[1:]) for part in asked]) if asked else None
    fits = fit_both(stacked.real, stacked.fake, folds, scorer, seed, together)
    on_grid = np.mean([fit.train[0 if train is None else len(train) :] for fit in fits], axis=0)
    fits = tuple(dataclasses.replace(fit, train=fit.train[: 0 if train is None else len(train)]) for fit in fits)
    tell("testing and certifying")
    missed, p_values = name_missed(fits, folds.reals, tau, alpha)
    on_real = np.zeros(n)
    for fit, half in zip(fits, folds.reals, strict=True):
        on_real[half] = expit(fit.real)
    missed_mass, total_variation = certify(fits, tau, confidence), certify(fits, 1.0, confidence)
    value, uncertainty = game_value(fits)
    ranked = auc(fits)
    if ranked > SEPARABLE and not _collapsed(real, fake):
        warnings.append(_separable(ranked, seen.name))
    over = sweep(fits, folds.reals, tau, alpha, confidence)
    tell("grouping what is missed")
    groups, cluster = find_groups(fits, folds, seen.real, seen.fake, labels, missed, tau, confidence)
    tell("finding the nearest generated samples")
    closest = nearest(seen.real, seen.fake)
    return (
        fits,
        CoverageResult(
            tau=tau,
            alpha=alpha,
            confidence=confidence,
            seed=seed,
            reals=n,
            fakes=len(fake),
            missed=missed,
            p_values=p_values,
            discriminator=on_real,
            discriminator_fake=np.mean([expit(fit.fake) for fit in fits], axis=0),
            calibration=folds.calibration,
            nearest=closest,
            missed_mass=missed_mass,
            total_variation=total_variation,
            coverage=_complement(missed_mass),
            overlap=_complement(total_variation),
            fidelity=_complement(certify(tuple(fit.mirrored() for fit in fits), tau, confidence)),
            precision_recall=upper_curve(fits, confidence),
            game_value=value,
            game_value_uncertainty=uncertainty,
            auc=ranked,
            smallest_nameable_mass=smallest_nameable(n, folds.calibration.size, tau, alpha),
            needed=needed(n, tau, alpha, confidence),
            groups=groups,
            cluster=cluster,
            sweep=over,
            calibration_of_given=None
            if given.scorer is None
            else calibrate(given.scorer, real, fake[folds.calibration]),
            landscape=None
            if axes is None
            else Landscape(axes=axes, discriminator=expit(on_grid).reshape([axis.size for axis in axes])),
            features=seen.name,
            train_gap=None if train is None else train_gap(fits, train, seen.real, seen.fake, closest, tau),
            warnings=tuple(warnings),
        ),
        seen,
    )


def _what_to_know(given: Sources) -> list[str]:
    """Check that the samples can be compared, and say what must be known before the comparison is trusted."""
    warnings = check_pair(given.real, given.fake)
    if given.train is not None:
        same_shape(given.real, given.train, "the train set")
        if shared := count_shared(given.real, given.train):
            warnings.append(
                f"{shared:,} of the real samples occur in the train set too; the guarantees hold for real samples that "
                "took no part in training: remove them."
            )
    if different := _collapsed(given.real, given.fake):
        warnings.append(
            f"{len(given.fake) - different:,} of {len(given.fake):,} generated samples repeat others, and the real "
            "ones hardly do: the generator makes few things, or the file holds copies; with copies no guarantee holds."
        )
    return warnings


def _collapsed(real: Samples, fake: Samples) -> int:
    """How many different fakes there are, where they repeat each other as the reals do not; else 0."""
    different = count_different(fake)
    few = different <= COLLAPSED * len(fake) and count_different(real) > HARDLY * len(real)
    return different if few else 0


def _separable(ranked: float, space: str) -> str:
    instead = (
        "compare in a feature space (features=)"
        if space == "raw"
        else "compare in another feature space, one that does not keep such traces"
    )
    return (
        f"Real and generated samples are told apart almost perfectly (AUC {ranked:.4f}): then nearly all of the "
        "data is missed, which is true and may be useless. Look for rounding, scaling or file format before content; "
        f"store both in the same way, or {instead}."
    )


def _with_scores(seen: Embedded, train: Samples | None, given: Sources, seed: int) -> tuple[Embedded, Scorer | None]:
    """Give D̂ what the given discriminator says of a sample, where the sample itself is out of sight behind features.

    It is kept as one more column, too faint to be seen by what measures distances.
    """
    seen = seen._replace(train=train)
    if given.scorer is None or seen.name == "raw":
        return seen, given.scorer
    sets = [given.real, given.fake] + ([] if given.train is None else [some_of(given.train, seed)])
    parts = [seen.real, seen.fake] + ([] if train is None else [train])
    ask = given.scorer
    made = [
        np.column_stack([part.reshape(len(part), -1), FAINT * np.asarray(ask(samples), dtype=float).reshape(-1)])
        for part, samples in zip(parts, sets, strict=True)
    ]

    def faint(rows: Samples) -> Floats:
        return np.asarray(rows[:, -1] / FAINT)

    return Embedded(made[0], made[1], made[2] if train is not None else None, seen.name), faint


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
    with told_on_stderr("coverage") as tell:
        tell("reading the samples")
        given = read_sources(config)
        fits, result, seen = _measure(config, given, config.features, tell)
        tell("measuring what others measure")
        others = (beside(result, *peers_of(seen.real, seen.fake, config.seed)),)
        run.write_record("coverage.json", result)
        write_atomically(run.path / "missed.csv", missed_csv(result, given.names).encode())
        run.write_json("data.json", {name: origin(getattr(config, name)) for name in ("real", "fake", "train")})
        return Audit(
            family="coverage",
            title=f"{config.fake} against {config.real}",
            sentences=tuple(coverage_sentences(result)),
            figures=tuple(coverage_figures(result)),
            findings=compare(run.plan.predictions, _measurements(fits, result)),
            exhibits=tuple(coverage_exhibits(result, given.real, given.fake, run, planned=True, others=others)),
            warnings=result.warnings,
        )


def _measurements(fits: tuple[HeldOut, ...], result: CoverageResult) -> list[Measurement]:
    alarms, alarms_error = false_naming(fits, result.tau, result.alpha, result.seed)
    on_real, on_fake = result.discriminator, result.discriminator_fake
    sum_error = NORMAL_95 * float(np.sqrt(on_real.var() / on_real.size + on_fake.var() / on_fake.size))
    told = (
        (
            "smallest_nameable_mass",
            smallest_named_share(fits, result.tau, result.alpha, result.seed),
            "",
            0.0,
            "samples planted beyond all fakes, fewer and fewer, until the test no longer names them",
        ),
        (
            "false_naming",
            alarms,
            "",
            alarms_error,
            "400 random splits of the fakes: two parts pose, the rest calibrates",
        ),
        ("discriminator_sum", float(on_real.mean() + on_fake.mean()), "", sum_error, "D̂ on samples no fit saw"),
        ("game_value", result.game_value, "nats", result.game_value_uncertainty, "D̂ on samples no fit saw"),
    )
    return [
        Measurement(name=name, value=value, unit=unit, uncertainty=error, method=method)
        for name, value, unit, error, method in told
    ]
