import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_single
from tests.video_unet.conftest import TINY

from theodolite import families
from theodolite.data.clips import clip
from theodolite.data.videos import read_video, write_video
from theodolite.kernel.errors import DataError, ResourceError
from theodolite.theory.convolution import unet_halo
from theodolite.video_unet import reconstruct as module
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.losses import to_pixels, to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.reconstruct import pieces, reconstruct
from theodolite.video_unet.trained import Trained


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.mkv"
    write_video(path, clip(0, 5, 13, 17, 23), 10, lossless=True)
    return path


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 12))
def test_pieces_give_every_frame_once_with_its_neighbours(count, piece, halo):
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(count)]
    given_back = []
    for window in pieces(iter(frames), piece, halo):
        numbers = window.frames[:, 0, 0, 0].tolist()
        wanted = numbers[window.first : window.stop]
        assert 1 <= len(wanted) <= piece
        assert numbers == list(range(max(0, wanted[0] - halo), min(count, wanted[0] + piece + halo)))
        given_back += wanted
    assert given_back == list(range(count))


def test_a_video_of_another_length_and_size_comes_back_at_its_own(tiny_run, source, tmp_path):
    told = reconstruct(tiny_run, source, tmp_path / "made.mkv")
    made = read_video(tmp_path / "made.mkv")
    assert made.frames.shape == (13, 17, 23, 3)
    assert (told["frames"], told["pieces"], told["height"], told["width"]) == (13, 3, 17, 23)
    error = np.mean((made.frames / 255.0 - read_video(source).frames / 255.0) ** 2)
    assert_single(told["psnr_db"], -10 * np.log10(error))  # lossless: what was counted is what was written


def test_a_network_for_grey_clips_gives_grey_videos(source, tmp_path):
    fields = {**TINY, "channels": 1, "compare_skips": False}
    run = families.train("video-unet", tmp_path / "grey", steps=2, device="cpu", **fields)
    reconstruct(run, source, tmp_path / "made.mkv")
    made = read_video(tmp_path / "made.mkv").frames
    assert made.shape == (13, 17, 23, 3)
    assert np.array_equal(made[..., 0], made[..., 1])
    assert {exhibit.kind for exhibit in families.audit(run).exhibits} == {"chart", "strip"}


def test_each_piece_is_a_clip_of_its_own(tiny_run, source, tmp_path):
    reconstruct(tiny_run, source, tmp_path / "made.mkv")
    frames = read_video(source).frames
    network = Trained.load(tiny_run, tiny_run.settings(VideoUNetConfig), frames[None, :5]).networks["with_skips"]
    with torch.no_grad():
        alone = to_pixels(network(to_tensor(frames[None, 5:10], torch.device("cpu"))))[0]
    np.testing.assert_array_equal(read_video(tmp_path / "made.mkv").frames[5:10], alone)


def test_exact_pieces_are_one_pass_over_the_whole(tiny_run, tmp_path):
    frames = clip(0, 6, 57, 9, 14)
    write_video(tmp_path / "long.mkv", frames, 10, lossless=True)
    told = reconstruct(tiny_run, tmp_path / "long.mkv", tmp_path / "made.mkv", exact=True)
    assert told["pieces"] > 1
    network = Trained.load(tiny_run, tiny_run.settings(VideoUNetConfig), frames[None]).networks["with_skips"]
    with torch.no_grad():
        whole = to_pixels(network(to_tensor(frames[None], torch.device("cpu"))))[0]
    difference = np.abs(read_video(tmp_path / "made.mkv").frames.astype(int) - whole)
    assert difference.max() <= 1  # one grey level, where rounding falls to the other side
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("rounding", ["up", "down"])
@pytest.mark.parametrize("skips", [True, False])
def test_aligned_tiles_with_the_planned_halo_are_the_untiled_result(rounding, skips):
    """And one cell of halo fewer is not enough: the halo is no wider than it must be."""
    torch.manual_seed(0)
    config = VideoUNetConfig(base=1, stages=2, rounding=rounding, skips=skips)
    network = VideoUNet(config).double()
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 0.3)  # every path counts
    cell, halo = 4, unet_halo(2, config.convolutions, config.kernel, 2)
    aligned = -(-halo // cell) * cell
    clip_ = torch.rand(1, 3, 90, 4, 4, dtype=torch.float64)
    first, stop = 40, 48

    def tile(margin):
        return network(clip_[:, :, first - margin : stop + margin])[:, :, margin : margin + stop - first]

    with torch.no_grad():
        whole = network(clip_)[:, :, first:stop]
        assert_single(tile(aligned), whole)
        assert not torch.allclose(tile(aligned - cell), whole, rtol=1e-12, atol=0)


def test_bad_sources_and_targets_are_refused(tiny_run, source, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no video at"):
        reconstruct(tiny_run, tmp_path / "gone.mp4", tmp_path / "made.mp4")
    with pytest.raises(ResourceError, match="cannot write"):
        reconstruct(tiny_run, source, tmp_path / "no" / "folder.mp4")
    monkeypatch.setattr(module, "MEMORY", 1000)
    with pytest.raises(ResourceError, match="5 frames of 23×17 would take about"):
        reconstruct(tiny_run, source, tmp_path / "made.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mkv"]
