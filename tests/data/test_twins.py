import numpy as np
import pytest
from tests.tolerances import assert_sampling

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


def test_a_canvas_depends_on_seed_part_and_id_alone():
    source = TwinCanvases(64, 5, "train")
    alone, among = source.canvases([7]), source.canvases([3, 7, 9])
    np.testing.assert_array_equal(alone.ink[0], among.ink[1])
    np.testing.assert_array_equal(alone.classes[0], among.classes[1])
    for other in (TwinCanvases(64, 6, "train"), TwinCanvases(64, 5, "held out")):
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
