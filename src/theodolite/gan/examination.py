"""A trained GAN examined: its samples beside held-out reals, its modes counted, its discriminator asked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.plan import fakes_to_draw
from theodolite.coverage.result import CoverageResult
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Counted, Dataset, high_quality_shares, reload
from theodolite.gan.landscape import Landscape, even_score, survey
from theodolite.gan.repaired import Repair, repair_of
from theodolite.gan.samples import TrainedGAN
from theodolite.kernel.runs import RunFolder

Floats = NDArray[np.float64]
SURE = 1e-9  # no discriminator is surer than that


@dataclass(frozen=True)
class Modes:
    """What a generator makes of a mixture.

    Attributes
    ----------
    truth : Counted
        All modes.
    shares : (modes,)
        Share of the generated samples that are of high quality and of each.
    made : (modes,) bool
        Whether that is more than τ of what is due.
    draws : array
        How many samples it took to meet every shown mode, once for each repetition; one too small number where the
        samples ran out.
    counted : int
        Generated samples that all this was counted from.
    """

    truth: Counted
    shares: Floats
    made: NDArray[np.bool_]
    draws: Floats
    counted: int


@dataclass(frozen=True)
class Examination:
    """All that an audit looks at.

    Attributes
    ----------
    config, data
        Of the run.
    fake : (m, *shape)
        Generated samples.
    result : CoverageResult
        Of the held-out reals and these.
    said_real, said_fake : (n,), (m,)
        D of the trained discriminator, a probability.
    modes
        Where they are known.
    landscape
        Where the density is.
    repair
        What a repair did, where there was one; after one that was accepted nothing counts as withheld.
    """

    config: GANConfig
    data: Dataset
    fake: Floats
    result: CoverageResult
    said_real: Floats
    said_fake: Floats
    modes: Modes | None = None
    landscape: Landscape | None = None
    repair: Repair | None = None


def examine(run: RunFolder) -> Examination:
    """Draw samples of the generator and hold them against reals that took no part in training.

    Raises
    ------
    DataError
        If the data are not those that were trained on, or the weights are missing, damaged or of another plan.
    """
    config, seed = run.settings(GANConfig), run.settings(GANTraining).seed
    repair = repair_of(run)
    # held-out reals have said which of so many generators is audited: each bound is to hold for all of them together
    generators = 1 if repair is None else 1 + repair.settings.rounds
    if repair is not None and repair.accepted:
        config = config.model_copy(update={"withhold": None})
    data = reload(run, config)
    trained = TrainedGAN(run)
    fake = trained.draw(config.fakes or fakes_to_draw(len(data.held_out), config.tau, config.alpha))
    # T says nothing more where the density is known, and is no fair comparison where it lacks a part
    compared = data.truth is None and config.withhold is None
    result = audit_coverage(
        data.held_out,
        fake,
        train=data.train if compared else None,
        tau=config.tau,
        alpha=config.alpha,
        confidence=1 - (1 - config.confidence) / generators,
        # the trained D knows T by heart: as a feature it would tell T, and nothing else, apart
        discriminator=None if compared else trained.score,
        seed=seed,
    )
    # minimax trains D as a probability; a relativistic D is one up to a constant, set on what it was trained with
    offset = 0.0
    if config.objective == "relativistic":
        offset = even_score(trained.score(data.train), trained.score(trained.draw(len(data.train), "offset")))
    return Examination(
        config=config,
        data=data,
        fake=fake,
        result=result,
        said_real=_probability(trained, data.held_out, offset),
        said_fake=_probability(trained, fake, offset),
        modes=_count_modes(data, fake, config.tau) if data.counted is not None else None,
        landscape=survey(trained, data.truth, offset) if data.truth is not None else None,
        repair=repair,
    )


def _probability(trained: TrainedGAN, samples: Floats, offset: float) -> Floats:
    return np.clip(expit(trained.score(samples) - offset), SURE, 1 - SURE)


def _count_modes(data: Dataset, fake: Floats, tau: float) -> Modes:
    counted = data.counted
    if counted is None:
        raise ValueError("modes are counted where they are known")
    shares = high_quality_shares(counted, fake)
    made = shares > tau * counted.weights
    return Modes(counted, shares, made, collect(data.shown or counted, fake), len(fake))


def collect(shown: Counted, samples: Floats) -> Floats:
    """Go through samples in order and note, again and again, how many it took until every mode was met."""
    mode, sure = shown.assign(samples)
    met: set[int] = set()
    lengths, began = [], 0
    for place, (number, near) in enumerate(zip(mode.tolist(), sure.tolist(), strict=True)):
        if near:
            met.add(number)
        if len(met) == shown.modes:
            lengths.append(place + 1 - began)
            met, began = set(), place + 1
    return np.array(lengths or [len(samples)], dtype=np.float64)
