import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theodolite.data import window_groups
from theodolite.data.large_images import open_image
from theodolite.data.window_groups import group_arrays, group_windows
from theodolite.kernel.errors import UsageError


def _image(tmp_path, pixels):
    np.save(tmp_path / "a.npy", pixels)
    return open_image(tmp_path / "a.npy")


def _slowly(pixels, side):
    """Compare every window with every other one."""
    rows, columns = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    windows = [
        pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(rows)
        for column in range(columns)
    ]
    first, groups = [], []
    for number, window in enumerate(windows):
        equal = [group for group, place in enumerate(first) if np.array_equal(windows[place], window)]
        if not equal:
            first.append(number)
        groups.append(equal[0] if equal else len(first) - 1)
    return np.reshape(groups, (rows, columns)), [(number // columns, number % columns) for number in first]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 25), columns=st.integers(1, 25), side=st.integers(1, 9), values=st.integers(1, 3),
    seed=st.integers(0, 99), kept=st.sampled_from([0, 1, 2, 64]),
)  # fmt: skip
def test_groups_are_those_of_comparing_all(tmp_path_factory, rows, columns, side, values, seed, kept):
    pixels = np.random.default_rng(seed).integers(0, values, (rows, columns, 1), dtype=np.uint8)
    with _image(tmp_path_factory.mktemp("groups"), pixels) as image:
        found = group_windows(image, side, contents_kept=kept)
    groups, first = _slowly(pixels, side)
    np.testing.assert_array_equal(found.groups, groups)
    assert [tuple(place) for place in found.first] == first
    assert found.repeated == groups.size - len(first)


def test_an_empty_image_is_one_group_and_its_edges(tmp_path):
    with _image(tmp_path, np.full((100, 70, 3), 240, np.uint8)) as image:
        found = group_windows(image, 32)
    assert found.groups.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 1], [2, 2, 3]]


def test_equal_hashes_do_not_make_equal_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(window_groups, "hash", lambda _: 0, raising=False)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) // 8
    with _image(tmp_path, pixels) as image:
        assert group_windows(image, 1).groups.tolist() == pixels.tolist()


def test_arrays_in_memory_are_grouped_too():
    windows = np.random.default_rng(0).integers(0, 2, (50, 2, 2, 1))
    groups, first = group_arrays(windows)
    np.testing.assert_array_equal(windows[first[groups]], windows)
    assert len(first) == len(np.unique(windows.reshape(50, -1), axis=0))
    assert [len(part) for part in group_arrays(windows[:0])] == [0, 0]


def test_no_size_is_refused(tmp_path):
    with _image(tmp_path, np.zeros((2, 2), np.uint8)) as image, pytest.raises(UsageError, match="side=0"):
        group_windows(image, 0)
