"""The trained linear VAE beside its plan."""

import math
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from theodolite.kernel.errors import DataError
from theodolite.kernel.records import Audit, Figure, Finding, Measurement, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.linear_vae import exhibits
from theodolite.linear_vae.climb import climb
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import Dataset, Summary, load
from theodolite.linear_vae.model import LinearVAE
from theodolite.linear_vae.plan import NATS, tried_noises
from theodolite.linear_vae.race import race_chart, race_table
from theodolite.linear_vae.spectra import from_covariance
from theodolite.linear_vae.trained import (
    ACTIVE_KL,
    SIMULATIONS,
    Matrix,
    TrainedVAE,
    active,
    draws_of,
    mean_and_uncertainty,
)
from theodolite.theory import elbo as closed_form
from theodolite.theory import ppca
from theodolite.theory.gaussian import NORMAL_95

COLLAPSE_PASSES = 5000  # of PX-EM at each noise where collapse is tried
COLLAPSE_GAP = 1e-9  # nats
OF_THE_END = ("elbo_trained", "encoder_gap", "kl", "noise_variance")  # predictions that longer training fulfils


def audit(run: RunFolder) -> Audit:
    """Measure a trained linear VAE against its plan, from its run folder and its data.

    Raises
    ------
    DataError
        If the data are not those that were trained on, or the weights are missing, damaged or of another plan.
    """
    config, training = run.settings(LinearVAEConfig), run.settings(LinearVAETraining)
    data = _same_data(run, config)
    summary = data.summary()
    trained = TrainedVAE.load(run, config, summary)
    weights = trained.weights()
    theory = closed_form.terms(summary.covariance, weights)
    sampled = trained.sampled_terms(data.blocks(summary.mean), summary.count, training.seed)
    tried = _try_collapse(config, summary)
    measured = _measure(trained, data, summary, sampled, theory, training.seed)
    measured += [_count_flops(config, len(summary.mean)), _time_closed_form(config, data)]
    measured += [_collapse_errors(tried)] if tried else []
    findings = compare(run.plan.predictions, _only_planned(run.plan, measured))
    return Audit(
        family="linear-vae",
        title=f"A linear VAE from {len(summary.mean)} to {config.latent_dim} dimensions on {config.data}",
        sentences=_sentences(findings, config, trained, data, summary, training.seed),
        figures=_figures(findings, config),
        findings=findings,
        exhibits=(
            *race_chart(run, config, training, summary.count),
            *race_table(run, config, training, summary.count),
            exhibits.kl_by_direction(trained, data, summary),
            *exhibits.collapse(tried, config.latent_dim),
            *exhibits.reconstructions(run, trained, data, summary),
            *exhibits.decoder_directions(run, trained, data),
            exhibits.elbo_by_terms(theory, sampled),
        ),
        warnings=_warnings(findings),
    )


def _same_data(run: RunFolder, config: LinearVAEConfig) -> Dataset:
    trained_on = run.read_json("data.json").get("sha256")
    if trained_on is None:
        raise DataError(f"{run.path} has no data.json with a SHA-256: its training never began; train it with --resume")
    data = load(config)
    if data.sha256 != trained_on:
        raise DataError(f"{config.data} has another SHA-256 than what {run.path} was trained on; restore the file")
    return data


def _measure(
    trained: TrainedVAE,
    data: Dataset,
    summary: Summary,
    sampled: dict[str, Matrix],
    theory: closed_form.Terms,
    seed: int,
) -> list[Measurement]:
    elbo, uncertainty = mean_and_uncertainty(sampled["likelihood"] + sampled["prior"] + sampled["entropy"])
    by_sampling = f"{draws_of(summary.count)} draws of z from the encoder for every training sample"
    gap = trained.log_likelihood(data.blocks(summary.mean)) - elbo
    by_formula = closed_form.gap(summary.covariance, trained.weights())
    inside = trained.posterior_coverage(seed)
    chance = NORMAL_95 * math.sqrt(inside * (1 - inside) / SIMULATIONS)
    carried = trained.mean_kl(data.blocks(summary.mean))
    return [
        Measurement(name=name, value=value, unit=unit, uncertainty=error, method=method)
        for name, value, unit, error, method in (
            ("elbo_bound", elbo, NATS, uncertainty, by_sampling),
            ("elbo_trained", elbo, NATS, uncertainty, by_sampling),
            ("encoder_gap", gap, NATS, uncertainty, "torch's log-density less that ELBO"),
            ("closed_form_error", sum(theory) - elbo, NATS, uncertainty, f"the six terms less {by_sampling}"),
            ("gap_identity_error", gap - by_formula, NATS, uncertainty, "that gap less the divergence of Gaussians"),
            ("kl", carried, NATS, 0.0, "torch.distributions, averaged over the training samples"),
            ("active_dimensions", trained.active_dimensions(), "dimensions", 0.0, f"SVD of U; above {ACTIVE_KL} nats"),
            ("noise_variance", trained.noise_variance, "squared data units", 0.0, "read from the trained weights"),
            ("posterior_coverage", inside, "", chance, f"{SIMULATIONS:,} samples drawn from the decoder"),
        )
    ]


def _only_planned(plan: Plan, measured: list[Measurement]) -> list[Measurement]:
    """Leave out what is predicted only at times: the noise if learned, a step if there are any, known seconds."""
    sometimes = {"noise_variance", "step_flops", "closed_form_seconds"}
    planned = {prediction.name for prediction in plan.predictions}
    return [measurement for measurement in measured if measurement.name in planned or measurement.name not in sometimes]


