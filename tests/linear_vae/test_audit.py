from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity

from theodolite.kernel.environment import Rates, keep_rates
from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.linear_vae.audit import audit
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining
from theodolite.linear_vae.dataset import load
from theodolite.linear_vae.plan import plan
from theodolite.linear_vae.train import train
from theodolite.linear_vae.trained import TrainedVAE, mean_and_uncertainty
from theodolite.theory import elbo as theory


def make(folder, steps=600, **settings):
    config, training = LinearVAEConfig(**settings), LinearVAETraining(steps=steps, device="cpu", learning_rate=0.03)
    run = RunFolder.create(folder, "linear-vae", config, training, plan(config))
    train(config, training, run)
    return run


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    return make(tmp_path_factory.mktemp("digits") / "run", latent_dim=5, prior_scale=2.0, race=False)


@pytest.fixture(scope="module")
def digits_audit(digits_run):
    return audit(digits_run)


def loaded(run):
    config = run.settings(LinearVAEConfig)
    data = load(config)
    summary = data.summary()
    return TrainedVAE.load(run, config, summary), data, summary


def measured(found):
    return {finding.prediction.name: finding.measurement for finding in found.findings}


def test_on_digits_theory_and_practice_agree(digits_audit):
    assert {finding.verdict for finding in digits_audit.findings} == {"holds"}
    assert digits_audit.sentences[0].startswith("Training reached an ELBO of")
    assert "Latent dimensions that carry information: 5 of 5; the spectrum predicted 5." in digits_audit.sentences
    assert not digits_audit.warnings


def test_each_prediction_when_falsified_fails(digits_run, digits_audit):
    measurements = measured(digits_audit)
    for prediction in digits_run.plan.predictions:
        wrong = prediction.model_copy(update={"value": prediction.value - 1 - 3 * prediction.tolerance})
        (finding,) = compare([wrong], [measurements[prediction.name]])
        assert finding.verdict == "fails"


def test_the_measurements_are_what_the_closed_form_says_of_the_trained_weights(digits_run, digits_audit):
    vae, data, summary = loaded(digits_run)
    weights, train = vae.weights(), np.concatenate(list(data.blocks(summary.mean)))
    S = train.T @ train / len(train)
    found = measured(digits_audit)
    assert abs(found["elbo_trained"].value - theory.elbo(S, weights)) < 2 * found["elbo_trained"].uncertainty
    assert_identity(found["kl"].value, -sum(theory.terms(S, weights)[3:]))
    assert_identity(vae.kl_by_direction([train], len(train)).sum(), found["kl"].value)
    likelihood = theory.log_likelihood(S, vae.decoder, vae.noise_variance, vae.prior_variance)
    assert_identity(vae.log_likelihood([train]), likelihood)


def test_reconstructions_come_near_those_of_principal_components(digits_run):
    vae, data, summary = loaded(digits_run)
    held_out = data.take(data.held_out_ids, summary.mean)
    pca = PCA(5).fit(np.concatenate(list(data.blocks(summary.mean))))
    theirs = pca.inverse_transform(pca.transform(held_out))
    errors = [np.mean((held_out - made) ** 2) for made in (vae.reconstruct(held_out), theirs)]
    assert 1 <= errors[0] / errors[1] < 1.1


def test_its_exhibits_are_drawn_from_files_that_are_there(digits_run, digits_audit):
    kinds = [exhibit.kind for exhibit in digits_audit.exhibits]
    assert kinds == ["chart", "chart", "table", "gallery", "grid", "table"]
    gallery, grid = digits_audit.exhibits[3:5]
    assert np.load(digits_run.exhibits / gallery.array).shape == (12, 8, 8)
    assert np.load(digits_run.exhibits / gallery.nearest).dtype == np.uint8
    assert np.load(digits_run.exhibits / grid.array).shape == (5, 8, 8)


def test_the_table_adds_up(digits_audit):
    rows = {row[0]: row[1:] for row in digits_audit.exhibits[-1].rows}
    closed = [row[0] for row in rows.values()]
    assert closed[3] == pytest.approx(sum(closed[:3]), abs=3e-4)
    assert closed[7] == pytest.approx(sum(closed[4:7]), abs=3e-4)
    assert closed[8] == pytest.approx(closed[3] + closed[7], abs=3e-4)


