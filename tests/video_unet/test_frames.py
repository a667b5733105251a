import numpy as np
import pytest
import torch
from tests.tolerances import assert_identity

from theodolite.kernel.exhibits import Chart, Table
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import Shown
from theodolite.video_unet.frames import frame_psnr, frame_similarity
from theodolite.video_unet.over_time import frame_charts
from theodolite.video_unet.similarity import structural_similarity
from theodolite.video_unet.trained import Trained, clip_psnr, mean_and_uncertainty


def pairs(*size):
    random = np.random.default_rng(0)
    original = random.random(size)
    return original, np.clip(original + 0.2 * random.standard_normal(size), 0, 1)


def test_psnr_of_a_frame_is_that_of_a_clip_of_one_frame():
    original, made = pairs(3, 4, 5, 6, 2)
    found = frame_psnr(original, made)
    assert found.shape == (3, 4)
    for frame in range(4):
        alone = slice(frame, frame + 1)
        assert_identity(found[:, frame], clip_psnr(original[:, alone], made[:, alone]))


@pytest.mark.parametrize("size", [(12, 14), (4, 20), (1, 3), (11, 2)])
def test_similarity_of_a_frame_is_that_of_a_clip_of_one_frame(size):
    original, made = pairs(2, 3, *size, 3)
    found = frame_similarity(original, made)
    for clip, frame in np.ndindex(2, 3):
        one, other = (torch.from_numpy(x[clip, frame]).movedim(-1, 0)[None, :, None] for x in (original, made))
        assert_identity(found[clip, frame], structural_similarity(one, other).item())


def trained(frames):
    original, made = pairs(6, frames, 8, 9, 3)
    made[:, 0] = original[:, 0] + 0.5  # frame 1 is the worst
    names = ("with_skips", "without_skips")
    return Trained(
        networks={},
        held_out=original,
        shown=Shown(original),
        reconstructions=dict.fromkeys(names, made),
        psnr={},
        psnr_hidden={},
    )


def test_charts_over_time_show_means_and_intervals_over_clips():
    found = trained(4)
    config = VideoUNetConfig(frames=4, height=8, width=9, clips=10, held_out=6)
    psnr, ssim, table = frame_charts(config, found, 30)
    assert isinstance(psnr, Chart)
    assert isinstance(ssim, Chart)
    assert isinstance(table, Table)
    band, line = psnr.layers[:2]
    values = frame_psnr(found.held_out, found.reconstructions["with_skips"])
    for frame in range(4):
        mean, half = mean_and_uncertainty(values[:, frame])
        assert_identity(line.columns["mean"][frame], mean)
        assert_identity([band.columns[end][frame] for end in ("low", "high")], [mean - half, mean + half])
        assert table.rows[frame][0] == frame + 1
        assert table.rows[frame][1] == f"{mean:.1f} ± {half:.1f}"
    assert "in frame 1" in psnr.title
    assert psnr.layers[-1].dashed
    assert "0." in ssim.title


def test_of_one_frame_there_is_no_course_of_time():
    found = trained(1)
    (table,) = frame_charts(VideoUNetConfig(frames=1, height=8, width=9, clips=10, held_out=6), found, 30)
    assert isinstance(table, Table)
    assert len(table.rows) == 1
