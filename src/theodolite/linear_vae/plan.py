"""What theory says of a linear VAE before it is trained: everything, from the spectrum of the data."""

import math

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.environment import known_rates
from theodolite.kernel.errors import UsageError
from theodolite.kernel.exhibits import Arrow, Box, Diagram, Table
from theodolite.kernel.records import Plan, Prediction
from theodolite.linear_vae import costs
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import load
from theodolite.theory import ppca

NATS = "nats per sample"
REACHED = 0.1  # nats per sample: a gap below this is called reached
ROWS = 40  # of the table of dimensions
BORDERLINE = 0.05  # an eigenvalue this close to the noise, relatively, may count as active or not
OVERHEAD = 0.05  # seconds that Python takes whatever the size
NOISES = 5  # at which collapse is tried
MOST_TRIED = 1024  # features; above, trying takes minutes
SIMULATED = 0.95  # share of codes that an ellipsoid of posterior probability 0.95 is to hold


def plan(config: LinearVAEConfig) -> Plan:
    """Predict the optimum of the linear VAE that the settings describe, from the eigenvalues of its training data.

    Raises
    ------
    DataError, UsageError
        If the data cannot be used, see `dataset.load`; or if η_d² is to be learned where no variance is left for it.
    """
    data = load(config)
    summary = data.summary()
    eigenvalues = ppca.eigenvalues(summary.covariance)
    noise = _planned_noise(config, eigenvalues)
    n, d, k = summary.count, len(summary.mean), config.latent_dim
    cost = costs.closed_form(n, d, k, data.rows.dtype.itemsize)
    rates = known_rates()
    seconds = costs.seconds(cost, d, k, data.rows.dtype.itemsize, rates) if rates else None
    return Plan(
        family="linear-vae",
        config=config.model_dump(mode="json"),
        assumptions=(
            f"Every statement is about the {n:,} training samples of {d} features, their mean subtracted.",
            "Encoder and decoder have no offset; the encoder's covariance Σ is one full matrix for all samples.",
        ),
        predictions=(*_predictions(config, eigenvalues, noise), *_promised_time(seconds)),
        exhibits=(
            _diagram(config, d, noise),
            _spectrum_table(config, eigenvalues, noise),
            _cost_table(cost, seconds, n, d, k),
        ),
    )


def tried_noises(eigenvalues: NDArray[np.float64], latent_dim: int) -> NDArray[np.float64]:
    """Noise variances at which collapse is tried: between eigenvalues that differ, up to `NOISES` of them, (m,)."""
    if len(eigenvalues) > MOST_TRIED:
        return np.empty(0)
    upper, lower = eigenvalues[:latent_dim], np.append(eigenvalues, 0)[1 : latent_dim + 1]
    apart = np.flatnonzero((lower > 0) & (upper * (1 - 2 * BORDERLINE) > lower))
    chosen = apart[np.unique(np.linspace(0, len(apart) - 1, NOISES).round().astype(int))] if len(apart) else apart
    return np.asarray(np.sqrt(upper[chosen] * lower[chosen]))


def _planned_noise(config: LinearVAEConfig, eigenvalues: NDArray[np.float64]) -> float:
    if config.noise_variance is not None:
        return config.noise_variance
    noise, k = ppca.learned_noise_variance(eigenvalues, config.latent_dim), config.latent_dim
    if noise <= ppca.noise_floor(eigenvalues):
        raise UsageError(
            f"latent_dim={k} leaves no variance for η_d² to be learned from, so no optimum is predicted; "
            "take fewer latent dimensions or give a noise_variance"
        )
    return noise


