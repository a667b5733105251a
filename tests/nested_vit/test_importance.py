import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nested_vit.small import built, configured
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_identity

from theodolite.nested_vit.importance import CELLS, Covered, cells, importance, mean_colour


def test_a_number_is_what_covering_its_cell_costs():
    network = built(configured(target="label", classes=3)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    found = importance(network, InMemory(pixels), 2, 3)
    covered = pixels.copy()
    covered[10:20, 27:] = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)
    with torch.no_grad():
        logits = network(torch.from_numpy(np.stack([pixels, covered])).permute(0, 3, 1, 2))
    before, after = logits.log_softmax(dim=1)[:, 2].tolist()
    assert_identity(found[1, 2], before - after)


def test_an_even_image_rests_on_nothing():
    network = built(configured(target="label", classes=3)).eval()
    assert not importance(network, InMemory(np.full((20, 20, 3), 90, np.uint8)), 0, 2).any()


def test_cells_become_fewer_as_images_grow_and_none_are_left():
    network = built(configured(target="label"))
    found = [cells(network, side, side) for side in (1, 4, 64, 1024, 4096, 16384)]
    assert found[:3] == [0, 4, CELLS]
    assert found[-1] == 0
    assert found[2:] == sorted(found[2:], reverse=True)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_covered_image_read_by_windows_is_the_covered_image(data):
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, 2), dtype=np.uint16)
    rows, columns = (sorted(data.draw(st.tuples(*[st.integers(0, length)] * 2))) for length in (9, 7))
    before = pixels.copy()
    source = Covered(InMemory(pixels), rows, columns, np.array([1.6, 7.2]))
    expected = pixels.copy()
    expected[slice(*rows), slice(*columns)] = [2, 7]
    top, left = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 6))
    height, width = data.draw(st.integers(1, 9 - top)), data.draw(st.integers(1, 7 - left))
    found = source.window(top, left, height, width)
    np.testing.assert_array_equal(found, expected[top : top + height, left : left + width])
    assert (source.height, source.width, source.channels) == (9, 7, 2)
    np.testing.assert_array_equal(pixels, before)


def test_the_mean_colour_is_read_by_strips():
    source = InMemory(np.random.default_rng(0).integers(0, 256, (600, 3, 3), dtype=np.uint8))
    assert_identity(mean_colour(source), source.pixels.mean(axis=(0, 1)))
    assert max(asked[2] for asked in source.asked) == 256
