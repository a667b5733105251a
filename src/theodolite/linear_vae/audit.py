"""The trained linear VAE beside its plan."""

import math

from theodolite.kernel.errors import DataError
from theodolite.kernel.records import Audit, Figure, Finding, Measurement, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.linear_vae import exhibits
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import Dataset, load
from theodolite.linear_vae.plan import NATS
from theodolite.linear_vae.trained import ACTIVE_KL, DRAWS, Matrix, TrainedVAE, mean_and_uncertainty
from theodolite.theory import elbo as closed_form


def audit(run: RunFolder) -> Audit:
    """Measure a trained linear VAE against its plan, from its run folder and its data.

    Raises
    ------
    DataError
        If the data are not those that were trained on, or the weights are missing, damaged or of another plan.
    """
    config, training = run.settings(LinearVAEConfig), run.settings(LinearVAETraining)
    data = _same_data(run, config)
    trained = TrainedVAE.load(run, config, data)
    weights = closed_form.Weights(
        trained.decoder,
        trained.encoder,
        trained.encoder_factor @ trained.encoder_factor.T,
        trained.noise_variance,
        trained.prior_variance,
    )
    theory = closed_form.terms(data.train.T @ data.train / len(data.train), weights)
    sampled = trained.sampled_terms(data.train, training.seed)
    findings = compare(run.plan.predictions, _measure(run.plan, trained, data, sampled, sum(theory)))
    return Audit(
        family="linear-vae",
        title=f"A linear VAE from {data.train.shape[1]} to {config.latent_dim} dimensions on {config.data}",
        sentences=_sentences(findings, config, trained, data, training.seed),
        figures=_figures(findings, config),
        findings=findings,
        exhibits=(
            *exhibits.gap_over_passes(run, config, min(training.batch_size, len(data.train)) / len(data.train)),
            exhibits.kl_by_direction(trained, data),
            *exhibits.reconstructions(run, trained, data),
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
    plan: Plan, trained: TrainedVAE, data: Dataset, sampled: dict[str, Matrix], by_closed_form: float
) -> list[Measurement]:
    elbo, uncertainty = mean_and_uncertainty(sampled["likelihood"] + sampled["prior"] + sampled["entropy"])
    by_sampling = f"{DRAWS} draws of z from the encoder for every training sample"
    told = [
        ("elbo_bound", elbo, NATS, uncertainty, by_sampling),
        ("elbo_trained", elbo, NATS, uncertainty, by_sampling),
        (
            "encoder_gap",
            trained.log_likelihood(data.train) - elbo,
            NATS,
            uncertainty,
            "SciPy's log-density less that ELBO",
        ),
        ("closed_form_error", by_closed_form - elbo, NATS, uncertainty, f"the six terms less {by_sampling}"),
        ("kl", trained.mean_kl(data.train), NATS, 0.0, "torch.distributions, averaged over the training samples"),
        ("active_dimensions", trained.active_dimensions(), "dimensions", 0.0, f"SVD of U; more than {ACTIVE_KL} nats"),
        ("noise_variance", trained.noise_variance, "squared data units", 0.0, "read from the trained weights"),
    ]
    planned = {prediction.name for prediction in plan.predictions}
    return [
        Measurement(name=name, value=value, unit=unit, uncertainty=error, method=method)
        for name, value, unit, error, method in told
        if name in planned or name != "noise_variance"  # which is predicted only where it is learned
    ]


def _sentences(
    findings: tuple[Finding, ...], config: LinearVAEConfig, trained: TrainedVAE, data: Dataset, seed: int
) -> tuple[str, ...]:
    found = {finding.prediction.name: finding for finding in findings}
    elbo, kept = found["elbo_trained"], found["active_dimensions"]
    reached = "Training reached" if elbo.verdict == "holds" else "Training stopped at"
    told = [
        f"{reached} an ELBO of {_number(elbo)} nats per sample, {_at_most(elbo)} below the greatest that any linear "
        f"VAE has on these {len(data.train):,} samples ({_signed(elbo.prediction.value, 4)}).",
        f"Latent dimensions that carry information: {kept.measurement.value:.0f} of {config.latent_dim}; the spectrum "
        f"predicted {kept.prediction.value:.0f}.",
        f"The ELBO understates log p(x) by {_at_most(found['encoder_gap'], -1)} nats per sample: so far is the encoder "
        "from the exact posterior.",
    ]
    if len(data.held_out):
        terms = trained.sampled_terms(data.held_out, seed)
        held_out, _ = mean_and_uncertainty(terms["likelihood"] + terms["prior"] + terms["entropy"])
        change = "lower" if held_out < elbo.measurement.value else "higher"
        told.append(
            f"On {len(data.held_out):,} samples held out from training the ELBO is {_signed(held_out, 2)} nats "
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
    if any(finding.prediction.name == "elbo_trained" and finding.verdict == "fails" for finding in findings):
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