def _predictions(config: LinearVAEConfig, eigenvalues: NDArray[np.float64], noise: float) -> tuple[Prediction, ...]:
    k = config.latent_dim
    greatest = ppca.greatest_elbo(eigenvalues, k, noise)
    kl = float(ppca.kl_per_dimension(eigenvalues, k, noise).sum())
    borderline = int(np.sum(np.abs(eigenvalues[:k] / noise - 1) < BORDERLINE))
    learned = Prediction(
        name="noise_variance",
        label="Decoder variance η_d²",
        value=noise,
        unit="squared data units",
        claim="estimate",
        source="Tipping and Bishop (1999), eq. 8: the mean of the left-out eigenvalues",
        # of a noise wrong by the share s the ELBO tells (d − k) s² / 4
        tolerance=noise * math.sqrt(4 * REACHED / max(1, len(eigenvalues) - k)),
    )
    return (
        Prediction(
            name="elbo_bound",
            label="ELBO of any linear VAE on these data",
            value=greatest,
            unit=NATS,
            claim="upper bound",
            source="Tipping and Bishop (1999), eq. 7 f.; Lucas et al. (2019), §4; derived in Q2.a",
            tolerance=0.01,
        ),
        *_promises_of_training(greatest, kl),
        Prediction(
            name="active_dimensions",
            label="Latent dimensions not collapsed",
            value=ppca.active_dimensions(eigenvalues, k, noise),
            unit="dimensions",
            claim="estimate",
            source="exact at the optimum: the λ_j > η_d²; Lucas et al. (2019), §4; Tipping and Bishop (1999), app. A",
            tolerance=borderline,
        ),
        *((learned,) if config.noise_variance is None else ()),
        *_promises_of_theory(config, eigenvalues),
    )


def _promises_of_theory(config: LinearVAEConfig, eigenvalues: NDArray[np.float64]) -> tuple[Prediction, ...]:
    tried = len(tried_noises(eigenvalues, config.latent_dim))
    collapse = Prediction(
        name="collapse_errors",
        label=f"Dimensions counted wrongly over {tried} other η_d²",
        value=0,
        unit="dimensions",
        claim="exact",
        source="a dimension is lost where λ_j ≤ η_d²; Lucas et al. (2019), §4; Q2.a",
    )
    batch = LinearVAETraining.model_fields["batch_size"].default
    work = Prediction(
        name="step_flops",
        label=f"Matrix products of a step of {batch} samples",
        value=costs.step_flops(batch, config.draws, len(eigenvalues), config.latent_dim),
        unit="FLOPs",
        claim="exact",
        source="2 FLOPs a multiply-add, forward and backward; Q2.b",
    )
    return (
        Prediction(
            name="gap_identity_error",
            label="log p(x) − ELBO, by sampling less by its formula",
            value=0.0,
            unit=NATS,
            claim="exact",
            source="divergence of two Gaussians, averaged; derived in Q2.a",
            tolerance=0.02,
        ),
        Prediction(
            name="posterior_coverage",
            label="Simulated codes inside the encoder's 95% ellipsoids",
            value=SIMULATED,
            unit="",
            claim="estimate",
            source="exact where the encoder is the posterior (Cook, Gelman and Rubin 2006); Q2.a",
            tolerance=0.02,
        ),
        *((collapse,) if tried else ()),
        *((work,) if config.method == "reparametrised" else ()),
    )


def _promises_of_training(greatest: float, kl: float) -> tuple[Prediction, ...]:
    return (
        Prediction(
            name="elbo_trained",
            label="ELBO after training",
            value=greatest,
            unit=NATS,
            claim="estimate",
            source="Lucas et al. (2019), §4: the ELBO adds no local maximum, so gradient steps get there",
            tolerance=REACHED,
        ),
        Prediction(
            name="encoder_gap",
            label="log p(x) less ELBO",
            value=0.0,
            unit=NATS,
            claim="estimate",
            source="a linear decoder has a linear Gaussian posterior (Bishop 2006, eq. 2.116); Q2.a",
            tolerance=REACHED,
        ),
        Prediction(
            name="closed_form_error",
            label="ELBO, closed form less sampling",
            value=0.0,
            unit=NATS,
            claim="exact",
            source="derived in Q2.a",
            tolerance=0.02,
        ),
        Prediction(
            name="kl",
            label="KL(q(z|x) ‖ p(z)), averaged",
            value=kl,
            unit=NATS,
            claim="estimate",
            source="½ Σ log(λ_j / η_d²) over the active dimensions; derived in Q2.a",
            tolerance=REACHED + 0.02 * kl,
        ),
    )


