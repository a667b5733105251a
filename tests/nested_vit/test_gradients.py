import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nested_vit.small import built, configured, random_batch, target_alone
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_identity

from theodolite.kernel.errors import ResourceError, UsageError
from theodolite.nested_vit import boundaries
from theodolite.nested_vit.counts import counting_kept
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.objectives import IGNORED, Aside, Objective, standard_loss

BY_CHUNKS = ["recomputed", "stored"]
TINY = {"patch": 2, "window": 2, "width": 8, "local_blocks": 1, "global_blocks": 1}
ROUNDING = 100  # times the least relative difference of float64: 2.2e-14, where 1e-12 is asked for


def problem(config, batch, height, width, asides=True):
    """A network, images, and an objective with readers after the first local and the last global blocks."""
    network = built(config)
    images = torch.rand(batch, config.channels, height, width, dtype=torch.float64)
    classes = config.num_classes
    if config.target == "dense":
        truth = torch.randint(0, max(classes, 2), (batch, height, width), dtype=torch.uint8)
        truth[torch.rand(truth.shape) < 0.2] = IGNORED
    else:
        truth = torch.randint(0, classes, (batch,))
    reader = torch.nn.Linear(config.width, 2).double()
    beside = {
        "first": Aside(0, "local", lambda read: reader(read).square().mean(), 0.3, reader),
        "last": Aside(config.stages - 1, "global", lambda read: reader(read).sin().mean(), 0.5, reader),
    }
    loss = standard_loss(truth, config.target, config.patch * config.window, classes)
    return network, images, Objective(loss, beside if asides else {})


def gradients(network, images, objective, *way, draws=None):
    found = losses(network, images, objective, *way, draws=draws)
    parameters = objective.parameters(network)
    return found, torch.autograd.grad(found.total, parameters, allow_unused=True)


def assert_same(network, images, objective, mode, chunk, draws=None):
    expected, ordinary = gradients(network, images, objective, draws=draws)
    found, chunked = gradients(network, images, objective, mode, chunk, draws=draws)
    assert_identity(found.total.detach(), expected.total.detach())
    assert found.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        assert_identity(found.values[name].detach(), value.detach())
    for a, b in zip(ordinary, chunked, strict=True):
        assert a is not None
        assert b is not None
        largest = max(float(a.abs().max()), 1e-3)
        assert float((a - b).abs().max()) <= ROUNDING * torch.finfo(a.dtype).eps * largest


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    target=st.sampled_from(["dense", "label"]),
    classes=st.sampled_from([1, 3]),
    stages=st.integers(1, 4),
    regions=st.integers(1, 3),
    dropout=st.sampled_from([0.0, 0.3]),
    channels=st.integers(1, 4),
    batch=st.integers(1, 2),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    mode=st.sampled_from(BY_CHUNKS),
    chunk=st.integers(1, 40),
)
def test_chunks_give_the_gradients_of_ordinary_autograd(
    target, classes, stages, regions, dropout, channels, batch, height, width, mode, chunk
):
    torch.manual_seed(0)
    config = configured(
        **TINY,
        target=target,
        classes=classes,
        stages=stages,
        region_tokens=regions,
        dropout=dropout,
        channels=channels,
        gradients=mode,
    )
    draws = Draws(7, 3, torch.tensor([5, 2**31])[:batch])
    assert_same(*problem(config, batch, height, width), mode, chunk, draws)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_several_blocks_a_stage(mode):
    assert_same(*problem(configured(local_blocks=2, global_blocks=3), 1, 33, 40), mode, 4)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_a_label_without_anything_beside_it(mode):
    assert_same(*problem(configured(**TINY, target="label", stages=1), 2, 9, 9, asides=False), mode, 4)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_images_and_truth_that_are_read_by_windows(mode):
    config = configured(**TINY, classes=3)
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 11, 7), dtype=torch.uint8)
    truth = torch.randint(0, 3, (2, 11, 7), dtype=torch.uint8)
    network, side = built(config), 4
    _, expected = gradients(network, pixels, Objective(standard_loss(truth, "dense", side, 3)))
    images, masks = ([InMemory(each.permute(1, 2, 0).numpy()) for each in stack] for stack in (pixels, truth[:, None]))
    _, found = gradients(network, images, Objective(standard_loss(masks, "dense", side, 3)), mode, 3)
    for a, b in zip(expected, found, strict=True):
        assert_identity(b, a)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_the_loss_can_be_weighed_and_accumulated_like_any_other(mode):
    network, images, objective = problem(configured(**TINY), 1, 9, 9)
    _, once = gradients(network, images, objective, mode, 4)
    for _ in range(2):
        torch.autograd.backward(1.5 * losses(network, images, objective, mode, 4).total)
    for parameter, gradient in zip(objective.parameters(network), once, strict=True):
        assert_identity(parameter.grad, 3 * gradient)


