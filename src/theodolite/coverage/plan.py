"""What an audit will be able to see with so many samples, said before it looks."""

import math

import numpy as np

from theodolite.coverage.config import CoverageConfig
from theodolite.coverage.folds import training_fakes
from theodolite.coverage.planning import (
    FAIR,
    PERFECT,
    certificate_power,
    fakes_for_power,
    naming_power,
    smallest_nameable,
    smallest_seen,
)
from theodolite.coverage.result import Needed
from theodolite.coverage.words import rounded
from theodolite.data.arrays import FEWEST, count_samples
from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Layer, Table
from theodolite.kernel.records import Plan, Prediction
from theodolite.theory.coverage import needed_fakes, needed_reals

MASSES = (0.005, 0.01, 0.02)
MOST_DRAWN = 40_000
SHOWN = (0.005, 0.01, 0.02, 0.05, 0.1)
POWER, FAIR_POWER = 0.9, 0.75  # of what is missed, named
BEST, IMPERFECT = "a perfect score", "a fair score"
SCORES = {BEST: PERFECT, IMPERFECT: FAIR}
CAPTION = "Exact binomial probabilities."
FAIR_WORDS = (
    f"A fair score finds {FAIR.found:.0%} of what is missed, and one generated sample in {round(1 / FAIR.leak):,} "
    "passes with it."
)
SUM_TOLERANCE = 0.05  # D̂ of a stack fitted on some hundred samples is calibrated no better


def needed(reals: int, tau: float, alpha: float, confidence: float) -> tuple[Needed, ...]:
    """Samples in all with which missed masses of 0.5, 1 and 2% are named, and certified to be above 0.

    Named means that of what is missed `POWER` is, in expectation, if the score is perfect (see `naming_power`): of few
    reals chance may leave one half with none that are missed, which more fakes make up for.
    """
    rows = []
    for mass in MASSES:
        # beyond 10⁹ fakes the count that many reals would take
        fakes = fakes_for_power(POWER, mass, reals, tau, alpha) or needed_fakes(mass, tau, alpha / 2)
        # of the certificate: P_θ(A)/τ must stay well below the mass when no fake falls in A
        fakes = max(fakes, math.ceil(2 * math.log(8 / (1 - confidence)) / (tau * mass)))
        half = needed_reals(mass, fakes, tau, (1 + confidence) / 2)
        rows.append(Needed(mass=mass, fakes=rounded(_total(fakes, reals)), reals=2 * half if half else 0))
    return tuple(rows)


def _total(calibrating: int, reals: int) -> int:
    """Fakes in all, so that so many are left to calibrate (see `training_fakes`)."""
    return calibrating + 2 * reals if calibrating >= 4 * reals else math.ceil(1.5 * calibrating)


def fakes_to_draw(reals: int, tau: float, alpha: float) -> int:
    """How many fakes to ask a generator for: enough to name a missed 1%, within a limit."""
    return min(_total(needed_fakes(0.01, tau, alpha / 2), reals), MOST_DRAWN)


def counts(config: CoverageConfig) -> tuple[int, int]:
    """Reals and fakes of the audit, read from the headers of the files.

    Raises
    ------
    DataError
        If a file cannot be read, or holds too few samples.
    """
    reals = _counted(config.real) if config.real else config.reals
    if config.fake and ":" not in config.fake:
        return reals, _counted(config.fake)
    return reals, config.fakes or fakes_to_draw(reals, config.tau, config.alpha)


def _counted(source: str) -> int:
    count = count_samples(source)
    if count < FEWEST:
        raise DataError(f"{source} holds {count} samples; at least {FEWEST} are needed for an audit")
    return count


