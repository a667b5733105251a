import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from tests.tolerances import assert_identity, assert_sampling

from theodolite.linear_vae.model import LinearVAE
from theodolite.theory import elbo as theory


def network(prior_scale=1.7, noise_variance=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = LinearVAE(6, 3, data_scale=0.8, prior_scale=prior_scale, noise_variance=noise_variance).double()
        for parameter in vae.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter) if parameter.requires_grad else 0
    return vae


def weights(vae):
    L = vae.encoder_factor.detach().numpy()
    U, W = vae.decoder.detach().numpy(), vae.encoder.detach().numpy()
    return theory.Weights(U, W, L @ L.T, float(vae.noise_variance.detach()), vae.prior_scale**2)


def data(n=20):
    x = np.random.default_rng(0).standard_normal((n, 6))
    return x - x.mean(axis=0)


def test_the_exact_bound_is_the_closed_form():
    vae, x = network(), data()
    exact = vae(torch.from_numpy(x)).detach().numpy()
    assert_identity(exact, theory.elbo_per_sample(x, weights(vae)))


def test_the_estimate_is_unbiased():
    vae, x = network(), torch.from_numpy(data()[:1])
    noise = torch.randn(1, 40_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        draws = torch.stack([vae(x, one[None, None]) for one in noise[0, :4000]]).squeeze()
        assert_sampling(draws, float(vae(x)))
        assert_identity(float(vae(x, noise[:, :4000])), float(draws.mean()))


def test_the_gradient_of_the_exact_bound_is_the_analytic_one():
    vae, x = network(), data()
    vae(torch.from_numpy(x)).mean().backward()
    expected = theory.gradients(x.T @ x / len(x), weights(vae))
    unit = vae.data_scale / vae.prior_scale
    L = vae.encoder_factor.detach().numpy()
    by_factor = np.tril(2 * expected.encoder_covariance @ L) * vae.prior_scale
    # the diagonal of the factor is trained through its logarithm
    by_factor[np.diag_indices(3)] *= np.diag(L) / vae.prior_scale
    assert_identity(vae.unit_decoder.grad, expected.decoder * unit)
    assert_identity(vae.unit_encoder.grad, expected.encoder / unit)
    assert_identity(vae.unit_factor.grad, by_factor)
    assert_identity(vae.unit_log_noise.grad, expected.noise_variance * float(vae.noise_variance.detach()))


def test_the_gradient_of_the_estimate_is_unbiased():
    vae, x = network(), torch.from_numpy(data()[:1])
    vae(x).mean().backward()
    exact = {name: parameter.grad.clone() for name, parameter in vae.named_parameters()}
    noise = torch.randn(2000, 1, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    drawn = {name: [] for name in exact}
    for one in noise:
        vae.zero_grad()
        vae(x, one).mean().backward()
        for name, parameter in vae.named_parameters():
            drawn[name].append(parameter.grad.clone())
    for name, gradients in drawn.items():
        values = torch.stack(gradients).reshape(len(noise), -1)
        for place, expected in enumerate(exact[name].flatten()):
            if values[:, place].any():
                assert_sampling(values[:, place], float(expected))


def test_the_encoders_gradient_has_no_noise_at_the_exact_posterior():
    vae, x = network(), torch.from_numpy(data(4))
    W, Sigma = theory.posterior(vae.decoder.detach().numpy(), float(vae.noise_variance.detach()), vae.prior_scale**2)
    L = np.linalg.cholesky(Sigma) / vae.prior_scale
    vae.unit_encoder.data = torch.from_numpy(W * vae.data_scale / vae.prior_scale)
    vae.unit_factor.data = torch.from_numpy(np.tril(L, -1) + np.diag(np.log(np.diag(L))))
    noise = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    vae(x, noise).mean().backward()
    assert_identity(vae.unit_encoder.grad, torch.zeros(3, 6))
    assert_identity(vae.unit_factor.grad, torch.zeros(3, 3))


def test_a_given_noise_stays():
    vae = network(noise_variance=0.3)
    assert_identity(float(vae.noise_variance.detach()), 0.3)
    assert not vae.unit_log_noise.requires_grad


def test_units_of_data_and_prior_change_nothing_but_the_unit():
    x = torch.from_numpy(data())
    with torch.random.fork_rng():
        bounds = []
        for unit, prior_scale in ((1.0, 1.0), (1000.0, 1.0), (1.0, 0.01)):
            torch.manual_seed(0)
            vae = LinearVAE(6, 3, data_scale=unit, prior_scale=prior_scale, noise_variance=None).double()
            # a density over data 1000 times as large is 1000⁻⁶ of what it was
            bounds.append(vae(x * unit).detach() + 6 * np.log(unit))
    assert_identity(bounds[1], bounds[0])
    assert_identity(bounds[2], bounds[0])


@pytest.mark.parametrize("wrong", [(20, 5), (20,), (2, 20, 6)])
def test_the_shapes_are_those_annotated(wrong):
    forward = jaxtyped(typechecker=beartype)(LinearVAE.forward)
    with pytest.raises(Exception, match="ype"):
        forward(network(), torch.zeros(wrong, dtype=torch.float64), torch.zeros(3, 1, 3))


@pytest.mark.parametrize("noise_variance", [None, 0.3])
def test_it_takes_weights_over_and_gives_them_back(noise_variance):
    vae = network(noise_variance=noise_variance)
    other = LinearVAE(6, 3, data_scale=2.5, prior_scale=1.7, noise_variance=noise_variance).double()
    other.assign(vae.weights())
    for given, taken in zip(vae.weights(), other.weights(), strict=True):
        assert_identity(given, taken)


def test_what_the_data_never_show_is_not_encoded_at_first():
    vae = LinearVAE(6, 3, data_scale=0.8, prior_scale=1.7, noise_variance=None)
    assert not vae.encoder.any()
    assert vae.decoder.any()