def _promised_time(seconds: costs.Seconds | None) -> tuple[Prediction, ...]:
    """One pass and the closed form after it, where this machine's rates are known."""
    if seconds is None:
        return ()
    value = seconds.of_pass + seconds.of_solve
    return (
        Prediction(
            name="closed_form_seconds",
            label="Closed form, from the data on",
            value=value,
            unit="CPU seconds",
            claim="estimate",
            source="multiply-adds, bytes read and d³, by the rates that theodolite doctor measured",
            tolerance=2 * value + OVERHEAD,
        ),
    )


def _diagram(config: LinearVAEConfig, d: int, noise: float) -> Diagram:
    k = config.latent_dim
    how = "at the optimum" if config.noise_variance is None else "given"
    prior = f"prior N(0, {config.prior_scale**2:g} I)"
    contents = (
        ("x", 110, (f"{d} features", "mean subtracted"), "x"),
        ("q", 150, (f"W {k} × {d}", f"Σ {k} × {k}, full"), "q(z|x) = N(W x, Σ)"),
        ("z", 130, (f"{k} dimensions", prior), "z = W x + L e"),
        ("p", 185, (f"U {d} × {k}", f"η_d² {noise:.3g}, {how}"), "p(x|z) = N(U z, η_d² I)"),
    )
    boxes, left = [], 0.0
    for key, width, lines, name in contents:
        boxes.append(Box(key=key, x=left, y=0, width=width, height=80, lines=(name, *lines), accent=key == "z"))
        left += width + 35
    count = d * k * 2 + k * (k + 1) // 2 + (config.noise_variance is None)
    return Diagram(
        title=f"A linear VAE of {count:,} numbers: {d} features through {k} latent dimensions",
        caption="Σ = L Lᵀ; e is standard normal. Training moves U, W, L and, where it is learned, η_d².",
        boxes=tuple(boxes),
        arrows=(Arrow(start="x", end="q"), Arrow(start="q", end="z"), Arrow(start="z", end="p")),
    )


def _spectrum_table(config: LinearVAEConfig, eigenvalues: NDArray[np.float64], noise: float) -> Table:
    k = config.latent_dim
    kl = ppca.kl_per_dimension(eigenvalues, k, noise)
    active = ppca.active_dimensions(eigenvalues, k, noise)
    share = eigenvalues / eigenvalues.sum()
    rows = tuple(
        (
            j + 1,
            float(f"{eigenvalues[j]:.4g}"),
            round(100 * float(share[j]), 1),
            round(float(kl[j]), 3),
            "active" if j < active else "collapsed",
        )
        for j in range(min(k, ROWS))
    )
    return Table(
        title=f"{active} of {k} dimensions are predicted to carry {kl.sum():.2f} nats per sample",
        caption=f"A dimension is active if its eigenvalue λ exceeds η_d² = {noise:.4g}; it carries ½ log(λ / η_d²).",
        columns=("dimension", "eigenvalue λ of the data", "of the variance, %", "KL, nats", "prediction"),
        rows=rows,
    )


def _cost_table(cost: costs.Costs, seconds: costs.Seconds | None, n: int, d: int, k: int) -> Table:
    told = "seconds are estimates from measured rates." if seconds else "theodolite doctor adds the seconds."
    times = tuple(float(f"{value:.2g}") for value in seconds) if seconds else (None, None, None)
    return Table(
        title=f"One pass over {n:,} samples takes {cost.pass_products / 1e9:,.3g}·10⁹ multiply-adds and holds "
        f"{cost.state_bytes / 1e6:,.3g} MB, however many there are",
        caption=f"Multiply-adds are those of the matrix products; {told}",
        columns=("part", "multiply-adds", "bytes read", "bytes held", "CPU seconds"),
        rows=(
            ("one pass, any way: the covariance", cost.pass_products, cost.read_bytes, cost.state_bytes, times[0]),
            ("closed form: its eigenvectors", cost.solve_products, None, 3 * cost.state_bytes, times[1]),
            ("em, px-em, lbfgs, adam: one iteration", 4 * d * d * k, None, cost.state_bytes, times[2]),
        ),
    )
