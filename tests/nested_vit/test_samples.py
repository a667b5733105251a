import numpy as np
import pytest
import torch
from tests.nested_vit.small import canvases, configured

from theodolite.nested_vit.samples import images_of, truth_of


@pytest.mark.parametrize("fields", [{}, {"size": 50}, {"window": 3}, {"window": 7, "patch": 5}])
def test_what_a_window_holds_by_looking_at_each(fields):
    config = configured(**fields)
    drawn = canvases(config, 3)
    truth = truth_of(config, drawn)
    side = config.patch * config.window
    window = 0
    for number in range(3):
        for top in range(0, config.size, side):
            for left in range(0, config.size, side):
                shown = set(np.unique(drawn.classes[number, top : top + side, left : left + side])) - {-1}
                assert set(np.flatnonzero(truth.digits[window])) == shown
                assert truth.twins[window, 0] == any(drawn.doubled[number, digit] for digit in shown)
                window += 1
    assert window == len(truth.digits)


def test_the_target_is_the_marks_or_the_labels():
    drawn = canvases(configured())
    assert torch.equal(truth_of(configured(), drawn).target, torch.from_numpy(drawn.twins))
    assert torch.equal(truth_of(configured(target="label"), drawn).target, torch.from_numpy(drawn.doubled))


def test_images_have_three_equal_colours():
    ink = canvases(configured()).ink
    images = images_of(ink)
    assert images.shape == (2, 3, 64, 64)
    assert all(np.array_equal(images[:, colour], ink) for colour in range(3))
