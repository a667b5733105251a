"""Video files in and out. The one file that opens containers; what a file claims is checked against what it holds."""

import errno
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from theodolite.data import containers
from theodolite.data.decoding import Decoding, Header
from theodolite.kernel.errors import DataError, ResourceError

Frames = NDArray[np.uint8]

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg")
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg"
"""Demuxers that may open a file. Playlists, which could name other files or addresses, are none of them."""
OPEN_ENDED = ("mpegts", "mpeg")
"""Formats in which nothing says where a file ends; the length that FFmpeg tells is that of what it finds."""
MOST_FILES = 100_000
PIXELS_A_FRAME = 2**25
"""Larger frames are refused before one is decoded (4096 × 8192)."""
LIMITS = {"max_pixels": str(PIXELS_A_FRAME)}
"""So that FFmpeg takes no memory for larger frames either, whatever a header says."""
BYTES_A_VIDEO = 2**31
"""Most that `read_video` holds in memory."""


@dataclass(frozen=True)
class Video:
    """Decoded frames (n, height, width, 3), RGB, uint8, and what has to be said about them, a sentence each."""

    frames: Frames
    rate: Fraction
    warnings: tuple[str, ...] = ()


def find_videos(path: Path) -> list[Path]:
    """Return the video files that a path means: itself, or those of a folder and the folders in it, in order.

    What begins with a dot is left out, and links to folders are not followed.

    Raises
    ------
    DataError
        If nothing is there, or the folder holds no file with a known suffix, or more than `MOST_FILES`.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"no video or folder at {path}; give a file or a folder of {' '.join(SUFFIXES)} files")
    found: list[Path] = []
    for folder, inside, names in os.walk(path):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        visible = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        found += [file for file in visible if file.suffix.lower() in SUFFIXES and file.is_file()]
        if len(found) > MOST_FILES:
            raise DataError(f"{path} holds more than {MOST_FILES:,} videos; give a folder of fewer")
    if not found:
        raise DataError(f"no video in {path}; looked for {' '.join(SUFFIXES)}")
    return found


def probe(path: Path) -> Header:
    """Read what a file says of its video, decoding nothing.

    Raises
    ------
    DataError
        If the file is missing, is no video, holds sound alone, or claims frames of more than `PIXELS_A_FRAME` pixels.
    """
    with _open(path) as container:
        return _header(path, container)


def count_frames(path: Path, most: int | None = None) -> int:
    """Count the packets of a file's video, up to `most`, decoding nothing: as many as frames, as a rule.

    Raises
    ------
    DataError
        As `probe`.
    """
    with _open(path) as container:
        stream = container.streams.video[_header(path, container).index]
        packets = (packet for packet in _packets(container, stream, Decoding()) if packet.size)
        return sum(1 for _ in itertools.islice(packets, most))


def read_frames(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    whole: bool = False,
    most: int | None = None,
    seen: Decoding | None = None,
) -> Iterator[Frames]:
    """Decode a file frame by frame, turned upright.

    Parameters
    ----------
    path : Path
        The file; of several video streams the one marked as default is read, else the first.
    size : (height, width) or None
        Size to return: the largest centred piece of that aspect, scaled. None keeps each frame as it is.
    whole : bool
        Scale each frame until both sides reach `size`, and cut nothing.
    most : int or None
        Stop after so many frames.
    seen : Decoding or None
        Filled with what was met on the way.

    Yields
    ------
    array (height, width, 3)
        RGB, uint8.

    Raises
    ------
    DataError
        As `probe`; also if the size of the frames changes on the way, or not one could be decoded.
    """
    seen = Decoding() if seen is None else seen
    with _open(path) as container:
        header = _header(path, container)
        if size is not None:
            _check_scaled(header, size)
        stream = container.streams.video[header.index]
        stream.codec_context.options = LIMITS
        for frame in _decoded(container, stream, seen):
            if most is not None and seen.frames >= most:
                seen.limited = True
                break
            if (frame.width, frame.height) != (header.width, header.height):
                raise DataError(
                    f"{path}: {seen.place()} is {frame.width}×{frame.height}, but the file began with "
                    f"{header.width}×{header.height}; cut it where its size changes"
                )
            seen.frames += 1
            seen.arrived(frame.time, float(1 / header.rate))
            if frame.is_corrupt:
                seen.first_corrupt = seen.first_corrupt or f"{seen.frames - 1} ({seen.time:.2f} s)"
                seen.corrupt += 1
            if frame.rotation % 90:
                seen.turned = frame.rotation
            yield _pixels(frame, size, whole)
    if seen.frames == 0:
        why = seen.stopped_by or seen.first_lost
        raise DataError(f"{path}: no frame could be decoded" + (f": {why}" if why else "") + _cut_short(path))


def read_video(path: Path, *, size: tuple[int, int] | None = None, most: int | None = None) -> Video:
    """Decode a file into memory; see `read_frames` for the parameters.

    Raises
    ------
    DataError
        As `read_frames`.
    ResourceError
        If the frames would take more than `BYTES_A_VIDEO`.
    """
    header, seen = probe(path), Decoding()
    height, width = size or (header.height, header.width)
    affordable = BYTES_A_VIDEO // (3 * height * width)
    frames: list[Frames] = []
    for frame in read_frames(path, size=size, most=most, seen=seen):
        if len(frames) == affordable:
            raise ResourceError(
                f"{path} has more than {affordable:,} frames of {width}×{height}, {BYTES_A_VIDEO / 2**30:.0f} GiB; "
                "cut it, or read it smaller"
            )
        frames.append(frame)
    return Video(np.stack(frames), header.rate, seen.warnings(header))


def write_video(path: Path, frames: Iterable[Frames], rate: Fraction | float, *, lossless: bool = False) -> int:
    """Write frames as a video; the file appears when it is whole.

    Parameters
    ----------
    path : Path
        Where; the suffix names the container.
    frames : iterable of arrays (height, width, 3)
        RGB, uint8, all of one size, which may be odd: chroma is not subsampled.
    rate : Fraction or float
        Frames a second.
    lossless : bool
        FFV1 in RGB, every pixel kept (give an .mkv or .avi), else H.264.

    Returns
    -------
    int
        Frames written.

    Raises
    ------
    DataError
        If there is no frame, or one has another size than the first.
    ResourceError
        If the file cannot be written.
    """
    draft = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        written = _write(draft, path, frames, Fraction(rate).limit_denominator(1001), lossless)
        draft.replace(path)
    except (OSError, av.FFmpegError) as error:
        raise ResourceError(f"cannot write {path}: {_reason(error)}") from None
    finally:
        draft.unlink(missing_ok=True)
    return written


def _create(draft: Path, path: Path) -> Any:
    try:
        return av.open(str(draft), "w")
    except ValueError as error:
        raise ResourceError(f"cannot write {path}: {_reason(error)}; known suffixes are {' '.join(SUFFIXES)}") from None


def _write(draft: Path, path: Path, frames: Iterable[Frames], rate: Fraction, lossless: bool) -> int:
    written, shape = 0, None
    with _create(draft, path) as container:
        stream: Any = None
        for image in frames:
            if shape is None:
                shape = image.shape
                stream = container.add_stream("ffv1" if lossless else "libx264", rate=rate)
                stream.height, stream.width = shape[:2]
                stream.pix_fmt = "bgr0" if lossless else "yuv444p" if shape[0] % 2 or shape[1] % 2 else "yuv420p"
                stream.codec_context.thread_count = 1
            if image.shape != shape:
                raise DataError(f"{path}: frame {written} has shape {image.shape}, those before it {shape}")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
            written += 1
        if stream is None:
            raise DataError(f"{path}: there is no frame to write")
        container.mux(stream.encode())
    return written


def _open(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"no video at {path}; give a file of {' '.join(SUFFIXES)}")
    try:
        # only local files: a container must not make us read another file or an address
        return av.open(
            f"file:{path}",
            options={"protocol_whitelist": "file", "format_whitelist": FORMATS, **LIMITS},
            metadata_errors="replace",  # titles are not read
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        none = getattr(error, "errno", None) == errno.EINVAL
        why = f"it is none of {FORMATS}" if none else _reason(error)
        why = why if path.stat().st_size else "it is empty"
        raise DataError(f"{path} cannot be read as a video: {why}{_cut_short(path)}") from None


def _cut_short(path: Path) -> str:
    lacking = containers.shortfall(path)
    return f"; it is cut short: {lacking}" if lacking else ""


def _header(path: Path, container: Any) -> Header:
    streams = container.streams.video
    if all(_is_cover(each) for each in streams):
        raise DataError(f"{path} holds no video, only {_kinds(container) or 'nothing'}{_cut_short(path)}")
    index = _default(streams)
    stream = streams[index]
    context = stream.codec_context
    if context is None or not 0 < context.width * context.height <= PIXELS_A_FRAME:
        known = context is not None and context.width * context.height > 0
        size = f"frames of {context.width}×{context.height}" if known else "frames of unknown codec or size"
        raise DataError(f"{path} has {size}; between 1 and {PIXELS_A_FRAME:,} pixels can be read{_cut_short(path)}")
    seconds = float(stream.duration * stream.time_base) if stream.duration else None
    own = seconds is not None
    if seconds is None and container.duration:
        seconds = container.duration / av.time_base
    return Header(
        path=path,
        width=context.width,
        height=context.height,
        rate=Fraction(stream.average_rate or stream.guessed_rate or 25),
        seconds=seconds,
        frames=stream.frames,
        codec=context.name,
        streams=sum(not _is_cover(each) for each in streams),
        index=index,
        own_seconds=own,
        open_ended=container.format.name in OPEN_ENDED,
        shortfall=containers.shortfall(path),
    )


def _default(streams: Any) -> int:
    """Which stream a player would show: the first that is marked as default, else the first; never a cover."""
    films = [number for number, each in enumerate(streams) if not _is_cover(each)]
    marked = [number for number in films if av.stream.Disposition.default in streams[number].disposition]
    return (marked or films)[0]


def _is_cover(stream: Any) -> bool:
    """Whether a stream is a still picture that came with the file."""
    return av.stream.Disposition.attached_pic in stream.disposition


def _kinds(container: Any) -> str:
    return ", ".join("a cover" if each.type == "video" else each.type for each in container.streams)


def _decoded(container: Any, stream: Any, seen: Decoding) -> Iterator[Any]:
    """Frames of a stream, until the file ends or cannot be read further; packets that make no sense are left out."""
    for packet in _packets(container, stream, seen):
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError, ValueError) as error:
            seen.lost += 1
            seen.first_lost = seen.first_lost or f"{seen.place()}: {_reason(error)}"
            continue
        yield from frames


def _packets(container: Any, stream: Any, seen: Decoding) -> Iterator[Any]:
    """Packets of a stream, until the file ends or cannot be read further."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except IndexError:  # PyAV's answer to a packet of a stream that the header did not name
            seen.stopped_by = "a stream begins that the file had not announced"
            return
        except (av.FFmpegError, OSError, ValueError) as error:
            seen.stopped_by = _reason(error)
            return
        if packet is None:
            return
        yield packet


