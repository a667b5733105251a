import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_sampling

from theodolite.data.digits import digits
from theodolite.data.twins import CELLS, CLASSES, TWIN_SHARE, TwinCanvases
from theodolite.kernel.errors import UsageError


@pytest.fixture(scope="module")
def drawn():
    return TwinCanvases(64, 3, "train").canvases(range(40))


def cells(canvas):
    side = len(canvas) // CELLS
    return [
        canvas[row : row + side, column : column + side]
        for row in range(0, side * CELLS, side)
        for column in range(0, side * CELLS, side)
    ]


def test_shapes_and_types(drawn):
    assert drawn.ink.shape == drawn.twins.shape == drawn.classes.shape == (40, 64, 64)
    assert (drawn.ink.dtype, drawn.twins.dtype, drawn.classes.dtype) == (np.uint8, np.bool_, np.int8)
    assert drawn.doubled.shape == (40, CLASSES)


def test_truth_by_looking_at_every_cell(drawn):
    for number in range(len(drawn.ink)):
        found = [set(np.unique(cell)) - {-1} for cell in cells(drawn.classes[number])]
        assert all(len(shown) <= 1 for shown in found)
        present = [shown.pop() for shown in found if shown]
        occurs = [present.count(digit) for digit in range(CLASSES)]
        assert sorted(occurs) == [1, 1, 1, 1, 2, 2]
        assert list(drawn.doubled[number]) == [count == 2 for count in occurs]
        for row in range(0, 64, 8):
            for column in range(0, 64, 8):
                shown = drawn.classes[number, row, column]
                assert drawn.twins[number, row, column] == (shown >= 0 and occurs[shown] == 2)


def test_every_mark_stands_on_ink_and_most_ink_is_marked(drawn):
    for ink, classes in zip(drawn.ink, drawn.classes, strict=True):
        assert all(
            cell_ink.any() == (cell >= 0).any() for cell_ink, cell in zip(cells(ink), cells(classes), strict=True)
        )
        assert ink[classes >= 0].sum() > 0.8 * ink.sum()
        assert (classes[ink == ink.max()] >= 0).all()


def test_digits_have_equal_ink():
    canvases = TwinCanvases(256, 0, "train").canvases(range(10))
    sums = np.array([cell.sum() for ink in canvases.ink for cell in cells(ink) if cell.any()], dtype=float)
    assert len(sums) == 80
    assert sums.std() < 0.01 * sums.mean()  # what is left is rounding to bytes


def test_neither_class_nor_place_tells_a_twin():
    """Of the digits of each class, and of those in each cell, half have a twin."""
    canvases = TwinCanvases(32, 1, "train").canvases(range(600))
    places = np.stack([[cell.max() for cell in cells(classes)] for classes in canvases.classes])
    has = np.stack([[cell.any() for cell in cells(twins)] for twins in canvases.twins])
    for digit in range(CLASSES):
        assert_sampling(has[places == digit], TWIN_SHARE)
    for cell in range(CELLS**2):
        assert_sampling(has[:, cell][places[:, cell] >= 0], TWIN_SHARE)


@pytest.fixture(scope="module")
def rows():
    return TwinCanvases(32, 1, "train", "row-twins").canvases(range(600))


def shown(classes):
    """The digit in each cell of each canvas, −1 for none: (canvases, rows, columns)."""
    return np.stack([[cell.max() for cell in cells(canvas)] for canvas in classes]).reshape(-1, CELLS, CELLS)


