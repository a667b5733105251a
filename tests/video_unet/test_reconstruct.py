import av
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
from theodolite.video_unet.reconstruct import chunks, load_networks, reconstruct
from theodolite.video_unet.restoration import rebuilt
from theodolite.video_unet.tiles import streaming_bytes
from theodolite.video_unet.trained import Trained


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.mkv"
    write_video(path, clip(0, 5, 13, 17, 23), 10, lossless=True)
    return path


@given(st.integers(0, 40), st.integers(1, 9))
def test_chunks_give_every_frame_once(count, most):
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(count)]
    given_back = [chunk[:, 0, 0, 0].tolist() for chunk in chunks(iter(frames), most)]
    assert [number for each in given_back for number in each] == list(range(count))
    assert all(len(each) == most for each in given_back[:-1])


def test_a_video_of_another_length_and_size_comes_back_at_its_own(tiny_run, source, tmp_path):
    told = reconstruct(tiny_run, source, tmp_path / "made.mkv")
    made = read_video(tmp_path / "made.mkv")
    assert made.frames.shape == (13, 17, 23, 3)
    assert (told["frames"], told["tiles"], told["height"], told["width"]) == (13, 1, 17, 23)
    error = np.mean((made.frames / 255.0 - read_video(source).frames / 255.0) ** 2)
    assert_single(told["psnr_db"], -10 * np.log10(error))  # lossless: what was counted is what was written


def test_a_network_for_grey_clips_gives_grey_videos(source, tmp_path):
    fields = {**TINY, "channels": 1, "compare_skips": False}
    run = families.train("video-unet", tmp_path / "grey", steps=2, device="cpu", **fields)
    reconstruct(run, source, tmp_path / "made.mkv")
    made = read_video(tmp_path / "made.mkv").frames
    assert made.shape == (13, 17, 23, 3)
    assert np.array_equal(made[..., 0], made[..., 1])
    assert {exhibit.kind for exhibit in families.audit(run).exhibits} >= {"chart", "strip"}


def whole(run, frames):
    """Everything at once."""
    network = Trained.load(run, run.settings(VideoUNetConfig), frames[None]).networks["with_skips"]
    with torch.no_grad():
        return to_pixels(network(to_tensor(frames[None], torch.device("cpu"))))[0]


def assert_nearly_equal(made, expected):
    difference = np.abs(made.astype(int) - expected)
    assert difference.max() <= 1  # one grey level, where rounding falls to the other side
    assert (difference > 0).mean() < 1e-3


def test_clip_by_clip_each_is_a_clip_of_its_own(tiny_run, source, tmp_path):
    reconstruct(tiny_run, source, tmp_path / "made.mkv", clip_by_clip=True)
    frames, made = read_video(source).frames, read_video(tmp_path / "made.mkv").frames
    np.testing.assert_array_equal(made[5:10], whole(tiny_run, frames[5:10]))
    filled = np.concatenate([frames[10:], frames[-1:], frames[-1:]])
    np.testing.assert_array_equal(made[10:], whole(tiny_run, filled)[:3])


@pytest.mark.parametrize("at_once", [1, 2, 10**6])
def test_a_video_comes_back_as_in_one_pass_over_the_whole(tiny_run, tmp_path, monkeypatch, at_once):
    frames = clip(0, 6, 57, 9, 14)
    write_video(tmp_path / "long.mkv", frames, 10, lossless=True)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", at_once * 9 * 14)
    assert reconstruct(tiny_run, tmp_path / "long.mkv", tmp_path / "made.mkv")["tiles"] == 1
    assert_nearly_equal(read_video(tmp_path / "made.mkv").frames, whole(tiny_run, frames))


