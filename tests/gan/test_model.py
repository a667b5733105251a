"""Generator and discriminator: shapes, bounds, bits, and that no row sees another."""

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped
from tests.tolerances import SINGLE, assert_single
from torch import nn

from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import load
from theodolite.gan.model import (
    QUIET,
    Discriminator,
    Generator,
    NoisyDiscriminator,
    ResidualMLP,
    build_discriminator,
    build_generator,
    squared_slopes,
)


@pytest.fixture
def digits():
    config = GANConfig(data="digits", width=16, depth=1)
    return config, load(config).units


def test_shapes_are_as_annotated(digits):
    generator, discriminator = build_generator(*digits), build_discriminator(*digits)
    generate = jaxtyped(typechecker=beartype)(Generator.forward)
    judge = jaxtyped(typechecker=beartype)(Discriminator.forward)
    made = generate(generator, torch.randn(5, 16))
    assert made.shape == (5, 64)
    assert judge(discriminator, made).shape == (5,)
    with pytest.raises(TypeCheckError):
        judge(discriminator, made[0])


def test_generated_digits_stay_on_the_range_of_digits(digits):
    config, units = digits
    generator = build_generator(config, units)
    with torch.no_grad():
        generator.body.leave.weight.mul_(1e3)
        written = units.write(generator(torch.randn(50, 16)).numpy())
    assert written.min() == 0
    assert written.max() == 1
    assert set((written * 16).ravel().tolist()) <= set(range(17))


@pytest.mark.parametrize(("data", "asked", "spread"), [("ring8", None, 0.5), ("ring8", 0.3, 0.3), ("digits", None, 1)])
def test_what_is_normal_in_z_has_the_spread_asked_for(data, asked, spread):
    """A generator made linear shows its z."""
    config = GANConfig(data=data, spread=asked, reals=200, latent_dim=12, bits=4)
    generator = build_generator(config, load(config).units)
    generator.body, generator.last = torch.nn.Identity(), torch.nn.Identity()
    normal = torch.randn(5, 12)
    assert_single(generator(normal)[:, 4:], spread * normal[:, 4:])


def test_small_scans_are_generated_within_half_a_grain_of_their_range_and_others_without_bounds(digits):
    config, units = digits
    made = []
    for bounded in (config, GANConfig.build(**config.model_dump() | {"network": "convolutional"})):
        generator = build_generator(bounded, units)
        with torch.no_grad():
            generator.body.leave.weight.mul_(1e3)
            flat = generator(torch.randn(50, config.latent_dim)) * units.scale + torch.tensor(units.centre)
        made.append((float(flat.min()), float(flat.max())))
    (low, high), (lower, higher) = made
    assert_single([low, high], [-1 / 32, 33 / 32])
    assert lower < -1
    assert higher > 2


def test_the_first_coordinates_of_z_are_signs():
    body = ResidualMLP(4, 3, 8, 1)
    generator = Generator(body, bits=2)
    normal = torch.randn(6, 4)
    stretched = normal * torch.tensor([5.0, 0.1, 1.0, 1.0])
    assert_single(generator(normal).detach(), generator(stretched).detach())
    signs = torch.cat([torch.sign(normal[:, :2]), normal[:, 2:]], dim=1)
    assert_single(generator(normal).detach(), body(signs).detach())


def test_what_is_normal_in_z_is_made_small_for_vectors_alone(digits):
    config = GANConfig(data="ring8")
    assert build_generator(config, load(config).units).spread == QUIET
    assert build_generator(*digits).spread == 1
    body = ResidualMLP(4, 3, 8, 1)
    normal = torch.randn(6, 4)
    scaled = normal * torch.tensor([1.0, 1.0, 0.5, 0.5])
    made = Generator(body, bits=2, spread=0.5)(normal).detach()
    assert_single(made, Generator(body, bits=2)(scaled).detach())


@pytest.fixture
def ring():
    config = GANConfig(data="ring8", width=16)
    return config, load(config).units


def test_a_sample_alone_is_taken_for_one_with_the_least_noise(ring):
    discriminator = build_discriminator(*ring)
    judge = jaxtyped(typechecker=beartype)(NoisyDiscriminator.forward)
    x = torch.randn(5, 2)
    least = discriminator.inputs.least.expand(5, 1)
    assert torch.equal(judge(discriminator, x), judge(discriminator, x, least))
    assert not torch.equal(judge(discriminator, x), judge(discriminator, x, least + 1))


def test_all_parameters_of_the_discriminator_change_the_difference_of_two_scores(ring):
    # an offset at the end would have no gradient but rounding, which Adam would scale up
    discriminator = build_discriminator(*ring)
    real, fake = discriminator(torch.randn(64, 2)).chunk(2)
    (real - fake).square().mean().backward()
    assert all(weight.grad.abs().max() > 1e-3 * SINGLE for weight in discriminator.parameters())


def test_the_least_noise_is_kept_among_the_weights(ring):
    discriminator, other = build_discriminator(*ring), build_discriminator(*ring)
    discriminator.inputs.least.fill_(-3.0)
    other.load_state_dict(discriminator.state_dict())
    x = torch.randn(5, 2)
    assert torch.equal(discriminator(x), other(x))


def test_only_the_stable_game_of_vectors_is_played_under_noise(digits):
    for objective in ("minimax", "non-saturating"):
        config = GANConfig(data="ring8", objective=objective)
        assert not isinstance(build_discriminator(config, load(config).units), NoisyDiscriminator)
    assert not isinstance(build_discriminator(*digits), NoisyDiscriminator)


@pytest.mark.parametrize("data", ["digits", "ring8"])
def test_no_row_sees_another(data):
    config = GANConfig(data=data, width=16, depth=1)
    units = load(config).units
    discriminator = build_discriminator(config, units)
    x = torch.randn(6, len(units.centre))
    assert_single(discriminator(x)[2].detach(), discriminator(x[2:3])[0].detach())


def test_slopes_of_a_quadratic_are_its_gradient_squared():
    # D(x) = ½ xᵀ A x has the gradient A x
    A = torch.tensor([[2.0, 0.5], [0.5, 1.0]])

    class Quadratic(nn.Module):
        def forward(self, x):
            return 0.5 * ((x @ A) * x).sum(dim=1, keepdim=True)

    x = torch.randn(20, 2)
    scores, slopes = Discriminator(Quadratic())(x, sloped=True).unbind(1)
    assert_single(scores.detach(), Discriminator(Quadratic())(x))
    assert_single(slopes.detach(), (x @ A).square().sum(dim=1))
    # and they can be descended: their own gradient in x is 2 Aᵀ A x
    x.requires_grad_(True)
    own = squared_slopes(Discriminator(Quadratic())(x), x)
    (slope,) = torch.autograd.grad(own.sum(), x)
    assert_single(slope, (2 * x @ A @ A).detach())
