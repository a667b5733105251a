import numpy as np
import torch
from tests.tolerances import assert_identity

from theodolite.linear_vae.ascent import ascend
from theodolite.linear_vae.dataset import Summary
from theodolite.theory import elbo, ppca


def climb(x, latent_dim=2, *, noise_variance=None, prior_scale=2.0, passes=3, batch_size=15, seed=0):
    mean = x.mean(axis=0)
    summary = Summary(len(x), mean, np.cov(x.T, ddof=0))
    return ascend(
        lambda ids: x[ids] - mean,
        summary,
        latent_dim,
        noise_variance=noise_variance,
        prior_scale=prior_scale,
        passes=passes,
        batch_size=batch_size,
        seed=seed,
    )


def test_training_is_a_function_of_its_seed_and_leaves_torchs_generator_alone():
    x = np.random.default_rng(0).standard_normal((40, 5))
    state = torch.get_rng_state()
    first, again, other = (climb(x, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.weights.decoder, again.weights.decoder)
    assert not np.allclose(first.weights.decoder, other.weights.decoder)
    assert first.weights.prior_variance == 4.0


def test_the_gap_is_told_before_and_after_each_pass():
    x = np.random.default_rng(0).standard_normal((40, 5))
    found, S = climb(x), np.cov(x.T, ddof=0)
    eigenvalues = np.linalg.eigvalsh(S)[::-1]
    greatest = ppca.greatest_elbo(eigenvalues, 2, eigenvalues[2:].mean())
    assert len(found.gaps) == 4
    assert_identity(found.gaps[-1], greatest - elbo.elbo(S, found.weights))
    assert (np.diff(found.gaps) < 0).all()


def test_a_given_noise_is_kept_and_a_batch_may_exceed_the_data():
    x = np.random.default_rng(0).standard_normal((10, 3))
    assert_identity(climb(x, 1, noise_variance=0.3, batch_size=99).weights.noise_variance, 0.3)
