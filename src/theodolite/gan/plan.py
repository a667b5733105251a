"""What theory says of a GAN before it is trained: the optimum of its game, and what a withheld part must cost."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from theodolite.data.mixtures import NEAR, Mixture
from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import Counted, Dataset, load
from theodolite.gan.sizes import (
    architecture,
    bytes_held,
    multiplications,
    parameters,
    step_multiplications,
    steps_between_penalties,
)
from theodolite.kernel.exhibits import Arrow, Box, Diagram, Exhibit, Table
from theodolite.kernel.records import Claim, Plan, Prediction
from theodolite.theory import coverage
from theodolite.theory.coupons import expected_draws
from theodolite.theory.modes import reverse_kl

CELLS = {1: 20_000, 2: 400}  # of a side of the grid of an integral, by dimension
JUDGED = 2000  # held-out samples that the judge of modes is measured on
REVERSE_KL = "Reverse KL of the modes made from those due"
DRAWS = "Samples until every mode was met"
REACH = 6.0  # spreads beyond the outermost centre where a grid ends
Floats = NDArray[np.float64]


def plan(config: GANConfig) -> Plan:
    """Predict what the settings decide, and what the game's optimum would be.

    Raises
    ------
    DataError, UsageError
        If the data cannot be used; see `dataset.load`.
    """
    data = load(config)
    stable = config.objective == "relativistic"
    return Plan(
        family="gan",
        config=config.model_dump(mode="json"),
        assumptions=_assumptions(config, data),
        predictions=(
            *_sizes(config, data),
            *_game(data.truth is not None),
            *(_withheld(config, data) if config.withhold is not None else ()),
            *(_at_the_optimum(data.truth, data.shown) if stable and data.truth and data.shown else ()),
            *(_of_many_modes(data, data.counted) if stable and data.counted and not data.truth else ()),
            *((_nothing_copied(),) if data.truth is None and config.withhold is None else ()),
        ),
        exhibits=(_diagram(config, data), *_modes_table(data)),
    )


def _assumptions(config: GANConfig, data: Dataset) -> tuple[str, ...]:
    told = [
        f"Training sees {len(data.train):,} samples; {len(data.held_out):,} others are held out for the audit.",
        f"A point is missed where the generator's density is at most {config.tau:g} times that of the data.",
    ]
    if config.objective != "relativistic":
        told.append(
            f"Steps of the bare {config.objective} game need not converge (Mescheder et al. 2018): "
            "its optimum is not predicted."
        )
    else:
        told.append(
            "The relativistic game with R1 and R2 converges near its optimum P_θ = P_r (Huang et al. 2024, "
            "proposition 2): that optimum is what is predicted where the density of the data is known."
        )
    if config.withhold is not None:
        told.append(f"Part {config.withhold} of {config.data} is withheld: no training sample comes from it.")
    return tuple(told)


def _sizes(config: GANConfig, data: Dataset) -> tuple[Prediction, ...]:
    networks = architecture(config, data.units.shape)
    generator, discriminator = parameters(networks)
    step = step_multiplications(networks, steps_between_penalties(config, networks))
    rows = (
        ("generator_parameters", "Parameters of the generator", generator, "parameters"),
        ("discriminator_parameters", "Parameters of the discriminator", discriminator, "parameters"),
        ("operations", "Work to generate one sample and judge it", sum(multiplications(networks)), "multiply-adds"),
        ("step_operations", "Work of a training step for each pair of samples", step, "multiply-adds"),
        ("bytes", "Weights, gradients, Adam's means and the average, held while training", bytes_held(networks), "B"),
    )
    return tuple(
        Prediction(name=name, label=label, value=value, unit=unit, claim="exact", source="counted layer by layer, Q1.0")
        for name, label, value, unit in rows
    )


def _game(density_known: bool) -> tuple[Prediction, ...]:
    value = Prediction(
        name="game_value",
        label="Value of the game at the estimated discriminator, held out",
        value=-math.log(4),
        unit="nats",
        claim="lower bound",
        source="Goodfellow et al. (2014), theorem 1, for D*; a D̂ worth less than D = 1/2 has learned noise",
        tolerance=0.02,
    )
    if not density_known:
        return (value,)
    return (
        value,
        Prediction(
            name="discriminator_excess",
            label="Value of the game at the trained D, above that at D*",
            value=0.0,
            unit="nats",
            claim="upper bound",
            source="Goodfellow et al. (2014), proposition 1: D* is best",
            tolerance=0.02,
        ),
        Prediction(
            name="certificate_excess",
            label="Certified missed share, above the true one",
            value=0.0,
            unit="",
            claim="upper bound",
            source="docs/answers Q1.d: M ≥ P_r(A) − P_θ(A)/τ, Clopper–Pearson; at the stated confidence",
            tolerance=0.002,
        ),
    )


def _withheld(config: GANConfig, data: Dataset) -> tuple[Prediction, ...]:
    """What follows from never having been shown a part, if the generator makes only what it was shown."""
    if data.truth is not None and data.shown is not None:
        points, cell = grid(data.truth)
        logs = data.truth.log_density(points), data.shown.log_density(points)
        mass, overlap = coverage.missed_mass(*logs, cell, config.tau), coverage.overlap(*logs, cell)
        source, seen = "integral over the known densities, Q1.a", ""
    else:
        mass = float(np.mean(data.held_out_labels == config.withhold))
        # parts of images do not overlap: two of them in one picture would be no sample of either
        overlap, seen = 1 - mass, " by D̂"
        source = "counted among the held-out samples; a D̂ without the power to see the part contradicts it, too"
    part = f"part {config.withhold}"
    rows: tuple[tuple[str, str, float, Claim], ...] = (
        ("missed_mass", f"Missed share{seen}, where {part} was never shown", mass, "lower bound"),
        ("overlap", f"Overlap of real and generated{seen}, where {part} was never shown", overlap, "upper bound"),
    )
    return tuple(
        Prediction(name=name, label=label, value=value, unit="", claim=claim, source=source, tolerance=0.02)
        for name, label, value, claim in rows
    )


def _at_the_optimum(truth: Mixture, shown: Mixture) -> tuple[Prediction, ...]:
    """What holds where P_θ is what was shown: promised of the stable game only."""
    # a sample is within NEAR spreads of its centre with the probability of a chi variable
    near = float(chi2.cdf(NEAR**2, truth.dimensions))
    draws = expected_draws(shown.weights * near)
    uneven = reverse_kl(_due(truth, shown), truth.weights)  # of what was withheld
    optimum = "Goodfellow et al. (2014), theorem 1"
    rows = (
        ("modes", "Modes that the generator makes", shown.modes, "modes", 0.0, optimum),
        ("high_quality", f"Share of samples that {truth.high_quality}", near, "", 0.1, "χ² distribution"),
        ("reverse_kl", REVERSE_KL, uneven, "nats", 0.1, optimum),
        ("draws", DRAWS, draws, "samples", draws / 4, "Flajolet et al. (1992)"),
    )
    return tuple(_estimate(*row) for row in rows)


def _of_many_modes(data: Dataset, counted: Counted) -> tuple[Prediction, ...]:
    """What holds at the optimum where modes are told by a judge, who is measured on real samples."""
    _, sure = counted.assign(data.held_out[:JUDGED])
    real = float(sure.mean())
    rows = (
        ("modes", "Modes that the generator makes", counted.modes, "modes", 0.01 * counted.modes, "P_θ = P_r"),
        ("high_quality", f"Share of samples that {counted.high_quality}", real, "", 0.3, "held-out samples, judged"),
        ("reverse_kl", REVERSE_KL, 0.0, "nats", 0.1, "P_θ = P_r, but for chance: (modes − 1)/(2 samples)"),
    )
    fewest = Prediction(
        name="draws",
        label=DRAWS,
        value=expected_draws(np.full(counted.modes, 1 / counted.modes)),
        unit="samples",
        claim="lower bound",
        source="Flajolet et al. (1992), where all modes are even and all samples good",
        tolerance=0.1 * counted.modes,
    )
    return (*(_estimate(*row) for row in rows), fewest)


def _estimate(name: str, label: str, value: float, unit: str, tolerance: float, source: str) -> Prediction:
    return Prediction(
        name=name, label=label, value=value, unit=unit, claim="estimate", source=source, tolerance=tolerance
    )


def _nothing_copied() -> Prediction:
    return Prediction(
        name="closer",
        label="How often a training sample is nearer to a generated one than a held-out sample is",
        value=0.5,
        unit="",
        claim="estimate",
        source="exchangeability, where nothing is copied; Meehan et al. (2020)",
        tolerance=0.1,
    )


def grid(mixture: Mixture) -> tuple[Floats, float]:
    """Midpoints (cells, dimensions) of a grid over a mixture of one or two dimensions, and the volume of a cell."""
    low = mixture.centres.min(axis=0) - REACH * mixture.spread
    high = mixture.centres.max(axis=0) + REACH * mixture.spread
    count = CELLS[mixture.dimensions]
    ticks = [a + (b - a) * (np.arange(count) + 0.5) / count for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, mixture.dimensions)
    return points, float(np.prod((high - low) / count))


def _diagram(config: GANConfig, data: Dataset) -> Diagram:
    features, k = len(data.units.centre), config.latent_dim
    networks = architecture(config, data.units.shape)
    generator, discriminator = parameters(networks)
    boxes = (
        Box(key="z", x=0, y=0, width=150, height=80, lines=("z", f"{k - config.bits} normal, {config.bits} of ±1")),
        Box(
            key="g",
            x=200,
            y=0,
            width=210,
            height=80,
            lines=("generator G", f"{k} → {features}, {networks.words}", f"{generator:,} parameters"),
            accent=True,
        ),
        Box(
            key="x",
            x=200,
            y=130,
            width=210,
            height=80,
            lines=("real samples", f"{len(data.train):,} of {features} numbers", config.data),
        ),
        Box(
            key="d",
            x=470,
            y=60,
            width=210,
            height=80,
            lines=("discriminator D", f"{features} → 1, {networks.words}", f"{discriminator:,} parameters"),
            accent=True,
        ),
    )
    return Diagram(
        title=f"Two players: G of {generator:,} parameters, D of {discriminator:,}",
        caption=f"D learns to tell real from generated, G to pass for real ({config.objective}).",
        boxes=boxes,
        arrows=(Arrow(start="z", end="g"), Arrow(start="g", end="d"), Arrow(start="x", end="d")),
    )


def _due(truth: Mixture, shown: Mixture) -> list[float]:
    """Weight of every mode in what is shown, 0 of one that is not."""
    weights = {tuple(centre): float(weight) for centre, weight in zip(shown.centres, shown.weights, strict=True)}
    return [weights.get(tuple(centre), 0.0) for centre in truth.centres]


def _modes_table(data: Dataset) -> tuple[Exhibit, ...]:
    if data.truth is None or data.shown is None:
        return ()
    due = _due(data.truth, data.shown)
    near = float(chi2.cdf(NEAR**2, data.truth.dimensions))
    rows = tuple(
        (number, ", ".join(f"{value:.2f}".replace("-", "−") for value in centre), f"{weight:.1%}", f"{share:.1%}")
        for number, (centre, weight, share) in enumerate(zip(data.truth.centres, data.truth.weights, due, strict=True))
    )
    draws = expected_draws(data.shown.weights * near)
    return (
        Table(
            title=f"{data.shown.modes} modes are shown; {draws:.0f} samples of an ideal generator meet them all",
            caption=f"Each mode is a Gaussian of standard deviation {data.truth.spread:g} around its centre.",
            columns=("mode", "centre", "share of the data", "share of what is shown"),
            rows=rows,
        ),
    )
