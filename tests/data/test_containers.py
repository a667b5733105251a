"""What a file says of its own size, in every container, and what it then lacks."""

import io

import av
import numpy as np
import pytest

from theodolite.data import videos
from theodolite.data.clips import clip
from theodolite.data.containers import claimed_bytes, shortfall
from theodolite.kernel.errors import DataError

SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"]


def write(path, frames=40, options=None):
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in clip(0, 0, frames, 48, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_whole_file_has_what_it_claims(tmp_path, suffix):
    path = write(tmp_path / f"film{suffix}")
    assert claimed_bytes(path) == path.stat().st_size
    assert shortfall(path) == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.97])
def test_a_file_that_was_cut_is_found_short_wherever_it_was_cut(tmp_path, suffix, share):
    path = write(tmp_path / f"film{suffix}")
    content = path.read_bytes()
    length = int(len(content) * share)
    length += suffix == ".ts" and length % 188 == 0
    path.write_bytes(content[:length])
    assert claimed_bytes(path) > length
    assert shortfall(path).endswith(f"bytes, and {length:,} are there")
    try:
        said = videos.read_video(path).warnings
    except DataError as refusal:
        said = (str(refusal),)
    assert any("cut short" in each for each in said)


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_format_without_an_end_is_said_to_have_none(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    if suffix == ".ts":
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 376 * 188])  # in half, between two packets
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clip(0, 0, 1, 48, 64)[0], format="rgb24")))
            container.mux(stream.encode())
    (said,) = videos.read_video(path).warnings[-1:]
    assert said == f"film{suffix} does not say how long it is, so that a missing end would not show"


def test_a_stream_written_to_a_pipe_claims_nothing(tmp_path):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, more):
            self.content += more
            return len(more)

    pipe = Pipe()
    with av.open(pipe, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clip(0, 0, 1, 48, 64)[0], format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "live.mkv").write_bytes(pipe.content)
    assert claimed_bytes(tmp_path / "live.mkv") is None
    assert "missing end would not show" in videos.read_video(tmp_path / "live.mkv").warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"G",
        b"\0\0\0\x08ftyp" * 20_000,  # boxes without end
        b"\0\0\0\x01ftyp" + bytes(8),
        b"\0\0\0\0mdat" + bytes(20),
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x81\0\x18\x53\x80\x67\x01" + b"\xff" * 7,  # of unknown length
        b"RIFF\0\0\0\0AVI ",
        b"words " * 100,
    ],
)
def test_what_makes_no_claim_is_not_found_short(tmp_path, content):
    (tmp_path / "file.mp4").write_bytes(content)
    assert shortfall(tmp_path / "file.mp4") == ""


def test_any_start_is_survived(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "noise"
    for head in (b"\0\0\0\x10ftyp", b"\x1a\x45\xdf\xa3", b"RIFF", b"G" * 188, b""):
        for _ in range(60):
            path.write_bytes(head + random.bytes(int(random.integers(0, 400))))
            shortfall(path)


def test_a_missing_file_claims_nothing(tmp_path):
    assert claimed_bytes(tmp_path / "gone.mp4") is None
    assert shortfall(tmp_path / "gone.mp4") == ""
