"""Mending a generator where it misses: a further one, trained on what is missing, mixed in and certified.

AdaGAN (Tolstikhin et al. 2017) has the idea. What differs here: the ratio p_θ/p_r is a cross-fitted estimate, not the
GAN's own D; the shares are those under which train reals are likeliest; what was mended is certified on samples
that took no part; and a mixture that does not help is refused.

A round, in this order: fix A on train reals and generated ones; certify P_θ(A) ≤ τ·P_r(A) on held-out reals of this
round and fresh generated samples; train, mix, reject on train reals; certify P_θ′(A) ≥ ρ·P_r(A) on the same held-out
reals and fresh samples of the mixture. No held-out sample serves two rounds.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from theodolite.coverage.certificates import certify
from theodolite.coverage.discriminator import Score
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.members import Floats
from theodolite.coverage.stages import Tell, silent
from theodolite.data.arrays import FEWEST
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import recorded_units, reload
from theodolite.gan.mixing import Material, State, mended, told_apart
from theodolite.gan.repaired import NAME, Component, Repair, RepairSettings, Round, repair_of, sha256_of
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.shortfall import find_shortfall, in_blocks
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.launch import is_launched
from theodolite.kernel.runs import RunFolder
from theodolite.theory.boosting import made_at_least, made_at_most

MOST_FITTED = 4000  # train reals that scores are fitted on, with twice as many generated ones
FRESH = 20_000  # generated samples of a certificate
TAG = 0x4EFA  # keeps the draws of a repair apart


def repair(run: RunFolder, *, force: bool = False, tell: Tell = silent, **fields: Any) -> Repair:
    """Mend what the run's generator is certified to miss; leave it as it is where that does not succeed.

    Afterwards `TrainedGAN` draws from the mixture, if one was accepted; the old generator stays in the folder. A repair
    that was stopped goes on where it was when it is asked for again.

    Parameters
    ----------
    run : RunFolder
        A GAN trained to its end.
    force : bool
        Forget an earlier repair and mend the run's own generator anew.
    tell : callable
        Told of every stage.
    **fields
        Of `RepairSettings`.

    Returns
    -------
    Repair
        As written to ``repair.json``; that of an earlier repair with the same settings.

    Raises
    ------
    UsageError
        If a setting is out of range, the rounds leave too few held-out samples each, or an earlier repair had other
        settings.
    DataError
        If the data are not those of the run, or weights or ``repair.json`` are damaged.
    InterruptedRun
        If a signal came; the state of the training was saved.
    """
    if run.family != "gan":
        raise DataError(f"{run.path} is a run of {run.family or 'nothing known'}; repair mends one of gan")
    config, training = run.settings(GANConfig), run.settings(GANTraining)
    settings = RepairSettings.build(**{"tau": config.tau, "confidence": config.confidence} | fields)
    if is_launched():
        raise UsageError("a repair runs in one process; call it without torchrun")
    with run.lock():
        if not force and (earlier := repair_of(run)):
            if earlier.settings != settings:
                raise UsageError(
                    f"{run.path} was repaired with other settings; --force mends its own generator anew, with bounds "
                    "from held-out samples that the earlier repair has looked at"
                )
            return earlier
        (run.path / NAME).unlink(missing_ok=True)
        found = _repair(_material(run, settings, config, training, tell))
        run.write_record(NAME, found)
        return found


def _material(
    run: RunFolder, settings: RepairSettings, config: GANConfig, training: GANTraining, tell: Tell
) -> Material:
    """Load all of the data, in the run's units; what was withheld from the first training is there for the repair."""
    data = replace(reload(run, config.model_copy(update={"withhold": None})), units=recorded_units(run))
    held_out = data.held_out
    if len(held_out) // settings.rounds < FEWEST:
        raise UsageError(
            f"rounds={settings.rounds} leaves {len(held_out) // settings.rounds} of {len(held_out)} held-out samples "
            f"each; at least {FEWEST} are needed: take {max(1, len(held_out) // FEWEST)} or fewer"
        )
    order = np.random.default_rng([training.seed, TAG]).permutation(len(held_out))
    parts = tuple(held_out[np.sort(rows)] for rows in np.array_split(order, settings.rounds))
    return Material(run, settings, config, training, data, parts, tell)


def _repair(given: Material) -> Repair:
    own = TrainedGAN(given.run, repaired=False)
    state = State(own, ((own, Component(folder="", share=1.0, sha256=sha256_of(given.run.weights))),))
    rounds: list[Round] = []
    detailed: tuple[Floats, Score] | None = None
    for number in range(1, given.settings.rounds + 1):
        tried, after, detailed = _round(given, state, number, detailed)
        rounds.append(tried)
        if after is None:
            break
        state = after
    accepted = [one for one in rounds if one.accepted]
    return Repair(
        seal=given.run.plan.digest(),
        settings=given.settings,
        accepted=bool(accepted),
        why=(accepted or rounds)[-1].why,
        rounds=tuple(rounds),
        components=tuple(component for _, component in state.components),
        judge=state.judge,
        judge_sha256=sha256_of(RunFolder(given.run.path / state.judge).weights) if state.judge else "",
    )


