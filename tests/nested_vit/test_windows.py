import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_single

from theodolite.kernel.errors import DataError
from theodolite.nested_vit.windows import Windows, brightness


def pixels(batch=2, channels=3, height=37, width=21):
    return torch.arange(batch * channels * height * width).reshape(batch, channels, height, width)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 12), st.integers(0, 9)
)
def test_any_chunks_of_any_image_are_the_padded_image(batch, height, width, side, chunk, beyond):
    images = pixels(batch, 2, height, width)
    windows = Windows(images, side)
    found = torch.cat([windows.tiles(chosen, beyond) for chosen in windows.chunks(chunk)])
    padded = torch.nn.functional.pad(images, (0, -width % side, 0, -height % side), value=beyond)
    _, rows, columns = windows.grid
    number = 0
    for image in range(batch):
        for row in range(rows):
            for column in range(columns):
                place = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
                assert torch.equal(found[number], padded[image][:, *place])
                assert [int(each[number]) for each in windows.places(windows.all)] == [image, row, column]
                number += 1
    assert number == len(windows) == len(found)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_source_is_read_once_a_row_of_a_chunk_and_never_beyond_the_image(kind):
    arrays = [np.random.default_rng(seed).integers(0, 255, (37, 21, 4)).astype(kind) for seed in range(2)]
    sources = [InMemory(array) for array in arrays]
    windows = Windows(sources, 8)
    whole = Windows(torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2), 8)
    for chosen in windows.chunks(5):
        assert torch.equal(windows.tiles(chosen), whole.tiles(chosen))
    assert windows.grid == (2, 5, 3)
    assert len(sources[0].asked) == 5 + 2  # rows, and those that two chunks share
    assert not windows.whole
    assert Windows(pixels(height=16, width=24), 8).whole


def test_gradients_reach_the_pixels():
    images = torch.rand(1, 2, 10, 7, requires_grad=True)
    windows = Windows(images, 4)
    windows.tiles(windows.all).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


def test_brightness_is_the_share_of_the_highest_number():
    like = torch.zeros(1)
    assert_single(brightness(torch.tensor([0, 51, 255], dtype=torch.uint8), like), [0, 0.2, 1])
    assert_single(brightness(torch.from_numpy(np.array([0, 13107, 65535], np.uint16)), like), [0, 0.2, 1])
    assert_single(brightness(torch.tensor([0.0, 0.2, 3.0], dtype=torch.float64), like), [0, 0.2, 3])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 3, 4, 4), "holds no pixel"),
        (torch.zeros(1, 3, 0, 4), "holds no pixel"),
        ([InMemory(np.zeros((4, 5, 3), np.uint8)), InMemory(np.zeros((5, 4, 3), np.uint8))], "5 × 4 × 3, 4 × 5 × 3"),
    ],
)
def test_what_is_no_batch_is_refused(images, message):
    with pytest.raises(DataError, match=message):
        Windows(images, 4)


def test_a_source_that_gives_another_shape_is_refused():
    source = InMemory(np.zeros((9, 9, 3), np.uint8))
    source.channels = 4
    windows = Windows([source], 4)
    with pytest.raises(DataError, match=r"4 channels was asked for; \(4, 12, 3\) came|\(4, 9, 3\) came"):
        windows.tiles(windows.all)
