import numpy as np
import pytest
import torch
from tests.nested_vit.small import built, configured
from tests.tolerances import assert_identity, assert_sampling

from theodolite.nested_vit.dropout import LEVELS, Draws, Dropout


def dropout(rate=0.3, images=(0, 0, 1, 1), places=(0, 1, 0, 1), seed=1, step=2, stream="s"):
    ids = torch.tensor(images)
    return Dropout(rate, Draws(seed, step, ids), ids, torch.tensor(places), stream)


def mask(made, shape=(4, 7, 6)):
    return made(torch.ones(shape, dtype=torch.float64)) == 0


def test_the_share_is_the_rate_and_the_mean_stays():
    made = dropout()(torch.ones(4, 200, 50, dtype=torch.float64))
    assert_sampling((made == 0).double().flatten(), round(0.3 * LEVELS) / LEVELS)
    assert_sampling(made.flatten(), 1.0)


def test_a_window_draws_its_own_whatever_comes_with_it():
    together = mask(dropout())
    for number in range(4):
        alone = dropout(images=(number // 2,), places=(number % 2,))
        assert torch.equal(mask(alone, (1, 7, 6))[0], together[number])
    assert torch.equal(mask(dropout().of(torch.tensor([False, True, True, False])), (2, 7, 6)), together[1:3])


def test_windows_in_one_sequence_draw_what_they_do_alone():
    assert torch.equal(mask(dropout()).reshape(2, 14, 6), mask(dropout(), (2, 14, 6)))


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"step": 3}, {"stream": "t"}, {"images": (2, 2, 3, 3)}, {"places": (4, 5, 4, 5)}]
)
def test_everything_that_names_a_draw_changes_it(other):
    assert not torch.equal(mask(dropout()), mask(dropout(**other)))


def test_draws_of_windows_images_and_layers_are_not_alike():
    drawn = np.stack([mask(dropout(stream=name), (4, 40, 50)).reshape(4, -1).numpy() for name in "ab"]).reshape(8, -1)
    apart = np.corrcoef(drawn)[np.triu_indices(8, 1)]
    assert np.abs(apart).max() < 5 / np.sqrt(drawn.shape[1])


def test_a_network_drops_only_while_it_trains():
    network = built(configured(dropout=0.4))
    pixels = torch.rand(2, 3, 40, 40, dtype=torch.float64)
    draws = Draws(0, 0, torch.tensor([4, 5]))
    first, again = network(pixels, draws), network(pixels, draws)
    assert torch.equal(first, again)
    assert not torch.allclose(first, network(pixels, draws._replace(step=1)))
    assert not torch.allclose(network(pixels), network(pixels))  # new draws each time
    network.eval()
    assert torch.equal(network(pixels), network(pixels, draws))
    torch.manual_seed(3)
    network.train()
    drawn = network(pixels)
    torch.manual_seed(3)
    assert torch.equal(network(pixels), drawn)


def test_an_image_of_a_batch_drops_what_it_would_alone():
    network = built(configured(dropout=0.4))
    pixels = torch.rand(2, 3, 40, 40, dtype=torch.float64)
    pair = network(pixels, Draws(0, 0, torch.tensor([4, 5])))
    assert_identity(pair[1:].detach(), network(pixels[1:], Draws(0, 0, torch.tensor([5]))).detach())