@pytest.mark.parametrize("mode", BY_CHUNKS)
@pytest.mark.parametrize("trained", ["head", "global_blocks", "local_blocks.1"])
def test_what_is_frozen_gets_nothing_and_the_rest_the_same(mode, trained):
    network, images, objective = problem(configured(**TINY), 1, 9, 9, asides=False)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trained in name)
    assert_same(network, images, objective, mode, 4)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_dropout_without_draws_is_one_draw_a_pass(mode):
    """Forward and recomputation must draw the same: the gradient is that of the loss that was told."""
    network, images, objective = problem(configured(**TINY, dropout=0.4), 1, 9, 9)
    torch.manual_seed(5)
    found, chunked = gradients(network, images, objective, mode, 3)
    torch.manual_seed(5)
    expected, ordinary = gradients(network, images, objective)
    assert_identity(found.total.detach(), expected.total.detach())
    for a, b in zip(ordinary, chunked, strict=True):
        assert_identity(b, a)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_nothing_is_left_when_a_pass_fails(mode, tmp_path):
    network, images, objective = problem(configured(**TINY), 1, 9, 9)

    def broken(read):
        raise RuntimeError("broken")

    failing = Objective(objective.target, {"a": objective.asides["first"]._replace(loss=broken)})
    with pytest.raises(RuntimeError, match="broken"):
        losses(network, images, failing, mode, 3, scratch=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_a_stored_pass_before_it_begins(monkeypatch, tmp_path):
    network, images, objective = problem(configured(**TINY), 1, 9, 9)
    full = type("Usage", (), {"free": 100})
    monkeypatch.setattr(boundaries.shutil, "disk_usage", lambda _: full)
    with pytest.raises(ResourceError, match="take gradients=recomputed"):
        losses(network, images, objective, "stored", 3, scratch=tmp_path)


def test_a_network_without_classes_has_no_loss():
    network, images, objective = problem(configured(**TINY), 1, 9, 9)
    network.reset_classifier(0)
    with pytest.raises(UsageError, match="reset_classifier"):
        losses(network, images, objective)


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_gradients_agree_with_finite_differences(mode):
    """A third route that knows nothing of autograd: the loss along a random direction."""
    config = configured(stages=2)
    network = built(config)
    images, truth = random_batch(config, 1, 32, 48)
    parameters, objective = list(network.parameters()), target_alone(config, truth.target)
    gradients = torch.autograd.grad(losses(network, images, objective, mode, 2).total, parameters)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))

    def loss_at(step):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
            value = losses(network, images, objective).total
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter -= step * direction
        return float(value)

    steps = [1e-2, 1e-3]
    errors = [abs((loss_at(step) - loss_at(-step)) / (2 * step) - slope) for step in steps]
    assert errors[1] < 0.02 * errors[0]  # central differences are of second order


def kept(config, side, mode):
    network = built(config, torch.float32)
    images, truth = random_batch(config, 1, side, side, torch.float32)
    with counting_kept(network.parameters()) as found:
        total = losses(network, images, target_alone(config, truth.target), mode, 16).total
        assert total.requires_grad
    return found.most


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_memory_hardly_grows_with_the_image(mode):
    config = configured(global_blocks=1, local_blocks=1)
    assert kept(config, 192, mode) < 1.5 * kept(config, 64, mode)
    assert kept(config, 192, "ordinary") > 8 * kept(config, 64, "ordinary")


@pytest.mark.parametrize("mode", BY_CHUNKS)
def test_nothing_of_a_chunk_outlives_it(mode):
    config = configured()
    network = built(config, torch.float32)
    images, truth = random_batch(config, 1, 64, 64, torch.float32)
    with counting_kept(network.parameters()) as chunked:
        total = losses(network, images, target_alone(config, truth.target), mode, 4).total
    assert total.requires_grad
    assert chunked.now == 0
