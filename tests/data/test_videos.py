"""Video files: what is written comes back, and every lie of a file is told or refused."""

import os
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from theodolite.data import videos
from theodolite.data.clips import clip
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import DataError, ResourceError

REAL = Path(os.environ.get("THEODOLITE_VIDEOS", "../shared/data/clips"))


@pytest.fixture(scope="module")
def frames():
    return clip(0, 0, 25, 33, 47)


def test_a_lossless_video_of_odd_size_comes_back_bit_by_bit(frames, tmp_path):
    path = tmp_path / "clip.mkv"
    assert videos.write_video(path, frames, 10, lossless=True) == 25
    read = videos.read_video(path)
    np.testing.assert_array_equal(read.frames, frames)
    assert read.rate == 10
    assert read.warnings == ()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("height", "width"), [(33, 47), (32, 46), (2, 2)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_h264_of_any_size_comes_back_nearly(frames, tmp_path, height, width, suffix):
    path = tmp_path / f"clip{suffix}"
    videos.write_video(path, frames[:, :height, :width], Fraction(30000, 1001))
    read = videos.read_video(path)
    assert read.frames.shape == (25, height, width, 3)
    assert np.abs(read.frames.astype(int) - frames[:, :height, :width]).mean() < 8


def test_the_header_says_what_was_written(frames, tmp_path):
    videos.write_video(tmp_path / "clip.mp4", frames, 25)
    header = videos.probe(tmp_path / "clip.mp4")
    assert (header.width, header.height, header.rate, header.frames) == (47, 33, 25, 25)
    assert header.seconds == 1.0
    assert (header.codec, header.streams) == ("h264", 1)


def test_matroska_claims_no_frames_and_is_read_all_the_same(frames, tmp_path):
    videos.write_video(tmp_path / "clip.mkv", frames, 25)
    assert videos.probe(tmp_path / "clip.mkv").frames == 0
    assert len(videos.read_video(tmp_path / "clip.mkv").frames) == 25


def test_a_size_is_scaled_to_and_cut_in_the_middle(tmp_path):
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = 200
    videos.write_video(tmp_path / "wide.mkv", [image] * 3, 5, lossless=True)
    read = videos.read_video(tmp_path / "wide.mkv", size=(20, 20))
    assert read.frames.shape == (3, 20, 20, 3)
    assert read.frames[:, 2:-2, 2:-2].min() > 190  # the dark sides were cut away


def test_a_rotated_video_is_turned_upright(tmp_path):
    path, image = tmp_path / "phone.mp4", np.zeros((32, 64, 3), np.uint8)
    image[:8] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    upright = videos.read_video(path).frames[0]
    assert upright.shape == (64, 32, 3)
    assert upright[:, :6].mean() > 200  # counter-clockwise by 90°: the top became the left
    assert upright[:, 10:].mean() < 50
    assert videos.read_video(path, size=(16, 8)).frames.shape == (1, 16, 8, 3)


def test_a_budget_of_frames_is_kept_and_said(frames, tmp_path):
    videos.write_video(tmp_path / "clip.mkv", frames, 25)
    read = videos.read_video(tmp_path / "clip.mkv", most=7)
    assert len(read.frames) == 7
    assert read.warnings == ("clip.mkv: only the first 7 frames were read, as the budget allows",)


def test_a_video_beyond_the_memory_budget_is_refused(frames, tmp_path, monkeypatch):
    videos.write_video(tmp_path / "clip.mkv", frames, 25)
    monkeypatch.setattr(videos, "BYTES_A_VIDEO", 3 * 33 * 47 * 10)
    with pytest.raises(ResourceError, match="more than 10 frames of 47×33"):
        videos.read_video(tmp_path / "clip.mkv")


def test_frames_beyond_the_pixel_budget_are_refused_before_decoding(frames, tmp_path, monkeypatch):
    videos.write_video(tmp_path / "clip.mkv", frames, 25)
    monkeypatch.setattr(videos, "PIXELS_A_FRAME", 1000)
    with pytest.raises(DataError, match="frames of 47×33; between 1 and 1,000 pixels"):
        videos.probe(tmp_path / "clip.mkv")


def test_a_file_cut_in_half_is_counted_and_said(frames, tmp_path):
    whole, cut = tmp_path / "clip.mkv", tmp_path / "cut.mkv"
    videos.write_video(whole, frames, 25, lossless=True)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    read = videos.read_video(cut)
    assert 0 < len(read.frames) < 20
    assert any(f"cut short: {len(read.frames)} frames could be decoded" in warning for warning in read.warnings)


def test_flipped_bytes_are_never_silent(tmp_path):
    path = tmp_path / "clip.ts"
    videos.write_video(path, clip(0, 1, 60, 64, 64), 25)
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(content) // 4, len(content), 60):
        content[place] ^= 0xFF
    path.write_bytes(content)
    read = videos.read_video(path)
    assert read.warnings, f"{len(read.frames)} of 60 frames and not a word"


def test_a_stream_that_was_not_announced_ends_the_reading(tmp_path, monkeypatch):
    def demux(container, stream):
        for number, packet in enumerate(demuxed(container, stream)):
            if number == 5:
                raise IndexError("list index out of range")  # as PyAV does; which bytes provoke it depends on FFmpeg
            yield packet

    path = tmp_path / "clip.ts"
    videos.write_video(path, clip(0, 1, 10, 16, 16), 25)
    demuxed = av.container.InputContainer.demux
    opened = videos._open

    @contextmanager
    def open_damaged(path):
        with opened(path) as container:
            yield Damaged(container, demux)

    monkeypatch.setattr(videos, "_open", open_damaged)
    read = videos.read_video(path)
    assert 1 <= len(read.frames) < 10
    assert any("not announced" in warning for warning in read.warnings)


class Damaged:
    """A container whose packets are others."""

    def __init__(self, container, demux):
        self._container = container
        self._demux = demux

    def __getattr__(self, name):
        return getattr(self._container, name)

    def demux(self, stream):
        return self._demux(self._container, stream)


def write(path, images, *, pixels="yuv420p", times=None, colour_range=None, codec="libx264", angle=None):
    """A file as others would write it; times in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if colour_range is not None:
            stream.codec_context.color_range = colour_range
        if angle is not None:
            stream.set_display_rotation(angle)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if colour_range is not None:
                frame = frame.reformat(format=pixels, dst_color_range=colour_range)
            frame.pts, frame.time_base = times[number] if times else 100 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


GREYS = [np.full((32, 48, 3), level, np.uint8) for level in (0, 128, 255, 60)]
GREY_LEVELS_OFF = 3
"""What conversion between colour spaces in 8 bits rounds away."""


@pytest.mark.parametrize(
    ("codec", "pixels", "colour_range"),
    [
        ("libx264", "yuv420p", None),
        ("libx264", "yuvj420p", None),  # full range by its format
        ("libx264", "yuv420p", 2),  # full range by its mark
        ("libx264", "yuv420p", 1),
        ("libx264", "yuv420p10le", None),
        ("ffv1", "yuv444p10le", None),
        ("ffv1", "gray", None),
    ],
)
def test_black_is_black_and_white_is_white_in_every_format(tmp_path, codec, pixels, colour_range):
    write(tmp_path / "grey.mkv", GREYS, codec=codec, pixels=pixels, colour_range=colour_range)
    frames = videos.read_video(tmp_path / "grey.mkv").frames
    assert np.abs(frames[:, 8, 8].astype(int) - [image[8, 8] for image in GREYS]).max() <= GREY_LEVELS_OFF


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_at_uneven_times_are_said_and_their_times_kept(tmp_path, suffix):
    path, seen = tmp_path / f"phone{suffix}", Decoding()
    write(path, GREYS * 2, times=[0, 40, 80, 500, 900, 940, 980, 1020])
    times = [seen.time for _ in videos.read_frames(path, seen=seen)]
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.5, 0.9, 0.94, 0.98, 1.02], atol=1e-9)
    assert any("frames are 40 to 420 ms apart" in said for said in videos.read_video(path).warnings)


def test_an_angle_that_is_no_quarter_is_said(tmp_path):
    write(tmp_path / "askew.mp4", GREYS, angle=30)
    (said,) = videos.read_video(tmp_path / "askew.mp4").warnings
    assert said.startswith("askew.mp4 is turned by ")


def test_a_packet_without_sense_is_left_out_and_counted(tmp_path, monkeypatch):
    """The others are shown, as a player does."""

    class Nonsense:
        def decode(self):
            raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")

    def demux(container, stream):
        for number, packet in enumerate(demuxed(container, stream)):
            yield Nonsense() if number == 4 else packet

    write(tmp_path / "clip.mkv", GREYS * 3, codec="ffv1", pixels="bgr0")
    demuxed, opened = av.container.InputContainer.demux, videos._open

    @contextmanager
    def open_damaged(path):
        with opened(path) as container:
            yield Damaged(container, demux)

    monkeypatch.setattr(videos, "_open", open_damaged)
    read = videos.read_video(tmp_path / "clip.mkv")
    assert len(read.frames) == 11
    assert any("were left out, 1 in all, first at frame " in said for said in read.warnings)


def test_a_few_frames_cut_from_the_end_are_missed(tmp_path):
    """An index at the front, as on the web: it names frames that are not there any more."""
    path = tmp_path / "web.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "g": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 48, "yuv420p"
        for image in clip(0, 0, 50, 48, 48):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    path.write_bytes(content[: -len(content) // 30])
    read = videos.read_video(path)
    assert 40 < len(read.frames) < 50
    assert any("cut short" in said or "could not be decoded" in said or "stopped" in said for said in read.warnings)


def test_the_stream_marked_as_default_is_read(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=5) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = 16 * (number + 1), 16, "yuv420p"
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for number, stream in enumerate(streams):
            image = np.full((16 * (number + 1), 16, 3), 100, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    read = videos.read_video(path)
    assert read.frames.shape == (1, 32, 16, 3)
    assert read.warnings == ("two.mkv has 2 video streams; number 2 was read",)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("count", [12, pytest.param(600, marks=pytest.mark.slow)])
def test_mutated_videos_are_read_or_refused_in_one_line(tmp_path, suffix, count):
    path, random = tmp_path / f"clip{suffix}", np.random.default_rng(len(suffix))
    write(path, GREYS * 2)
    whole = path.read_bytes()
    for _ in range(count):
        content = bytearray(whole)
        for place in random.integers(0, len(content), random.integers(1, 30)):
            content[place] = random.integers(0, 256)
        path.write_bytes(content[: random.integers(len(content) // 2, len(content) + 1)])
        with suppress_refusals():
            read = videos.read_video(path)
            assert len(read.frames) >= 1
            # a transport stream does not say how long it was
            assert suffix == ".ts" or read.warnings or len(read.frames) >= 8


@contextmanager
def suppress_refusals():
    try:
        yield
    except (DataError, ResourceError) as refusal:
        if "\n" in str(refusal):
            raise


def test_two_video_streams_are_said(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=5) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.height, stream.width, stream.pix_fmt = 16 * (number + 1), 16, "yuv420p"
        for number, stream in enumerate(streams):
            image = np.full((16 * (number + 1), 16, 3), 100, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    read = videos.read_video(path)
    assert read.frames.shape == (1, 16, 16, 3)
    assert read.warnings == ("two.mkv has 2 video streams; the first was read",)


def test_a_size_that_changes_on_the_way_is_refused(tmp_path):
    for number, side in enumerate((32, 64)):
        videos.write_video(tmp_path / f"{number}.ts", clip(0, 0, 8, side, side), 25)
    both = tmp_path / "both.ts"
    both.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    with pytest.raises(DataError, match=r"frame 8 \(0\.28 s\) is 64×64, but the file began with 32×32"):
        videos.read_video(both)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="holds no video, only audio"):
        videos.probe(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", b"no video at all, only words" * 40),
        ("empty.mp4", b""),
        ("playlist.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:/etc/hostname\n#EXT-X-ENDLIST\n"),
        ("sound.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100)),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a video") as refusal:
        videos.read_video(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no video at .*gone\.mp4"):
        videos.probe(tmp_path / "gone.mp4")
    with pytest.raises(DataError, match="no video or folder at"):
        videos.find_videos(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(DataError, match="no video in"):
        videos.find_videos(tmp_path)


def test_a_folder_is_searched_by_suffix_and_in_order(tmp_path):
    for name in ("b.MP4", "a.mkv", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in videos.find_videos(tmp_path)] == ["a.mkv", "b.MP4"]
    assert videos.find_videos(tmp_path / "c.txt") == [tmp_path / "c.txt"]


def test_folders_in_a_folder_are_searched_and_what_is_no_file_is_not_taken(tmp_path, monkeypatch):
    for name in ("b/1.mp4", "a/2.mp4", "3.mp4", ".hidden/4.mp4", "a/._2.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = videos.find_videos(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["3.mp4", "a/2.mp4", "b/1.mp4"]
    for name in ("folder.mp4", "loop.mp4", "dangling.mp4", "pipe.mp4"):
        with pytest.raises(DataError, match=f"no video at .*{name}"):
            videos.probe(tmp_path / name)
    monkeypatch.setattr(videos, "MOST_FILES", 2)
    with pytest.raises(DataError, match="holds more than 2 videos"):
        videos.find_videos(tmp_path)


def test_no_frame_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no frame to write"):
        videos.write_video(tmp_path / "none.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_two_sizes_are_not_written(frames, tmp_path):
    with pytest.raises(DataError, match="frame 1 has shape"):
        videos.write_video(tmp_path / "two.mp4", [frames[0], frames[0, :20]], 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["clip.docx", "no/such/folder/clip.mp4"])
def test_a_target_that_cannot_be_written_is_said_in_one_line(frames, tmp_path, name):
    with pytest.raises(ResourceError, match=r"cannot write .*clip"):
        videos.write_video(tmp_path / name, frames, 25)


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real videos; name one in THEODOLITE_VIDEOS")
def test_real_videos_are_read_or_refused():
    read = {path.name: videos.read_video(path, size=(18, 32), most=40) for path in videos.find_videos(REAL)}
    assert all(video.frames.shape[1:] == (18, 32, 3) and len(video.frames) >= 10 for video in read.values())
    assert all(video.frames.std() > 1 for video in read.values())


def picture(side):
    """A PNG of so many black pixels a side, of few bytes."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    pixels = zlib.compress(bytes(side * (3 * side + 1)))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("claimed", [64, 6000])
def test_a_bomb_takes_no_memory(tmp_path, claimed):
    """Frames of 36 million pixels in some hundred kilobytes, in a file that admits them or claims others."""
    path = tmp_path / "bomb.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = claimed, claimed, "rgb24"
        first = av.VideoFrame.from_ndarray(np.zeros((claimed, claimed, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(first))
        packet = av.Packet(picture(6000))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 1, 1, Fraction(1, 25)
        container.mux(packet)
    code = f"""
import resource, sys
from pathlib import Path
from theodolite.data import videos
from theodolite.kernel.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(videos.read_video(Path({str(path)!r})).warnings)
except DataError as refusal:
    print(refusal)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown // (2**20 if sys.platform == "darwin" else 2**10))
"""
    told, grown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    assert ("left out, 1 in all" if claimed == 64 else "frames of unknown codec or size") in told
    assert int(grown) < 32


def test_frames_so_narrow_that_scaled_they_would_be_huge_are_refused(tmp_path):
    path = tmp_path / "line.mkv"
    write(path, [np.zeros((2, 8000, 3), np.uint8)], codec="ffv1", pixels="bgr0")
    assert videos.read_video(path).frames.shape == (1, 2, 8000, 3)
    with pytest.raises(DataError, match=r"frames of 8000×2: scaled until both sides reach 512×512 they would have"):
        videos.read_video(path, size=(512, 512))


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match="cannot be read as a video: it is empty"):
        videos.probe(tmp_path / "empty.mp4")


def test_a_title_that_is_no_text_does_no_harm_and_nothing_stays_open(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        container.metadata["title"] = "a title of twenty li"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"a title of twenty li", b"\x99" * 20))
    before = open_files()
    assert len(videos.read_video(path).frames) == 1
    for name, content in {"text.mp4": b"words", "half.mkv": path.read_bytes()[:400]}.items():
        (tmp_path / name).write_bytes(content)
        with suppress_refusals():
            videos.read_video(tmp_path / name)
    next(videos.read_frames(path))  # and no further
    assert open_files() == before


def open_files():
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


def test_packets_are_counted_without_decoding(frames, tmp_path):
    videos.write_video(tmp_path / "clip.mkv", frames, 25)
    assert videos.count_frames(tmp_path / "clip.mkv") == 25
    assert videos.count_frames(tmp_path / "clip.mkv", 7) == 7
