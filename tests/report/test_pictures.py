import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.report import example

from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Gallery, Strip
from theodolite.kernel.runs import RunFolder
from theodolite.report.pictures import FRAME_SIDE, MOST_FRAMES, MOST_TILES, TILE_SIDE, reels, tiles


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return example.example_run(tmp_path / "run", audited=False)


def pixels(address: str) -> np.ndarray:
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image)


def gallery(run: RunFolder, images: np.ndarray, labels: int, **fields: object) -> Gallery:
    name = run.save_array("images", images)
    return Gallery.model_validate(
        {"title": "t", "caption": "c", "array": name, "labels": tuple(map(str, range(labels))), **fields}
    )


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_small_tiles_keep_every_pixel_and_stand_above_their_nearest(run: RunFolder) -> None:
    images, near = noise(3, 8, 8, 3), noise(3, 8, 8, 3)
    described = gallery(run, images, 3, nearest=run.save_array("near", near), nearest_labels=("a", "b", "c"))
    shown, remark = tiles(run, described, None)
    assert [tile.nearest_label for tile in shown] == ["a", "b", "c"]
    for place, tile in enumerate(shown):
        assert np.array_equal(pixels(tile.image.address), images[place])
        assert tile.nearest is not None
        assert np.array_equal(pixels(tile.nearest.address), near[place])
        assert tile.image.crisp
    assert remark == ""


def test_large_tiles_are_kept_at_the_size_for_looking_at_them(run: RunFolder) -> None:
    shown, _ = tiles(run, gallery(run, noise(1, 600, 300, 3), 1), None)
    assert pixels(shown[0].image.address).shape == (TILE_SIDE, TILE_SIDE // 2, 3)
    assert not shown[0].image.crisp


def test_what_is_not_shown_is_said(run: RunFolder) -> None:
    shown, remark = tiles(run, gallery(run, noise(60, 4, 4), 60), None)
    assert len(shown) == MOST_TILES
    assert remark == f"The first {MOST_TILES} of 60 are shown."


@pytest.mark.parametrize("labels", [2, 4])
def test_labels_must_fit(run: RunFolder, labels: int) -> None:
    with pytest.raises(DataError, match=f"holds 3 but there are {labels} labels"):
        tiles(run, gallery(run, noise(3, 4, 4), labels), None)


def test_the_row_below_must_fit(run: RunFolder) -> None:
    near = run.save_array("near", noise(2, 4, 4))
    with pytest.raises(DataError, match="holds 2 but there are 3 tiles above"):
        tiles(run, gallery(run, noise(3, 4, 4), 3, nearest=near), None)
    with pytest.raises(DataError, match=r"shape \(4, 4, 2\)"):
        tiles(run, gallery(run, noise(3, 4, 4, 2), 3), None)


def test_frames_of_a_strip_stand_side_by_side_in_order(run: RunFolder) -> None:
    video = noise(2, 5, 6, 7, 3)
    described = Strip(title="t", caption="c", array=run.save_array("v", video), row_names=("a", "b"))
    shown, remark = reels(run, described, None)
    assert [reel.name for reel in shown] == ["a", "b"]
    for row, reel in enumerate(shown):
        sheet = pixels(reel.sheet.address)
        for frame in range(reel.frames):
            assert np.array_equal(sheet[:, 7 * frame : 7 * frame + 7], video[row, frame])
    assert remark == ""


def test_a_long_or_large_video_is_thinned_and_made_smaller(run: RunFolder) -> None:
    described = Strip(title="t", caption="c", array=run.save_array("v", noise(1, 150, 4, 4, 3)), row_names=("a",))
    (reel,), remark = reels(run, described, None)
    assert reel.frames == 50 <= MOST_FRAMES
    assert remark == "One frame in 3 of 150 is shown."
    described = Strip(title="t", caption="c", array=run.save_array("v", noise(1, 3, 200, 400)), row_names=("a",))
    (reel,), _ = reels(run, described, None)
    assert pixels(reel.sheet.address).shape == (FRAME_SIDE // 2, 3 * FRAME_SIDE, 3)
    with pytest.raises(DataError, match="row names"):
        reels(run, described.model_copy(update={"row_names": ("a", "b")}), None)