def _count_flops(config: LinearVAEConfig, d: int) -> Measurement:
    """Count the matrix products of one step of the planned batch, on the network itself."""
    batch = LinearVAETraining.model_fields["batch_size"].default
    network = LinearVAE(d, config.latent_dim, data_scale=1.0, prior_scale=1.0, noise_variance=config.noise_variance)
    noise = torch.zeros(batch, config.draws, config.latent_dim) if config.draws else None
    with FlopCounterMode(display=False) as counter:
        network(torch.ones(batch, d), noise).mean().backward()
    return Measurement(
        name="step_flops", value=counter.get_total_flops(), unit="FLOPs", method="torch's counter on a step"
    )


def _time_closed_form(config: LinearVAEConfig, data: Dataset) -> Measurement:
    began = time.process_time()
    summary = data.summary()
    from_covariance(summary.mean, summary.covariance, config.latent_dim)
    seconds = time.process_time() - began
    return Measurement(
        name="closed_form_seconds", value=seconds, unit="CPU seconds", method="one pass and its eigenvectors, timed"
    )


def _try_collapse(config: LinearVAEConfig, summary: Summary) -> list[tuple[float, int, int]]:
    """Fit by PX-EM at other noises: each noise, the dimensions the spectrum says stay, and those that stayed."""
    eigenvalues = ppca.eigenvalues(summary.covariance)
    found = []
    for noise in tried_noises(eigenvalues, config.latent_dim):
        fit = climb(
            "px-em",
            summary.covariance,
            config.latent_dim,
            noise_variance=float(noise),
            prior_variance=config.prior_scale**2,
            max_iter=COLLAPSE_PASSES,
            tol=COLLAPSE_GAP,
            seed=0,
        )
        stayed = active(fit.weights.decoder, float(noise), config.prior_scale**2)
        said = ppca.active_dimensions(eigenvalues, config.latent_dim, float(noise))
        found.append((float(noise), said, stayed))
    return found


def _collapse_errors(tried: list[tuple[float, int, int]]) -> Measurement:
    wrong = sum(abs(said - stayed) for _, said, stayed in tried)
    return Measurement(
        name="collapse_errors", value=wrong, unit="dimensions", method="PX-EM from a random start, SVD of U"
    )


def _sentences(
    findings: tuple[Finding, ...],
    config: LinearVAEConfig,
    trained: TrainedVAE,
    data: Dataset,
    summary: Summary,
    seed: int,
) -> tuple[str, ...]:
    found = {finding.prediction.name: finding for finding in findings}
    elbo, kept = found["elbo_trained"], found["active_dimensions"]
    reached = "Training reached" if elbo.verdict == "holds" else "Training stopped at"
    told = [
        f"{reached} an ELBO of {_number(elbo)} nats per sample, {_at_most(elbo)} below the greatest that any linear "
        f"VAE has on these {summary.count:,} samples ({_signed(elbo.prediction.value, 4)}).",
        f"Latent dimensions that carry information: {kept.measurement.value:.0f} of {config.latent_dim}; the spectrum "
        f"predicted {kept.prediction.value:.0f}.",
        f"The ELBO understates log p(x) by {_at_most(found['encoder_gap'], -1)} nats per sample: so far is the encoder "
        "from the exact posterior.",
    ]
    if count := len(data.held_out_ids):
        terms = trained.sampled_terms(data.held_out_blocks(summary.mean), count, seed)
        held_out, _ = mean_and_uncertainty(terms["likelihood"] + terms["prior"] + terms["entropy"])
        change = "lower" if held_out < elbo.measurement.value else "higher"
        told.append(
            f"On {count:,} samples held out from training the ELBO is {_signed(held_out, 2)} nats "
            f"per sample, {abs(held_out - elbo.measurement.value):.2f} {change} than on those trained on."
        )
    return tuple(told)


def _figures(findings: tuple[Finding, ...], config: LinearVAEConfig) -> tuple[Figure, ...]:
    found = {finding.prediction.name: finding for finding in findings}
    elbo, kept = found["elbo_trained"], found["active_dimensions"].measurement.value
    return (
        Figure(
            value=_number(elbo), unit=NATS, meaning=f"ELBO; at most {_signed(elbo.prediction.value, 4)} is possible"
        ),
        Figure(value=_at_most(elbo).split()[-1], unit=NATS, meaning="at most so far below the optimum"),
        Figure(value=f"{kept:.0f} of {config.latent_dim}", unit="dimensions", meaning="carry information"),
        Figure(value=f"{found['kl'].measurement.value:.2f}", unit=NATS, meaning="travel through the code z (KL)"),
    )


def _warnings(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    if any(finding.prediction.name in OF_THE_END and finding.verdict == "fails" for finding in findings):
        return ("Training ended before the optimum; continue with --resume and more --steps.",)
    return ()


def _number(finding: Finding) -> str:
    """Write a measurement with one digit beyond its uncertainty."""
    uncertainty = finding.measurement.uncertainty
    decimals = min(4, max(1, 1 - math.floor(math.log10(uncertainty)))) if uncertainty > 0 else 4
    return _signed(finding.measurement.value, decimals)


def _signed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


def _at_most(finding: Finding, sign: int = 1) -> str:
    """Write how far the measurement may be below (1) or above (−1) its prediction, by the end of its interval."""
    furthest = sign * (finding.prediction.value - finding.measurement.value) + finding.measurement.uncertainty
    words = exhibits.amount(furthest)
    return words if words.startswith("less") else f"at most {words}"