def _pixels(frame: Any, size: tuple[int, int] | None, whole: bool) -> Frames:
    turns = round(frame.rotation / 90) % 4
    if size is None:
        upright = np.rot90(frame.to_ndarray(format="rgb24"), turns)
        return np.ascontiguousarray(upright)
    height, width = size if turns % 2 == 0 else size[::-1]
    # scaled so that both sides suffice, then cut in the middle
    scaled = _covering(frame.height, frame.width, height, width)
    if whole:
        height, width = scaled
    image = frame.reformat(width=scaled[1], height=scaled[0], format="rgb24", interpolation="AREA").to_ndarray()
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return np.ascontiguousarray(np.rot90(image[top : top + height, left : left + width], turns))


def _check_scaled(header: Header, size: tuple[int, int]) -> None:
    """Refuse frames so long and narrow that they would be huge once their short side is long enough."""
    # whether they are turned by a quarter is not known yet
    scaled = max(math.prod(_covering(header.height, header.width, *each)) for each in (size, size[::-1]))
    if scaled > max(PIXELS_A_FRAME, 4 * math.prod(size)):
        raise DataError(
            f"{header.path} has frames of {header.width}×{header.height}: scaled until both sides reach "
            f"{size[1]}×{size[0]} they would have {scaled:,} pixels, more than {PIXELS_A_FRAME:,}"
        )


def _covering(height: int, width: int, least_height: int, least_width: int) -> tuple[int, int]:
    """Return the size to which a frame is scaled for both sides to suffice, its aspect kept."""
    scale = max(least_height / height, least_width / width)
    return max(least_height, round(height * scale)), max(least_width, round(width * scale))


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it ends before anything can be made of it"
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
