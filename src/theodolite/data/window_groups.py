"""Windows of equal content, found exactly: where much of an image is empty, each is computed once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theodolite.data.large_images import LargeImage
from theodolite.kernel.errors import UsageError

CONTENTS_KEPT = 64


@dataclass(frozen=True)
class WindowGroups:
    """Which windows of a grid are equal, byte by byte.

    Attributes
    ----------
    side : int
        Height and width of a window, px; those at the right and lower edge may be smaller.
    groups : ndarray of shape (rows, columns), int64
        The number of each window's group; groups are numbered in the order of their first window.
    first : ndarray of shape (n, 2), int64
        Row and column in the grid of the first window of each group.
    """

    side: int
    groups: NDArray[np.int64]
    first: NDArray[np.int64]

    @property
    def repeated(self) -> int:
        """How many windows need not be computed."""
        return self.groups.size - len(self.first)


def group_windows(image: LargeImage, side: int, contents_kept: int = CONTENTS_KEPT) -> WindowGroups:
    """Group the windows of an image by content, in one pass over it.

    Windows are sought by a hash and then compared, so that equal means equal. Memory: eight bytes a window, about a
    hundred a group, and `contents_kept` windows; the first of another group is read again where it is compared.

    Parameters
    ----------
    image : LargeImage
        Open; read row by row of windows.
    side : int
        Height and width of a window, px.
    contents_kept : int
        Windows kept to compare with, those met last.

    Raises
    ------
    UsageError
        If `side` is not positive.
    DataError
        If a part of the image is damaged.
    """
    if side < 1:
        raise UsageError(f"side={side} is no size of a window; give at least 1 px")
    rows, columns = -(-image.height // side), -(-image.width // side)

    def read(number: int) -> NDArray[np.generic]:
        top, left = number // columns * side, number % columns * side
        return image.window(top, left, min(side, image.height - top), min(side, image.width - left))

    groups, first = _group(read, rows * columns, contents_kept)
    return WindowGroups(side, groups.reshape(rows, columns), np.stack([first // columns, first % columns], axis=1))


def group_arrays(windows: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group windows (n, …) that are in memory by content.

    Returns
    -------
    groups : ndarray of shape (n,), int64
        The number of each window's group, in the order of their first windows.
    first : ndarray of shape (groups,), int64
        Where the first window of each group stands.
    """
    return _group(lambda number: windows[number], len(windows), 1)


def _group(
    read: Callable[[int], NDArray[np.generic]], count: int, contents_kept: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    groups = np.empty(count, dtype=np.int64)
    first: list[int] = []
    alike: dict[
        int, list[int]
    ] = {}  # groups of one hash; Python's hash of bytes is keyed, so that nobody can aim at it
    kept: OrderedDict[int, tuple[tuple[int, ...], bytes]] = OrderedDict()

    def content(number: int) -> tuple[tuple[int, ...], bytes]:
        window = read(number)
        return window.shape, window.tobytes()

    for number in range(count):
        found = content(number)
        candidates = alike.setdefault(hash(found), [])
        for group in candidates:
            if found == (kept[group] if group in kept else content(first[group])):
                break
        else:
            group = len(first)
            candidates.append(group)
            first.append(number)
        groups[number] = group
        kept[group] = found
        kept.move_to_end(group)
        if len(kept) > contents_kept:
            kept.popitem(last=False)
    return groups, np.array(first, dtype=np.int64)
