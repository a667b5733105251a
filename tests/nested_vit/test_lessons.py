import numpy as np
import torch
from tests.nested_vit.small import configured, random_batch, taught
from tests.tolerances import assert_identity

from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.lessons import DIGITS_WEIGHT, TWINS_WEIGHT, cross_entropy


def test_cross_entropy_is_the_mean_of_minus_the_logarithm():
    torch.manual_seed(0)
    logits, truth = torch.randn(5, 7, dtype=torch.float64), torch.rand(5, 7) > 0.5
    p = 1 / (1 + np.exp(-logits.numpy()))
    assert_identity(cross_entropy(logits, truth), -np.log(np.where(truth, p, 1 - p)).mean())


def test_the_total_weighs_what_the_readers_say_before_and_after_the_first_global_blocks():
    config = configured()
    lessons = taught(config)
    images, truth = random_batch(config, 2, 50, 70)
    found = losses(lessons.network, images, lessons.objective(truth))
    features = lessons.network.forward_features(images)
    with torch.no_grad():
        digits = cross_entropy(lessons.digits(features.left[0]), truth.digits)
        twins = cross_entropy(lessons.twins(features.entered[0]), truth.twins)
        target = cross_entropy(lessons.network.forward_head(features)[:, 0], truth.target)
        assert_identity([found.values[name] for name in ("digits", "twins", "target")], [digits, twins, target])
        assert_identity(found.total, target + DIGITS_WEIGHT * digits + TWINS_WEIGHT * twins)


def test_the_lesson_says_what_its_objective_does():
    config = configured(gradients="stored")
    lessons = taught(config)
    images, truth = random_batch(config, 1, 64, 64)
    loss, noted = lessons(images, truth, "target")
    assert_identity(loss.detach(), losses(lessons.network, images, lessons.objective(truth)).total.detach())
    assert set(noted) == {"digits", "twins", "target"}