def test_the_truth_of_row_twins_by_looking_along_every_row(rows):
    places = shown(rows.classes)
    for number in range(50):
        for row, line in enumerate(places[number]):
            counts = [list(line).count(digit) for digit in range(CLASSES)]
            assert sorted(counts) == [0, 0, 0, 1, 1, 2]
            for column, digit in enumerate(line):
                cell = (slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
                held = rows.classes[number][cell] >= 0
                np.testing.assert_array_equal(rows.twins[number][cell], held & (counts[digit] == 2))
        found = {digit for line in places[number] for digit in line if list(line).count(digit) == 2}
        assert set(np.flatnonzero(rows.doubled[number])) == found


def test_neither_class_nor_place_tells_a_row_twin_and_the_same_class_elsewhere_misleads(rows):
    places = shown(rows.classes)
    has = np.stack([[cell.any() for cell in cells(twins)] for twins in rows.twins]).reshape(places.shape)
    for digit in range(CLASSES):
        assert_sampling(has[places == digit], TWIN_SHARE)
    for row in range(CELLS):
        for column in range(CELLS):
            assert_sampling(has[:, row, column], TWIN_SHARE)
    misled = [
        np.mean(
            [
                any(digit in other for other in np.delete(canvas, row, axis=0))
                for row in range(CELLS)
                for digit in canvas[row][~told[row]]
            ]
        )
        for canvas, told in zip(places, has, strict=True)
    ]
    assert_sampling(misled, 1 - 0.5 ** (CELLS - 1))  # half of the classes are in each row


def test_ink_tells_no_row_twin():
    """Ranks of a cell's ink, its fragment included, are alike for twins and for others."""
    canvases = TwinCanvases(64, 4, "train", "row-twins").canvases(range(200))
    ink = np.array([cell.sum(dtype=int) for canvas in canvases.ink for cell in cells(canvas)])
    has = np.array([cell.any() for canvas in canvases.twins for cell in cells(canvas)])
    assert mannwhitneyu(ink[has], ink[~has]).pvalue > FOUR_STANDARD_ERRORS


def test_every_cell_has_fragments_and_only_digits_are_marked():
    canvases = TwinCanvases(512, 0, "train", "row-twins").canvases(range(3))
    for ink, classes in zip(canvases.ink, canvases.classes, strict=True):
        windows = ink.reshape(8, 64, 8, 64).swapaxes(1, 2).reshape(64, -1)
        held = classes.reshape(8, 64, 8, 64).swapaxes(1, 2).reshape(64, -1) >= 0
        assert windows.any(axis=1).all()
        assert held.any(axis=1).reshape(8, 8).sum(axis=1).tolist() == [8] * 8
        assert (ink[classes < 0] > 0).any()


@pytest.mark.parametrize(
    ("side", "cells_", "in_row"), [(100, 4, 4), (256, 4, 4), (320, 5, 4), (512, 8, 8), (640, 10, 8)]
)
def test_a_larger_canvas_of_row_twins_has_more_cells(side, cells_, in_row):
    source = TwinCanvases(side, 0, "train", "row-twins")
    canvas = source.canvases([0])
    assert (source.cells, canvas.ink.shape) == (cells_, (1, side, side))
    cell = side // cells_
    held = [
        canvas.classes[0, cell * row : cell * row + cell, cell * column : cell * column + cell].max() >= 0
        for row in range(cells_)
        for column in range(cells_)
    ]
    assert np.reshape(held, (cells_, cells_)).sum(axis=1).tolist() == [in_row] * cells_


@pytest.mark.parametrize("kind", ["twins", "row-twins"])
def test_a_canvas_depends_on_seed_part_and_id_alone(kind):
    source = TwinCanvases(64, 5, "train", kind)
    alone, among = source.canvases([7]), source.canvases([3, 7, 9])
    np.testing.assert_array_equal(alone.ink[0], among.ink[1])
    np.testing.assert_array_equal(alone.classes[0], among.classes[1])
    for other in (TwinCanvases(64, 6, "train", kind), TwinCanvases(64, 5, "held out", kind)):
        assert not np.array_equal(other.canvases([7]).ink[0], alone.ink[0])


def test_train_and_held_out_scans_are_disjoint():
    parts = [
        {scan.tobytes() for scans in TwinCanvases(64, 2, part)._scans for scan in scans}
        for part in ("train", "held out")
    ]
    _, labels = digits()
    assert not parts[0] & parts[1]
    assert sum(map(len, parts)) <= int((labels < CLASSES).sum())


@pytest.mark.parametrize("side", [32, 33, 50, 100, 250])
def test_any_side_that_is_large_enough(side):
    canvases = TwinCanvases(side, 0, "train").canvases([0])
    assert canvases.ink.shape == (1, side, side)
    assert 0 < canvases.twins.mean() < 0.5


def test_a_side_too_small_is_refused_in_one_line():
    with pytest.raises(UsageError, match="side=31 is too small for 4 × 4 digits; give at least 32 px"):
        TwinCanvases(31, 0, "train")
