import pytest
import torch
from tests.nested_vit.small import built, configured, random_batch
from tests.tolerances import assert_identity

from theodolite.nested_vit.counts import counting_kept
from theodolite.nested_vit.gradients import chunked_losses
from theodolite.nested_vit.losses import losses


def both(config, batch=2, height=64, width=64):
    """Losses and gradients by ordinary autograd on whole images, and by chunks."""
    network = built(config)
    images, truth = random_batch(config, batch, height, width)
    ordinary = losses(network(images), truth)
    expected = torch.autograd.grad(ordinary.total, list(network.parameters()))
    values, total = chunked_losses(network, images, truth, config.chunk)
    found = torch.autograd.grad(total, list(network.parameters()))
    return (ordinary, expected), (values, found)


def assert_equal(ordinary, chunked):
    (expected_values, expected), (values, found) = ordinary, chunked
    assert_identity([value.detach() for value in values], [value.detach() for value in expected_values])
    for a, b in zip(expected, found, strict=True):
        assert_identity(b, a)


@pytest.mark.parametrize("target", ["dense", "label"])
@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 100)])
def test_chunks_give_the_gradients_of_ordinary_autograd(target, stages, height, width):
    assert_equal(*both(configured(target=target, stages=stages, region_tokens=2), height=height, width=width))


@pytest.mark.parametrize("chunk", [1, 7, 16, 1000])
def test_the_size_of_chunks_changes_nothing(chunk):
    assert_equal(*both(configured(chunk=chunk), height=33, width=64))


def test_several_blocks_a_stage():
    assert_equal(*both(configured(local_blocks=1, global_blocks=3)))


def test_the_loss_can_be_weighed_like_any_other():
    config = configured()
    network = built(config)
    images, truth = random_batch(config, 1, 64, 64)
    parameters = list(network.parameters())
    once = torch.autograd.grad(chunked_losses(network, images, truth, 4).total, parameters)
    thrice = torch.autograd.grad(3 * chunked_losses(network, images, truth, 4).total, parameters)
    for a, b in zip(once, thrice, strict=True):
        assert_identity(b, 3 * a)


def test_gradients_agree_with_finite_differences():
    """A third route that knows nothing of autograd: the loss along a random direction."""
    config = configured(stages=2)
    network = built(config)
    images, truth = random_batch(config, 1, 32, 48)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(chunked_losses(network, images, truth, 2).total, parameters)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))

    def loss_at(step):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
            value = losses(network(images), truth).total
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter -= step * direction
        return float(value)

    steps = [1e-2, 1e-3]
    errors = [abs((loss_at(step) - loss_at(-step)) / (2 * step) - slope) for step in steps]
    assert errors[1] < 0.02 * errors[0]  # central differences are of second order


def kept(config, side):
    network = built(config, torch.float32)
    images, truth = random_batch(config, 1, side, side, torch.float32)
    with counting_kept(network.parameters()) as chunked:
        chunked_losses(network, images, truth, config.chunk)
    with counting_kept(network.parameters()) as ordinary:
        total = losses(network(images), truth).total
    assert total.requires_grad
    return chunked.most, ordinary.most


def test_memory_hardly_grows_with_the_image():
    config = configured(global_blocks=1, chunk=16)
    small, large = kept(config, 64), kept(config, 256)
    assert large[1] > 15 * small[1]
    assert large[0] < 2 * small[0]


def test_nothing_of_a_chunk_outlives_it():
    config = configured()
    network = built(config, torch.float32)
    images, truth = random_batch(config, 1, 64, 64, torch.float32)
    with counting_kept(network.parameters()) as chunked:
        total = chunked_losses(network, images, truth, 4).total
    assert total.requires_grad
    assert chunked.now == 0
