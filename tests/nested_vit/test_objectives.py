import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.nested_vit.small import built, configured
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_identity

from theodolite.nested_vit.objectives import IGNORED, Aside, BinaryPixels, ClassPixels, Objective, standard_loss
from theodolite.nested_vit.windows import Windows

SIDE = 16


def maps(classes, batch=2, height=50, width=70):
    torch.manual_seed(0)
    logits = torch.randn(batch, classes, height, width, dtype=torch.float64)
    truth = torch.randint(0, max(classes, 2), (batch, height, width), dtype=torch.uint8)
    truth[0, :9] = IGNORED
    return logits, truth


def by_hand(logits, truth):
    """Mean over the pixels that count of each image, then over images, in NumPy."""
    means = []
    for image, true in zip(logits.numpy(), truth.numpy(), strict=True):
        told = true != IGNORED
        if len(image) == 1:
            p = 1 / (1 + np.exp(-image[0][told]))
            means.append(-np.log(np.where(true[told] == 1, p, 1 - p)).mean())
        else:
            p = np.exp(image) / np.exp(image).sum(axis=0)
            means.append(-np.log(np.take_along_axis(p, np.where(told, true, 0)[None].astype(int), 0)[0][told]).mean())
    return np.mean(means)


@pytest.mark.parametrize(("kind", "classes"), [(BinaryPixels, 1), (ClassPixels, 3)])
def test_every_image_counts_alike_and_ignored_pixels_nothing(kind, classes):
    logits, truth = maps(classes)
    assert_identity(kind(truth, SIDE).whole(logits), by_hand(logits, truth))


@pytest.mark.parametrize(("kind", "classes"), [(BinaryPixels, 1), (ClassPixels, 3)])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_parts_add_up_to_the_whole(kind, classes, chunk):
    logits, truth = maps(classes)
    loss, windows = kind(truth, SIDE), Windows(logits, SIDE)
    # beyond the image logits may be anything
    parts = [loss.part(windows.tiles(chosen, 7), chosen) for chosen in windows.chunks(chunk)]
    assert_identity(sum(parts), loss.whole(logits))


def test_truth_that_is_read_by_windows_gives_the_same_parts():
    logits, truth = maps(3)
    windows = Windows(logits, SIDE)
    read = ClassPixels([InMemory(image[..., None].numpy()) for image in truth], SIDE)
    parts = sum(read.part(windows.tiles(chosen), chosen) for chosen in windows.chunks(5))
    assert_identity(parts, ClassPixels(truth, SIDE).whole(logits))
    with pytest.raises(TypeError, match="take the loss in parts"):
        read.whole(logits)


def test_classes_may_overlap():
    logits, _ = maps(3)
    truth = torch.rand(2, 3, 50, 70) > 0.5
    expected = F.binary_cross_entropy_with_logits(logits, truth.double())
    assert_identity(BinaryPixels(truth, SIDE).whole(logits), expected)


def test_an_image_of_which_nothing_is_known_counts_nothing():
    logits, truth = maps(3)
    truth[1] = IGNORED
    assert_identity(ClassPixels(truth, SIDE).whole(logits), by_hand(logits[:1], truth[:1]) / 2)


def test_another_class_may_be_the_ignored_one():
    logits, truth = maps(3)
    other = torch.where(truth == IGNORED, -1, truth.to(torch.int64))
    assert_identity(ClassPixels(other, SIDE, ignored=-1).whole(logits), ClassPixels(truth, SIDE).whole(logits))


def test_labels_are_classes_or_several():
    torch.manual_seed(0)
    logits, classes, several = torch.randn(4, 5), torch.tensor([0, 4, 2, 2]), torch.rand(4, 5) > 0.5
    assert_identity(standard_loss(classes, "label", SIDE, 5)(logits), F.cross_entropy(logits, classes))
    assert_identity(
        standard_loss(several, "label", SIDE, 5)(logits), F.binary_cross_entropy_with_logits(logits, several.float())
    )


def test_parameters_are_those_of_the_network_and_of_readers_each_once():
    network, reader = built(configured()), torch.nn.Linear(16, 1)
    asides = {name: Aside(0, "local", torch.Tensor.mean, 1.0, reader) for name in ("a", "b")}
    network.region.requires_grad_(False)
    found = Objective(torch.Tensor.mean, asides).parameters(network)
    assert len(found) == len(list(network.parameters())) - 1 + 2
