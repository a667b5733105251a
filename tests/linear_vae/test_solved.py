import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import Summary
from theodolite.linear_vae.solved import CLIMBS, greatest_elbo, solve
from theodolite.theory import elbo


def summary(seed=0, d=6):
    x = np.random.default_rng(seed).standard_normal((90, d)) @ np.random.default_rng(seed).standard_normal((d, d))
    return Summary(len(x), x.mean(axis=0), np.cov(x.T, ddof=0))


@pytest.mark.parametrize("noise", [None, 0.4])
@pytest.mark.parametrize("method", ["closed-form", *CLIMBS])
def test_every_way_ends_at_the_optimum_and_tells_its_gap(method, noise):
    config = LinearVAEConfig(latent_dim=2, noise_variance=noise, prior_scale=3.0, tolerance=1e-9)
    found = solve(method, config, summary(), max_iter=5000, seed=1)
    assert found.gaps[-1] <= config.tolerance
    assert len(found.gaps) > 1 or method == "closed-form"
    reached = elbo.elbo(summary().covariance, found.weights)
    assert_identity(greatest_elbo(config, summary()) - reached, found.gaps[-1])
    assert found.weights.prior_variance == 9.0
    assert noise is None or found.weights.noise_variance == noise


def test_a_climb_ends_where_it_is_told_to():
    found = solve("em", LinearVAEConfig(latent_dim=2), summary(), max_iter=3, seed=0)
    assert len(found.gaps) == 4
    assert found.gaps[-1] > 1e-6