def _round(
    given: Material, state: State, number: int, detailed: tuple[Floats, Score] | None
) -> tuple[Round, State | None, tuple[Floats, Score] | None]:
    """Try one round; the state after it is None where it was refused."""
    began, part, settings = time.monotonic(), given.parts[number - 1], given.settings
    given.tell(f"round {number}: finding what is missed")
    fitted = _some(given.data.train, given.training.seed)
    fakes, score = detailed or told_apart(given, state.gan, fitted, f"repair-{number}-fit")
    lacking = find_shortfall(fitted, fakes, score, settings.tau)
    real_hits = int(lacking.inside(part).sum())
    fresh = state.gan.draw(FRESH, f"repair-{number}-before")
    fake_hits = int(lacking.inside(fresh).sum())
    tried = Round(
        number=number,
        seen_by=lacking.seen_by,
        reals=len(part),
        reals_inside=real_hits,
        fakes=FRESH,
        before_inside=fake_hits,
        made_at_most=made_at_most(real_hits, len(part), fake_hits, FRESH, given.each),
        fidelity_before=_fidelity(score, part, fresh, settings.tau),
        why="",
    )
    if tried.made_at_most > settings.tau:
        said = f"nothing is certified missed{' any more' if number > 1 else ''}: {_not_missed(tried, settings.tau)}"
        return tried.model_copy(update={"why": said, "seconds": time.monotonic() - began}), None, None
    after, told = mended(given, state, number, lacking, fitted, score)
    given.tell(f"round {number}: certifying")
    fresh = after.gan.draw(FRESH, f"repair-{number}-after")
    fake_hits = int(lacking.inside(fresh).sum())
    found = told_apart(given, after.gan, fitted, f"repair-{number + 1}-fit")
    tried = tried.model_copy(
        update={
            **told,
            "after_inside": fake_hits,
            "made_at_least": made_at_least(real_hits, len(part), fake_hits, FRESH, given.each),
            "fidelity_after": _fidelity(found[1], part, fresh, settings.tau),
            "seconds": round(time.monotonic() - began, 2),
        }
    )
    accepted, why = judgement(tried, settings)
    return tried.model_copy(update={"accepted": accepted, "why": why}), after if accepted else None, found


def judgement(tried: Round, settings: RepairSettings) -> tuple[bool, str]:
    """Whether a round's mixture is accepted, and why, in one line."""
    if tried.made_at_least < settings.share:
        return False, (
            f"refused: in the missed set the mixture makes at least {tried.made_at_least:.0%} of what is due, "
            f"certified; {settings.share:.0%} is asked for"
        )
    if tried.fidelity_after < tried.fidelity_before - settings.loss:
        return False, (
            f"refused: fidelity falls from {tried.fidelity_before:.1%} to {tried.fidelity_after:.1%}, by estimate; "
            f"{settings.loss:.1%} is allowed"
        )
    return True, (
        f"in the missed set, where {tried.reals_inside / tried.reals:.1%} of held-out samples lie, the generator makes "
        f"at least {tried.made_at_least:.0%} of what is due, where it made at most {tried.made_at_most:.1%}"
    )


def _not_missed(tried: Round, tau: float) -> str:
    if not np.isfinite(tried.made_at_most):
        return f"no held-out sample of {tried.reals:,} lies where the generator seems to make too little"
    return (
        f"where least is made it is at most {tried.made_at_most:.0%} of what is due, certified; up to {tau:.0%} counts "
        "as missed"
    )


def _some(train: Floats, seed: int) -> Floats:
    """Choose train reals for fitting, at random, so that time and memory are bounded."""
    if len(train) <= MOST_FITTED:
        return train
    return np.asarray(train[np.sort(np.random.default_rng([seed, TAG, 1]).permutation(len(train))[:MOST_FITTED])])


def _fidelity(score: Score, real: Floats, fake: Floats, tau: float) -> float:
    """Estimate the share of what is generated that is not invented; the set that is was chosen on train reals."""
    fit = HeldOut(
        in_blocks(score.log_odds, real),
        in_blocks(score.log_odds, fake),
        score.out_of_fold_real,
        score.out_of_fold_fake,
    )
    return float(np.clip(1 - certify((fit.mirrored(),), tau, 0.95).estimate, 0, 1))
