import numpy as np
import torch
from tests.nested_vit.small import configured, taught
from tests.tolerances import assert_identity

from theodolite.data.twins import TwinCanvases
from theodolite.nested_vit.evaluation import Evaluation, evaluate, ratio
from theodolite.nested_vit.samples import images_of


def test_iou_by_counting_pixels():
    config = configured()
    lessons = taught(config, torch.float32)
    seen = evaluate(lessons, config, 0, 5)
    drawn = TwinCanvases(64, 0, "held out").canvases(range(5))
    with torch.no_grad():
        marked = lessons.network(images_of(drawn.ink))[:, 0].numpy() > 0
    hits = union = 0
    for mark, twin in zip(marked.flatten(), drawn.twins.flatten(), strict=True):
        hits += mark and twin
        union += mark or twin
    assert_identity(seen.iou()[0], hits / union)


def test_the_best_threshold_is_no_worse_than_any():
    config = configured()
    seen = evaluate(taught(config, torch.float32), config, 0, 3)
    assert all(seen.best_iou()[0] >= seen.iou(threshold)[0] for threshold in seen.thresholds)


def test_dropout_is_off_while_measuring_and_on_afterwards():
    lessons = taught(configured(dropout=0.5), torch.float32)
    first, again = (evaluate(lessons, lessons.network.config, 0, 2) for _ in range(2))
    np.testing.assert_array_equal(first.hits, again.hits)
    assert lessons.training


def test_the_interval_covers_as_often_as_it_says():
    """Simulated canvases: the 95% interval holds the true ratio in about 95% of 400 samples."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        union = rng.uniform(50, 150, size=80)
        hits = union * rng.beta(8, 2, size=80)
        value, half_width = ratio(hits, union)
        covered.append(abs(value - 0.8) <= half_width)
    spread = np.sqrt(0.95 * 0.05 / 400)
    assert abs(np.mean(covered) - 0.95) <= 4 * spread


def test_nothing_marked_and_nothing_true_is_no_ratio():
    assert ratio(np.zeros(3), np.zeros(3)) == (0.0, 0.0)


def test_windows_alone_cannot_exceed_the_share_of_twins():
    """An oracle that knows every digit, but only from its own window, at every rate of marking."""
    drawn = TwinCanvases(32, 0, "held out").canvases(range(400))
    rng = np.random.default_rng(1)
    hits, union = [], []
    for classes, twins in zip(drawn.classes, drawn.twins, strict=True):
        guess = rng.random(6)  # one number a class, which may be all that a window knows
        marks = [(classes >= 0) & (np.append(guess, 0)[classes] >= rate) for rate in (0.0, 0.3, 0.6)]
        hits.append([(mark & twins).sum() for mark in marks])
        union.append([(mark | twins).sum() for mark in marks])
    seen = Evaluation(np.array(hits, float), np.array(union, float), np.array([0.0, 0.3, 0.6]), 0, 0)
    for place, share in enumerate((1.0, 0.7, 0.4)):
        value, half_width = ratio(seen.hits[:, place], seen.union[:, place])
        assert abs(value - 0.5 * share / (share + 0.5 - 0.5 * share)) <= 2 * half_width
        assert value <= 0.5 + half_width
