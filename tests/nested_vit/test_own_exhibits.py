import numpy as np
import pytest
from tests.nested_vit.sources import InMemory

from theodolite.nested_vit.own_exhibits import THUMBNAIL, places, thumbnail


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_thumbnail_is_read_by_strips_and_has_three_colours(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (700, 90, 1)).astype(kind)
    source = InMemory(pixels)
    rows, columns = places(700, 700), places(90, 700)
    assert (len(rows), len(columns)) == (THUMBNAIL, 21)
    found = thumbnail(list(rows), list(columns), source)
    expected = pixels[rows][:, columns] >> (8 if kind == np.uint16 else 0)
    np.testing.assert_array_equal(found, expected.astype(np.uint8).repeat(3, axis=-1))
    assert max(asked[2] for asked in source.asked) <= 256


def test_small_images_are_shown_as_they_are():
    assert places(3, 5).tolist() == [0, 1, 2]
    assert places(1, 10**6).tolist() == [0]
