import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity

from theodolite.kernel.errors import UsageError
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import load
from theodolite.linear_vae.plan import plan, tried_noises


def predicted(**settings):
    return {prediction.name: prediction for prediction in plan(LinearVAEConfig(**settings)).predictions}


def trained_on():
    data = load(LinearVAEConfig())
    return np.concatenate(list(data.blocks(data.summary().mean)))


@pytest.mark.parametrize("prior_scale", [0.5, 1.0, 7.0])
def test_the_optimum_is_the_likelihood_of_scikit_learns_model(prior_scale):
    """Scikit-learn's probabilistic PCA, its divisor changed to n, whatever the prior."""
    train = trained_on()
    pca = PCA(10, svd_solver="full").fit(train)
    covariance = pca.get_covariance() * (len(train) - 1) / len(train)
    # three pixels never change; the model's noise keeps the covariance regular
    greatest = multivariate_normal(np.zeros(64), covariance).logpdf(train).mean()
    found = predicted(prior_scale=prior_scale)
    assert_identity(found["elbo_bound"].value, greatest)
    assert_identity(found["elbo_trained"].value, greatest)
    assert_identity(found["noise_variance"].value, pca.noise_variance_ * (len(train) - 1) / len(train))
    assert found["elbo_bound"].claim == "upper bound"


@pytest.mark.parametrize(("noise", "active"), [(0.05, 10), (0.15, 9), (0.3, 4)])
def test_dimensions_below_a_given_noise_are_to_collapse(noise, active):
    found = predicted(noise_variance=noise)
    assert found["active_dimensions"].value == active
    assert "noise_variance" not in found
    assert plan(LinearVAEConfig(noise_variance=noise)).exhibits[1].title.startswith(f"{active} of 10")


def test_a_borderline_dimension_may_count_either_way():
    eigenvalue = np.linalg.eigvalsh(np.cov(trained_on().T, ddof=0))[-4]
    assert predicted(noise_variance=eigenvalue * 1.01)["active_dimensions"].tolerance == 1
    assert predicted(noise_variance=0.05)["active_dimensions"].tolerance == 0


@pytest.mark.parametrize("latent_dim", [2, 3, 5])
def test_without_variance_left_over_noise_cannot_be_learned(tmp_path, latent_dim):
    random = np.random.default_rng(0)
    np.save(tmp_path / "flat.npy", random.standard_normal((30, 2)) @ random.standard_normal((2, 5)))
    flat = {"data": str(tmp_path / "flat.npy"), "latent_dim": latent_dim}
    with pytest.raises(UsageError, match=f"latent_dim={latent_dim} leaves no variance"):
        predicted(**flat)
    assert predicted(**flat, noise_variance=0.1)["active_dimensions"].value == 2


def test_collapse_is_tried_between_eigenvalues_that_differ():
    eigenvalues = np.array([9.0, 4.0, 3.9, 1.0, 0.0])
    # √(9 · 4), √(3.9 · 1); the second and third are too near, and below the fourth nothing is left
    assert_identity(tried_noises(eigenvalues, 4), [6.0, np.sqrt(3.9)])
    assert len(tried_noises(0.8 ** np.arange(30.0), 20)) == 5
    assert not len(tried_noises(np.ones(5), 3))


def test_what_it_costs_is_counted():
    table = plan(LinearVAEConfig()).exhibits[2]
    assert table.rows[0][1] == 1617 * 64 * 65 // 2
    assert "step_flops" in predicted()
    assert "step_flops" not in predicted(method="em")
