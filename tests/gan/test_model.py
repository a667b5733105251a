"""Generator and discriminator: shapes, bounds, bits, and that no row sees another."""

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped
from tests.tolerances import assert_single

from theodolite.gan.config import GANConfig
from theodolite.gan.dataset import load
from theodolite.gan.model import Discriminator, Generator, ResidualMLP, build_discriminator, build_generator


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


def test_the_first_coordinates_of_z_are_signs():
    body = ResidualMLP(4, 3, 8, 1)
    generator = Generator(body, bits=2)
    normal = torch.randn(6, 4)
    stretched = normal * torch.tensor([5.0, 0.1, 1.0, 1.0])
    assert_single(generator(normal).detach(), generator(stretched).detach())
    signs = torch.cat([torch.sign(normal[:, :2]), normal[:, 2:]], dim=1)
    assert_single(generator(normal).detach(), body(signs).detach())


def test_no_row_sees_another(digits):
    discriminator = build_discriminator(*digits)
    x = torch.randn(6, 64)
    assert_single(discriminator(x)[2].detach(), discriminator(x[2:3])[0].detach())