def test_dimensions_below_the_noise_have_collapsed(tmp_path):
    found = audit(make(tmp_path / "run", steps=500, noise_variance=0.3, race=False))
    assert measured(found)["active_dimensions"].value == 4
    assert {finding.verdict for finding in found.findings} == {"holds"}


def test_training_cut_short_fails_and_warns(tmp_path):
    found = audit(make(tmp_path / "run", steps=20))
    assert found.failed
    verdicts = {finding.prediction.name: finding.verdict for finding in found.findings}
    assert verdicts["elbo_trained"] == "fails"
    assert verdicts["elbo_bound"] == "holds"
    assert verdicts["closed_form_error"] in {"holds", "undecided"}
    assert found.sentences[0].startswith("Training stopped at")
    assert "--resume" in found.warnings[0]


def test_what_counts_as_reached_leaves_the_noise_within_its_tolerance(tmp_path):
    random = np.random.default_rng(0)
    codes, noise = random.standard_normal((400, 3)), random.standard_normal((400, 12))
    values = codes @ random.standard_normal((3, 12)) + 0.3 * noise
    np.save(tmp_path / "x.npy", values)
    found = audit(make(tmp_path / "run", steps=300, data=str(tmp_path / "x.npy"), latent_dim=3, draws=0, race=False))
    verdicts = {finding.prediction.name: finding.verdict for finding in found.findings}
    assert verdicts["elbo_trained"] == "holds"
    noise = measured(found)["noise_variance"].value / next(
        finding.prediction.value for finding in found.findings if finding.prediction.name == "noise_variance"
    )
    assert abs(noise - 1) > 0.02  # far from converged, and yet
    assert verdicts["noise_variance"] == "holds"
    # a gap of 0.1 nats allows the noise of the 9 features left over √(0.4 / 9) of itself
    assert abs(noise - 1) < np.sqrt(0.4 / 9)


def test_a_table_without_images_and_without_held_out_rows(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((50, 4)))
    data = str(tmp_path / "x.npy")
    run = make(tmp_path / "run", steps=5, data=data, latent_dim=2, held_out_share=0.0)
    found = audit(run)
    assert [exhibit.kind for exhibit in found.exhibits] == ["chart", "table", "chart", "table", "table"]
    assert len(found.sentences) == 3
    np.save(tmp_path / "x.npy", np.zeros((50, 4)) + np.eye(50, 4))
    with pytest.raises(DataError, match="has another SHA-256"):
        audit(run)
    Path(data).unlink()
    with pytest.raises(DataError, match="no file at"):
        audit(run)
    (run.path / "data.json").unlink()
    with pytest.raises(DataError, match="its training never began"):
        audit(run)


def test_an_interval_is_as_wide_as_its_draws_say():
    mean, half = mean_and_uncertainty(np.array([1.0, 3.0, 5.0, 7.0]))
    assert mean == 4
    # Student's t with three degrees of freedom, from a table
    assert abs(half - 3.182 * np.std([1, 3, 5, 7], ddof=1) / 2) < 1e-3


def test_calibration_tells_an_encoder_that_is_surer_than_it_should_be(digits_run):
    vae, _, _ = loaded(digits_run)
    assert abs(vae.posterior_coverage(0) - 0.95) < 0.01
    surer = replace(vae, encoder_factor=vae.encoder_factor / 2)
    assert vae.posterior_coverage(0) > surer.posterior_coverage(0) + 0.1
    # the ellipsoid of half the width holds what a ball of a quarter of the squared radius holds
    expected = chi2.cdf(chi2.ppf(0.95, 5) / 4, 5)
    assert abs(surer.posterior_coverage(0) - expected) < 0.02


def test_seconds_are_measured_where_they_were_predicted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    slow = {name: 1e-9 if name.startswith("eigh") else 1e8 for name in Rates.model_fields}
    keep_rates(Rates(**slow))
    found = audit(make(tmp_path / "run", method="px-em", race=False))
    assert measured(found)["closed_form_seconds"].value > 0
    assert "step_flops" not in measured(found)
