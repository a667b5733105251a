"""The trained GAN beside its plan: what of the data it misses, and what its own discriminator says there."""

import numpy as np
import torch

from theodolite.engine.counting import Multiplications, multiplications_of_a_step
from theodolite.gan import exhibits, repair_exhibits, words
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Dataset, Units
from theodolite.gan.examination import Examination, Modes, examine
from theodolite.gan.landscape import Landscape
from theodolite.gan.model import build_discriminator, build_generator
from theodolite.gan.plan import plan
from theodolite.gan.train import Game
from theodolite.kernel.records import Audit, Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.theory.density_ratio import game_value_of
from theodolite.theory.gaussian import NORMAL_95
from theodolite.theory.modes import reverse_kl

ADAMS = ("exp_avg", "exp_avg_sq")  # what torch calls Adam's means
Row = tuple[str, float, str, float, str]


def audit(run: RunFolder) -> Audit:
    """Measure a trained GAN against its plan, from its run folder and its data.

    After a repair the held-out reals are not all fresh: each had a say in whether the mixture of one round is used.
    With K rounds these say which of at most K + 1 generators is audited, all of which training data and seeds fix. Each
    bound may be wrong K + 1 times less often, and so holds for the one that is audited as surely as was asked.

    Raises
    ------
    DataError
        If the data are not those that were trained on, or the weights are missing, damaged or of another plan.
    """
    found = examine(run)
    repair, promised = found.repair, run.plan.predictions
    if repair is not None and repair.accepted:  # what was withheld has been shown to the repair
        promised = plan(found.config).predictions
    planned = [prediction.name for prediction in promised]
    measured = {measurement.name: measurement for measurement in _measurements(found)}
    findings = compare(promised, [measured[name] for name in planned if name in measured])
    first, *others = words.sentences(found)
    of_repair = () if repair is None else repair_exhibits.sentences(repair)
    shown = [] if repair is None else list(repair_exhibits.of(run, repair, found.data))
    return Audit(
        family="gan",
        title=f"A {found.config.objective} GAN on {found.config.data}",
        sentences=(first, *of_repair, *others)[:4],
        figures=words.figures(found),
        findings=findings,
        exhibits=(*exhibits.of(found, run), *shown),
        warnings=found.result.warnings,
    )


def _measurements(found: Examination) -> list[Measurement]:
    """All that can be measured of such a run, whether it was predicted or not."""
    result, config = found.result, found.config
    told = [*_sizes(config, found.data.units), *_costs(config, found.data)]
    told.append(("game_value", result.game_value, "nats", result.game_value_uncertainty, "held-out samples and D̂"))
    if result.train_gap is not None:
        gap = result.train_gap
        told.append(("closer", gap.closer, "", gap.closer_uncertainty, "nearest generated samples, Euclidean"))
    if found.modes is not None:
        told += _of_modes(found.modes)
    if found.landscape is not None:
        told += _of_density(found, found.landscape)
    else:
        missed, overlap = result.missed_mass, result.overlap
        told.append(("missed_mass", missed.estimate, "", missed.uncertainty, "held-out samples and D̂, from below"))
        told.append(("overlap", overlap.estimate, "", overlap.uncertainty, "held-out samples and D̂, from above"))
    return [
        Measurement(name=name, value=value, unit=unit, uncertainty=u, method=how) for name, value, unit, u, how in told
    ]


def _of_modes(modes: Modes) -> list[Row]:
    shares, draws, counted = modes.shares, modes.draws, f"{modes.counted:,} generated samples"
    good = float(shares.sum())
    error = NORMAL_95 * float(draws.std(ddof=1)) / np.sqrt(draws.size) if draws.size > 1 else 0.0
    return [
        ("modes", float(modes.made.sum()), "modes", 0.0, counted),
        ("high_quality", good, "", NORMAL_95 * float(np.sqrt(good * (1 - good) / modes.counted)), counted),
        ("reverse_kl", reverse_kl(shares, modes.truth.weights), "nats", 0.0, f"the good ones of {counted}"),
        ("draws", float(draws.mean()), "samples", error, f"{draws.size:,} times from nothing to all, {counted}"),
    ]


def _of_density(found: Examination, landscape: Landscape) -> list[Row]:
    value = game_value_of(found.said_real, found.said_fake)
    spread = np.var(np.log(found.said_real)) / len(found.said_real) + np.var(np.log1p(-found.said_fake)) / len(
        found.fake
    )
    truth, cells = landscape.missed_mass(found.config.tau), "both densities, counted in cells"
    return [
        ("missed_mass", truth, "", 0.0, cells),
        ("overlap", landscape.overlap(), "", 0.0, cells),
        ("discriminator_excess", value - landscape.best_value(), "nats", NORMAL_95 * float(np.sqrt(spread)), "cells"),
        ("certificate_excess", round(found.result.missed_mass.lower - truth, 4), "", 0.0, cells),
    ]


def _sizes(config: GANConfig, units: Units) -> list[Row]:
    """Count on the networks themselves, built without memory."""
    with torch.device("meta"):
        generator, discriminator = build_generator(config, units), build_discriminator(config, units)
        with Multiplications() as counter:
            discriminator(generator(torch.empty(1, config.latent_dim)))
    counts = [float(sum(weight.numel() for weight in network.parameters())) for network in (generator, discriminator)]
    built = "counted on the built network"
    return [
        ("generator_parameters", counts[0], "parameters", 0.0, built),
        ("discriminator_parameters", counts[1], "parameters", 0.0, built),
        ("operations", float(counter.total), "multiply-adds", 0.0, "torch's formulas, on the meta device"),
    ]


def _costs(config: GANConfig, data: Dataset) -> list[Row]:
    """Count on a few steps of the game itself, and on what it holds after them."""
    game = Game(config, GANTraining(), data)
    operations = multiplications_of_a_step(game, steps=game.penalise_every or 1)
    trained = [weight for network in game.networks.values() for weight in network.parameters()]
    means = [state[name] for each in game.optimizers.values() for state in each.state.values() for name in ADAMS]
    held = [*trained, *(weight.grad for weight in trained if weight.grad is not None), *means]
    return [
        ("step_operations", operations, "multiply-adds", 0.0, "torch's formulas, on steps of two pairs"),
        ("bytes", float(sum(tensor.nbytes for tensor in held)), "B", 0.0, "counted after these steps"),
    ]