def plan(config: CoverageConfig) -> Plan:
    """Predict what the audit will be able to see, and what it must find if it works as derived."""
    reals, fakes = counts(config)
    calibrating = fakes - training_fakes(reals, fakes)
    smallest = smallest_nameable(reals, calibrating, config.tau, config.alpha)
    # what is planted is a whole number of samples, and up to one of the generated ones may rank with them
    grain = (2 / (reals // 2)) if math.isfinite(smallest) else 0.0
    predictions = (
        Prediction(
            name="smallest_nameable_mass",
            label="smallest missed share that can be named",
            value=smallest,
            unit="",
            claim="estimate",
            tolerance=grain,
            source="docs/answers Q1.d",
        ),
        Prediction(
            name="false_naming",
            label="audits that name anything when generated samples pose as real",
            value=config.alpha * config.tau,
            unit="",
            claim="upper bound",
            tolerance=0.01,
            source="docs/answers Q1.c: where all is covered, E e ≤ τ, so any is named with probability τ·α at most",
        ),
        Prediction(
            name="discriminator_sum",
            label="mean D̂ on real plus mean D̂ on generated samples",
            value=1.0,
            unit="",
            claim="estimate",
            tolerance=SUM_TOLERANCE,
            source="exact for D*: ∫ (p_r + p_θ)·D* = ∫ p_r, Goodfellow et al. (2014), eq. 2",
        ),
        Prediction(
            name="game_value",
            label="value of the game at D̂, held out",
            value=-math.log(4),
            unit="nats",
            claim="lower bound",
            tolerance=0.02,
            source="Goodfellow et al. (2014), theorem 1, for D*; a D̂ worth less than D = 1/2 has learned noise",
        ),
    )
    return Plan(
        family="coverage",
        config=config.model_dump(mode="json"),
        assumptions=(
            "The real samples are independent and took no part in training the generator.",
            "The generated samples are independent draws of one generator.",
            f"A point is missed where the generator's density is at most {config.tau:g} times that of the data.",
        ),
        predictions=predictions,
        exhibits=(
            _what_is_needed(config, reals, fakes, smallest),
            _power_curve(config, reals, calibrating),
            _power_table(config, reals, calibrating),
        ),
    )


def _power_curve(config: CoverageConfig, reals: int, calibrating: int) -> Exhibit:
    masses = np.geomspace(0.001, 0.3, 60)
    layers = []
    for name, score in SCORES.items():
        shares = [100 * naming_power(mass, reals, calibrating, config.tau, config.alpha, score) for mass in masses]
        columns: dict[str, list[Cell]] = {
            "mass": [float(f"{100 * mass:.4g}") for mass in masses],
            "share": [round(share, 3) for share in shares],
            "score": [name] * masses.size,
        }
        layers.append(Layer(mark="line", columns=columns, x="mass", y="share", color="score", dashed=name == BEST))
    seen = smallest_seen(POWER, reals, calibrating, config.tau, config.alpha)
    return Chart(
        title=f"A perfect score would name {POWER:.0%} of a missed part of {seen:.1%}"
        if math.isfinite(seen)
        else "With so few generated samples even a perfect score names nothing",
        caption=f"{CAPTION} {FAIR_WORDS}",
        layers=tuple(layers),
        x_title="missed mass, % of the data",
        y_title="expected share of it that is named, %",
        x_scale="log",
        y_domain=(0.0, 100.0),
        roles={BEST: "theory", IMPERFECT: "accent"},
    )


def _power_table(config: CoverageConfig, reals: int, calibrating: int) -> Exhibit:
    rows: list[tuple[Cell, ...]] = []
    for mass in SHOWN:
        row: list[Cell] = [f"{mass:.1%}"]
        for score in SCORES.values():
            row.append(f"{naming_power(mass, reals, calibrating, config.tau, config.alpha, score):.0%}")
        for score in SCORES.values():
            some, expected = certificate_power(mass, reals, calibrating, config.tau, config.confidence, score)
            row.append(f"{some:.0%}: {expected:.1%}")
        wanted = fakes_for_power(FAIR_POWER, mass, reals, config.tau, config.alpha, FAIR)
        row.append(f"{rounded(_total(wanted, reals)):,}" if wanted else "a better score")
        rows.append(tuple(row))
    chances = [certificate_power(mass, reals, calibrating, config.tau, config.confidence)[0] for mass in SHOWN]
    certain = [mass for mass, chance in zip(SHOWN, chances, strict=True) if chance > POWER]
    return Table(
        title=f"A missed {certain[0]:.1%} is certified to some part with a probability above {POWER:.0%}"
        if certain
        else f"No missed mass up to {SHOWN[-1]:.0%} is sure to be certified",
        caption=f"{CAPTION} {FAIR_WORDS} Certified: the probability that the bound is above 0, and what it is on "
        f"average. Needed: generated samples in all with which the fair score names {FAIR_POWER:.0%}.",
        columns=(
            "missed",
            "named, perfect",
            "named, fair",
            "certified, perfect",
            "certified, fair",
            "needed, fair",
        ),
        rows=tuple(rows),
    )


def _what_is_needed(config: CoverageConfig, reals: int, fakes: int, smallest: float) -> Exhibit:
    rows = needed(reals, config.tau, config.alpha, config.confidence)
    return Table(
        title=f"With {reals:,} real and {fakes:,} generated samples, {_smallest(smallest)}",
        caption=f"Samples needed to name {POWER:.0%} of a missed part, sample by sample, and to certify that anything "
        "is missed, if the classifier separates it perfectly.",
        columns=("missed share", "generated samples to name it", "real samples to certify it"),
        rows=tuple((f"{row.mass:.1%}", row.fakes, row.reals) for row in rows),
    )


def _smallest(mass: float) -> str:
    if math.isfinite(mass):
        return f"a missed share of {mass:.1%} or more can be named"
    return "no missed sample can be named: more generated samples are needed"
