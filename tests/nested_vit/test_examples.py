import numpy as np
import pytest
import torch
from tests.nested_vit.own import folders, pairs
from tests.tolerances import assert_identity

from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.examples import MaskSource, opened, whole_of
from theodolite.nested_vit.own_images import find
from theodolite.nested_vit.windows import WindowSource


def first(data):
    return find(NestedViTConfig(data=str(data))).all.images[0]


class Values:
    height, width, channels = 2, 3, 1

    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.uint16).reshape(2, 3, 1)

    def window(self, top, left, height, width):
        return self.values[top : top + height, left : left + width]


@pytest.mark.parametrize(
    ("marks", "wide", "kind", "expected"),
    [(True, False, np.uint8, [0, 1, 1]), (False, False, np.uint8, [0, 255, 1]), (False, True, np.int32, [0, 255, 1])],
)
def test_masks_give_classes(marks, wide, kind, expected):
    source = MaskSource(Values([0, 255, 1, 0, 0, 0]), marks, wide)
    found = source.window(0, 0, 1, 3)
    assert found.dtype == kind
    assert found[0, :, 0].tolist() == expected
    assert isinstance(source, WindowSource)


def test_an_image_is_opened_with_its_label_or_its_mask(tmp_path):
    config = NestedViTConfig(patch=4, window=2, classes=3)
    with opened(first(folders(tmp_path / "labels")), config, False) as example:
        assert example.truth == 0
        assert whole_of(example.image).shape == (1, 3, example.image.height, example.image.width)
    with opened(first(pairs(tmp_path / "masks")), config, False) as example:
        assert (example.truth.height, example.truth.width) == (example.image.height, example.image.width)


@pytest.mark.parametrize("classes", [1, 3, 300])
def test_the_loss_of_a_mask_is_the_same_whole_and_in_parts(tmp_path, classes):
    config = NestedViTConfig(patch=4, window=2, classes=classes)
    device = torch.device("cpu")
    with opened(first(pairs(tmp_path, values=(0, 1))), config, False) as example:
        logits = torch.randn(1, classes, example.image.height, example.image.width, dtype=torch.float64)
        whole = example.loss(config, True, device).whole(logits)
        loss = example.loss(config, False, device)
        side, rows, columns = 8, -(-example.image.height // 8), -(-example.image.width // 8)
        padded = torch.nn.functional.pad(
            logits[0], (0, columns * side - logits.shape[3], 0, rows * side - logits.shape[2])
        )
        tiles = padded.reshape(classes, rows, side, columns, side).permute(1, 3, 0, 2, 4).flatten(0, 1)
        parts = [loss.part(tiles[start : start + 2], slice(start, min(start + 2, len(tiles)))) for start in
                 range(0, len(tiles), 2)]  # fmt: skip
    assert_identity(sum(map(float, parts)), float(whole))
