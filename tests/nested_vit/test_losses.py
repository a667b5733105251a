import numpy as np
import torch
from tests.nested_vit.small import built, configured, random_batch
from tests.tolerances import assert_identity

from theodolite.nested_vit.losses import DIGITS_WEIGHT, TWINS_WEIGHT, Losses, PixelLoss, cross_entropy


def test_cross_entropy_is_the_mean_of_minus_the_logarithm():
    torch.manual_seed(0)
    logits, truth = torch.randn(5, 7, dtype=torch.float64), torch.rand(5, 7) > 0.5
    p = 1 / (1 + np.exp(-logits.numpy()))
    assert_identity(cross_entropy(logits, truth), -np.log(np.where(truth, p, 1 - p)).mean())


def test_parts_of_the_pixel_loss_add_up_to_the_loss_of_the_image():
    config = configured()
    network = built(config)
    images, truth = random_batch(config, 2, 50, 70)
    windows = network.cut(images)
    values = torch.randn(len(windows.pixels), 16, 16, dtype=torch.float64)
    whole = cross_entropy(network.join(values, windows.grid)[:, :50, :70], truth.target)
    parts = PixelLoss(truth.target, config.patch, config.window)
    slices = [slice(start, start + 7) for start in range(0, len(values), 7)]
    assert_identity(sum(parts.part(values[chosen], chosen) for chosen in slices), whole)


def test_the_total_is_weighted():
    values = Losses(torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0))
    assert float(values.total) == 1 + 10 * DIGITS_WEIGHT + 100 * TWINS_WEIGHT
