"""Canvases of handwritten digits, those that have a twin to be marked: tasks that need the whole canvas.

*Twins*: eight digits of six classes in sixteen cells; two classes occur twice, four once. All have equal ink, and
heights and widths of their own.

*Row twins*: in every row of cells some classes occur twice and twice as many once; a twin is one in the same row, the
same class in another row is none. Digits are half as high and wide, anywhere in their cells, so that a patch as large
as a cell must know them at every place; every cell holds three fragments of digits besides.

In both, whatever a digit looks like and wherever it lies, it is to be marked with probability one half; only the rest
of the canvas tells. The scans used for training and for holding out are disjoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from theodolite.data.digits import SIDE, digits, split
from theodolite.kernel.errors import UsageError

CELLS = 4  # cells a side of a canvas, at least
CELL = 64  # px of a cell of row twins, where the canvas has room for more than those
CLASSES = 6  # the digits 0 to 5
DOUBLED = 2  # classes that occur twice
DIGITS = CLASSES + DOUBLED
TWIN_SHARE = 2 * DOUBLED / DIGITS  # of the digits; of row twins it is the same
GRAINS = 8  # the target is constant on 8 × 8 squares a cell
SMALLEST_SIDE = CELLS * GRAINS
INKED = 0.25  # of the digit's darkest pixel: a square that reaches it belongs to the digit
FRAGMENTS = 3  # in each cell of row twins
FRAGMENT = SIDE // 2  # rows and columns of a scan in a fragment
INK = 12.0  # of every digit, in pixels of a scan: the thinnest scan's sum is 12.3 times its maximum
HELD_OUT_SHARE = 0.2
_TAGS = {"train": 0x7417, "held out": 0x7418}

Part = Literal["train", "held out"]
Kind = Literal["twins", "row-twins"]
# height and width of a digit, each drawn at random between two bounds, in eighths of a cell
SIZES: dict[Kind, tuple[int, int]] = {"twins": (5, 7), "row-twins": (3, 4)}


@dataclass(frozen=True)
class Canvases:
    """Canvases and what is to be found on them.

    Attributes
    ----------
    ink : ndarray of shape (n, side, side), uint8
        Brightness in [0, 255] on black, the same in all colours.
    twins : ndarray of shape (n, side, side), bool
        Whether the pixel belongs to a digit that has a twin: one anywhere, or one in its row.
    classes : ndarray of shape (n, side, side), int8
        The digit the pixel belongs to, 0 to 5; −1 where there is none.
    doubled : ndarray of shape (n, 6), bool
        Which digits occur twice, or twice in one row.
    """

    ink: NDArray[np.uint8]
    twins: NDArray[np.bool_]
    classes: NDArray[np.int8]
    doubled: NDArray[np.bool_]


class TwinCanvases:
    """The endless source of canvases of one size.

    Parameters
    ----------
    side : int
        Height and width, px.
    seed : int
        A canvas is a function of (seed, part, its id).
    part : {"train", "held out"}
        From which scans the digits are taken; the two share none.
    kind : {"twins", "row-twins"}
        What a twin is, and whether there are fragments. Row twins have cells of 64 px from 256 px on.

    Raises
    ------
    UsageError
        If a canvas would be smaller than 32 px.
    """

    def __init__(self, side: int, seed: int, part: Part, kind: Kind = "twins") -> None:
        if side < SMALLEST_SIDE:
            raise UsageError(f"side={side} is too small for {CELLS} × {CELLS} digits; give at least {SMALLEST_SIDE} px")
        self.side = side
        self.seed = seed
        self.part = part
        self.kind = kind
        self.cells = max(CELLS, side // CELL) if kind == "row-twins" else CELLS
        self._cell = side // self.cells
        smallest, largest = SIZES[kind]
        self._sizes = range(smallest * self._cell // 8, largest * self._cell // 8 + 1)
        self._enlarged = {size: _enlargement(size) for size in self._sizes}
        images, labels = digits()
        training, held_out = split(len(images), HELD_OUT_SHARE, seed)
        kept = training if part == "train" else held_out
        self._scans = [_equal_ink(images[kept][labels[kept] == digit]) for digit in range(CLASSES)]

    def canvases(self, ids: Iterable[int]) -> Canvases:
        """Draw the canvases of these ids."""
        return Canvases(*(np.stack(parts) for parts in zip(*(self._draw(number) for number in ids), strict=True)))

    def _draw(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int8], NDArray[np.bool_]]:
        rng = np.random.default_rng([self.seed, _TAGS[self.part], number])
        ink = np.zeros((self.side, self.side), dtype=np.uint8)
        twins = np.zeros((self.side, self.side), dtype=np.bool_)
        classes = np.full((self.side, self.side), -1, dtype=np.int8)
        doubled = np.zeros(CLASSES, dtype=np.bool_)
        for digit, cell, twin in _anywhere(rng) if self.kind == "twins" else _in_rows(rng, self.cells):
            place = self._place(cell)
            scans = self._scans[digit]
            self._write(scans[rng.integers(len(scans))], digit, rng, ink[place], classes[place])
            if twin:
                doubled[digit] = True
                twins[place] = classes[place] >= 0
        if self.kind == "row-twins":
            for cell in FRAGMENTS * list(range(self.cells**2)):
                self._clutter(rng, ink[self._place(cell)])
        return ink, twins, classes, doubled

    def _place(self, cell: int) -> tuple[slice, slice]:
        top, left = self._cell * (cell // self.cells), self._cell * (cell % self.cells)
        return slice(top, top + self._cell), slice(left, left + self._cell)

    def _write(
        self,
        scan: NDArray[np.float64],
        digit: int,
        rng: np.random.Generator,
        ink: NDArray[np.uint8],
        classes: NDArray[np.int8],
    ) -> None:
        """Write a digit somewhere into its cell, and its class into the squares that its ink reaches."""
        height, width = (int(size) for size in rng.integers(self._sizes.start, self._sizes.stop, size=2))
        enlarged = self._enlarged[height] @ scan @ self._enlarged[width].T
        drawn = np.rint(255 * self._sizes.start**2 / (height * width) * enlarged).astype(np.uint8)
        down, right = rng.integers(self._cell - height + 1), rng.integers(self._cell - width + 1)
        ink[down : down + height, right : right + width] = drawn
        squares = np.arange(self._cell) * GRAINS // self._cell  # of each row, or column, of pixels
        starts = np.searchsorted(squares, np.arange(GRAINS))
        darkest = np.maximum.reduceat(np.maximum.reduceat(ink, starts, axis=0), starts, axis=1)
        classes[(darkest >= INKED * drawn.max())[np.ix_(squares, squares)]] = digit

    def _clutter(self, rng: np.random.Generator, ink: NDArray[np.uint8]) -> None:
        """Lay a part of some digit anywhere into a cell; where it meets a digit, the brighter of the two is seen."""
        scans = self._scans[rng.integers(CLASSES)]
        scan = scans[rng.integers(len(scans))]
        height, width = (int(size) for size in rng.integers(self._sizes.start, self._sizes.stop, size=2))
        row, column = rng.integers(SIDE - FRAGMENT + 1, size=2)
        rows, columns = (slice(start, start + FRAGMENT) for start in (row, column))
        part = self._enlarged[height][:, rows] @ scan[rows, columns] @ self._enlarged[width][:, columns].T
        part = part[row * height // SIDE :, column * width // SIDE :][
            : FRAGMENT * height // SIDE, : FRAGMENT * width // SIDE
        ]
        drawn = np.rint(255 * self._sizes.start**2 / (height * width) * part).astype(np.uint8)
        down, right = rng.integers(self._cell - len(drawn) + 1), rng.integers(self._cell - len(drawn[0]) + 1)
        place = ink[down : down + len(drawn), right : right + len(drawn[0])]
        np.maximum(place, drawn, out=place)


def _anywhere(rng: np.random.Generator) -> list[tuple[int, int, bool]]:
    """Digits, their cells and whether they have twins: some classes twice, the others once."""
    twice = set((order := rng.permutation(CLASSES)[:DOUBLED]).tolist())
    cells = rng.permutation(CELLS * CELLS)[:DIGITS].tolist()
    digits = [*range(CLASSES), *order.tolist()]
    return [(digit, cell, digit in twice) for digit, cell in zip(digits, cells, strict=True)]


def _in_rows(rng: np.random.Generator, cells: int) -> list[tuple[int, int, bool]]:
    """The same of row twins: in each row as many pairs as fit, at most two, and twice as many single digits."""
    pairs = min(cells // 4, CLASSES // 3)
    placed = []
    for row in range(cells):
        shown = rng.permutation(CLASSES)[: 3 * pairs].tolist()
        columns = rng.permutation(cells)[: 4 * pairs].tolist()
        placed += [
            (digit, cells * row + column, number < 2 * pairs)
            for number, (digit, column) in enumerate(zip(shown[:pairs] + shown, columns, strict=True))
        ]
    return placed


def _enlargement(side: int) -> NDArray[np.float64]:
    """Bilinear enlargement of a scan as a matrix (side, 8), pixel centres aligned."""
    centres = (np.arange(side) + 0.5) * SIDE / side - 0.5
    matrix: NDArray[np.float64] = np.maximum(
        0.0, 1.0 - np.abs(np.clip(centres, 0, SIDE - 1)[:, None] - np.arange(SIDE))
    )
    return matrix


def _equal_ink(scans: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale scans (n, 8, 8) to one sum of ink, so that it tells no class; no pixel exceeds 1."""
    scaled: NDArray[np.float64] = scans * (INK / scans.sum(axis=(1, 2), keepdims=True))
    return scaled
