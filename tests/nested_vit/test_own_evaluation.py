import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nested_vit.own import folders, pairs, trained
from tests.nested_vit.small import built, configured
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_identity, assert_single

from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.examples import opened, whole_of
from theodolite.nested_vit.own_evaluation import Pass, Seen, classes_of, evaluate
from theodolite.nested_vit.own_images import find
from theodolite.nested_vit.own_training import trained_network


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 9), st.sampled_from([1, 3, 300]))
def test_rows_of_windows_are_the_whole_map(height, width, chunk, classes):
    network = built(configured(classes=classes), torch.float32).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows = list(Pass(network, [InMemory(pixels)], chunk).rows())
    with torch.no_grad():
        whole = classes_of(network(torch.from_numpy(pixels).permute(2, 0, 1)[None]))[0].numpy()
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert rows[0].dtype == (np.uint16 if classes > 256 else np.uint8)


def test_counts_of_pixels_are_those_of_whole_maps(tmp_path):
    run = trained(tmp_path / "run", pairs(tmp_path / "data"))
    config = run.settings(NestedViTConfig)
    network, images = trained_network(run, config), find(config).all.images[:3]
    seen = evaluate(network, images, False)
    assert seen.dense
    for number, image in enumerate(images):
        with opened(image, config, False) as example, torch.no_grad():
            logits = network(whole_of(example.image))
            truth = whole_of(example.truth)[:, 0].long()
        known, said = truth != 255, logits.argmax(dim=1)
        assert_single(seen.losses[number], torch.nn.functional.cross_entropy(logits, truth, ignore_index=255))
        for each in range(3):
            assert seen.hits[number, each] == (known & (said == each) & (truth == each)).sum()
            assert seen.said[number, each] == (known & (said == each)).sum()
            assert seen.true[number, each] == (truth == each).sum()


def test_labels_are_those_of_the_network(tmp_path):
    run = trained(tmp_path / "run", folders(tmp_path / "data"))
    config = run.settings(NestedViTConfig)
    network, images = trained_network(run, config), find(config).all.images
    seen = evaluate(network, images, False)
    for number, image in enumerate(images):
        with opened(image, config, False) as example, torch.no_grad():
            logits = network(whole_of(example.image))[0]
        assert seen.said[number].argmax() == logits.argmax()
        assert seen.true[number, image.label] == 1
        assert_single(seen.losses[number], -logits.log_softmax(dim=0)[image.label])


def seen_of(said, true, classes=2, dense=False):
    one = np.eye(classes)
    return Seen(dense, np.zeros(len(said)), one[said] * one[true], one[said], one[true])


def test_the_interval_of_labels_is_exact():
    value, lowest, highest = seen_of([0] * 10, [0] * 10).accuracy()
    assert value == highest == 1
    assert_identity(lowest, 0.025 ** (1 / 10))  # the chance that so good a share shows by luck
    assert seen_of([0, 1], [0, 0]).of_class(1) == (0.0, 0.0, 1.0)


def test_the_interval_of_the_mean_iou_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    shares = np.array([[0.4, 0.1], [0.2, 0.3]])  # of pixels: there (row), named (column)
    truth = np.mean([0.4 / 0.7, 0.3 / 0.6])
    inside = 0
    for _ in range(300):
        tables = rng.multinomial(50, shares.ravel(), size=60).reshape(-1, 2, 2).astype(float)
        seen = Seen(True, np.zeros(60), tables[:, [0, 1], [0, 1]], tables.sum(axis=1), tables.sum(axis=2))
        value, lowest, highest = seen.mean_iou()
        inside += lowest <= truth <= highest
        assert seen.headline() == (value, lowest, highest)
    assert abs(inside / 300 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 300)


def test_a_class_that_is_nowhere_does_not_count():
    counts = np.array([[3.0, 0.0], [2.0, 0.0]])
    assert Seen(True, np.zeros(2), counts, counts, counts).mean_iou()[0] == 1


@pytest.mark.parametrize("dense", [True, False])
def test_one_image_has_a_value_and_no_interval(dense):
    seen = seen_of([0], [0], dense=dense)
    assert seen.headline()[0] == 1
    assert seen.loss()[1] == np.inf