def test_frames_too_large_for_memory_come_back_as_whole_ones(tiny_run, tmp_path, monkeypatch):
    frames = clip(0, 7, 9, 130, 121)
    write_video(tmp_path / "wide.mkv", frames, 10, lossless=True)
    network = load_networks(tiny_run, tiny_run.settings(VideoUNetConfig))[0][1]
    monkeypatch.setattr(module, "MEMORY", streaming_bytes(network, 100, 90, most=4))
    told = reconstruct(tiny_run, tmp_path / "wide.mkv", tmp_path / "made.mkv")
    assert told["tiles"] > 1
    made = read_video(tmp_path / "made.mkv").frames
    assert_nearly_equal(made, whole(tiny_run, frames))
    assert_single(told["psnr_db"], -10 * np.log10(np.mean((made / 255.0 - frames / 255.0) ** 2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.mkv", "wide.mkv"]


def test_a_video_that_lies_on_its_side_is_turned_upright(tiny_run, tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 32, "yuv420p"
        stream.set_display_rotation(90)
        for frame in clip(0, 0, 4, 16, 32):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    told = reconstruct(tiny_run, path, tmp_path / "made.mkv")
    assert (told["height"], told["width"]) == (32, 16)
    assert read_video(tmp_path / "made.mkv").frames.shape == (4, 32, 16, 3)


@pytest.mark.parametrize("rounding", ["up", "down"])
@pytest.mark.parametrize("skips", [True, False])
def test_aligned_tiles_with_the_planned_halo_are_the_untiled_result(rounding, skips):
    """And one cell of halo fewer is not enough: the halo is no wider than it must be."""
    config = VideoUNetConfig(base=1, stages=2, rounding=rounding, skips=skips)
    network = VideoUNet(config).double()
    torch.manual_seed(1)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 0.3)  # every path counts
    cell, halo = 4, unet_halo(2, config.convs_per_stage, config.kernel, 2)
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
    with pytest.raises(ResourceError, match="frames of 23×17 would take about"):
        reconstruct(tiny_run, source, tmp_path / "made.mp4")
    with pytest.raises(ResourceError, match="clips of 5 frames of 23×17 would take about"):
        reconstruct(tiny_run, source, tmp_path / "made.mp4", clip_by_clip=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mkv"]


@pytest.mark.parametrize("corruption", ["masked", "blocks", "noise"])
def test_a_network_that_restores_gives_back_what_it_made_of_each_part_from_the_others(source, tmp_path, corruption):
    fields = {**TINY, "compare_skips": False, "corruption": corruption}
    run = families.train("video-unet", tmp_path / "run", steps=3, device="cpu", **fields)
    told = reconstruct(run, source, tmp_path / "made.mkv")
    frames, made = read_video(source).frames, read_video(tmp_path / "made.mkv").frames
    network = load_networks(run, run.settings(VideoUNetConfig))[0][1]
    clip = to_tensor(frames[None], next(network.parameters()).device)
    assert_nearly_equal(made, to_pixels(rebuilt(run.settings(VideoUNetConfig), network, clip))[0])
    reconstruct(run, source, tmp_path / "cut.mkv", clip_by_clip=True)
    cut = to_pixels(rebuilt(run.settings(VideoUNetConfig), network, clip[:, :, 5:10]))[0]
    np.testing.assert_array_equal(read_video(tmp_path / "cut.mkv").frames[5:10], cut)
    assert (told["frames"], told["tiles"]) == (13, 1)


def test_tiles_hide_what_the_whole_would(tmp_path, monkeypatch):
    write_video(tmp_path / "wide.mkv", clip(0, 7, 5, 130, 121), 10, lossless=True)
    fields = {**TINY, "compare_skips": False, "corruption": "blocks"}
    run = families.train("video-unet", tmp_path / "run", steps=3, device="cpu", **fields)
    reconstruct(run, tmp_path / "wide.mkv", tmp_path / "whole.mkv")
    network = load_networks(run, run.settings(VideoUNetConfig))[0][1]
    monkeypatch.setattr(module, "MEMORY", 2 * streaming_bytes(network, 100, 90, most=4))
    assert reconstruct(run, tmp_path / "wide.mkv", tmp_path / "tiles.mkv")["tiles"] > 1
    assert_nearly_equal(*(read_video(tmp_path / f"{name}.mkv").frames for name in ("tiles", "whole")))
