"""Video files in and out. The one file that opens containers; what a file claims is checked against what it holds."""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError, ResourceError

Frames = NDArray[np.uint8]

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg")
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg"
"""Demuxers that may open a file. Playlists, which could name other files or addresses, are none of them."""
PIXELS_A_FRAME = 2**25
"""Larger frames are refused before one is decoded (4096 × 8192)."""
BYTES_A_VIDEO = 2**31
"""Most that `read_video` holds in memory."""
CUT_SHORT = 0.9
"""A file whose decoded share of the time it claims is below this is said to be cut short."""


@dataclass(frozen=True)
class Header:
    """What a file says of its first video stream.

    Attributes
    ----------
    width, height : int
        Pixels, before rotation.
    rate : Fraction
        Frames a second.
    seconds : float or None
        Claimed length; None where the container does not say.
    frames : int
        Claimed number of frames; 0 where the container does not say, as Matroska and transport streams never do.
    codec : str
        Name of the codec.
    streams : int
        Number of video streams; the first is read.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    seconds: float | None
    frames: int
    codec: str
    streams: int


@dataclass(frozen=True)
class Video:
    """Decoded frames (n, height, width, 3), RGB, uint8, and what has to be said about them, a sentence each."""

    frames: Frames
    rate: Fraction
    warnings: tuple[str, ...] = ()


@dataclass
class Decoding:
    """What was met while frames were decoded; filled as `read_frames` goes on.

    `time` is when the latest frame is shown, in seconds after the first.
    """

    frames: int = 0
    corrupt: int = 0
    seconds: float = 0.0
    time: float = 0.0
    stopped_by: str = ""
    limited: bool = False

    def warnings(self, header: Header) -> tuple[str, ...]:
        """Say what a reader of the frames must know."""
        name, said = header.path.name, []
        if header.streams > 1:
            said.append(f"{name} has {header.streams} video streams; the first was read")
        if self.corrupt:
            said.append(f"{name}: {self.corrupt} of {self.frames} frames are marked corrupt")
        if self.stopped_by:
            said.append(f"{name}: decoding stopped after {self.frames} frames: {self.stopped_by}")
        elif self.limited:
            said.append(f"{name}: only the first {self.frames} frames were read, as the budget allows")
        elif header.seconds and self.seconds < CUT_SHORT * header.seconds:
            said.append(
                f"{name} seems cut short: {self.frames} frames could be decoded, "
                f"{self.seconds:.2f} of {header.seconds:.2f} s"
            )
        return tuple(said)


def find_videos(path: Path) -> list[Path]:
    """Return the video files that a path means: itself, or those of a folder by name.

    Raises
    ------
    DataError
        If nothing is there, or the folder holds no file with a known suffix.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"no video or folder at {path}; give a file or a folder of {' '.join(SUFFIXES)} files")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise DataError(f"no video in {path}; looked for {' '.join(SUFFIXES)}")
    return found


def probe(path: Path) -> Header:
    """Read what a file says of its first video stream, decoding nothing.

    Raises
    ------
    DataError
        If the file is missing, is no video, holds sound alone, or claims frames of more than `PIXELS_A_FRAME` pixels.
    """
    with _open(path) as container:
        return _header(path, container)


def read_frames(
    path: Path, *, size: tuple[int, int] | None = None, most: int | None = None, seen: Decoding | None = None
) -> Iterator[Frames]:
    """Decode a file frame by frame, turned upright.

    Parameters
    ----------
    path : Path
        The file; the first video stream is read.
    size : (height, width) or None
        Size to return: the largest centred piece of that aspect, scaled. None keeps each frame as it is.
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
        begun: float | None = None
        for frame in _decoded(container, seen):
            if most is not None and seen.frames >= most:
                seen.limited = True
                break
            if (frame.width, frame.height) != (header.width, header.height):
                raise DataError(
                    f"{path}: frame {seen.frames} is {frame.width}×{frame.height}, but the file began with "
                    f"{header.width}×{header.height}; cut it where its size changes"
                )
            seen.frames += 1
            seen.corrupt += bool(frame.is_corrupt)
            if frame.time is not None:
                begun = frame.time if begun is None else begun
                seen.time = frame.time - begun
                seen.seconds = max(seen.seconds, seen.time + float(1 / header.rate))
            yield _pixels(frame, size)
    if seen.frames == 0:
        raise DataError(f"{path}: no frame could be decoded" + (f": {seen.stopped_by}" if seen.stopped_by else ""))


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
        return av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": FORMATS})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a video: {_reason(error)}") from None


def _header(path: Path, container: Any) -> Header:
    streams = container.streams.video
    if not streams:
        raise DataError(f"{path} holds no video, only {', '.join(s.type for s in container.streams) or 'nothing'}")
    stream = streams[0]
    context = stream.codec_context
    if context is None or not 0 < context.width * context.height <= PIXELS_A_FRAME:
        size = f"{context.width}×{context.height}" if context is not None else "an unknown codec and size"
        raise DataError(f"{path} has frames of {size}; between 1 and {PIXELS_A_FRAME:,} pixels can be read")
    seconds = float(stream.duration * stream.time_base) if stream.duration else None
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
        streams=len(streams),
    )


def _decoded(container: Any, seen: Decoding) -> Iterator[Any]:
    """Frames of the first stream, until the end or until decoding fails after at least one."""
    try:
        yield from container.decode(video=0)
    except IndexError:  # PyAV's answer to a packet of a stream that the header did not name
        seen.stopped_by = "a stream begins that the file had not announced"
    except (av.FFmpegError, OSError, ValueError) as error:
        seen.stopped_by = _reason(error)


def _pixels(frame: Any, size: tuple[int, int] | None) -> Frames:
    turns = round(frame.rotation / 90) % 4
    if size is None:
        upright = np.rot90(frame.to_ndarray(format="rgb24"), turns)
        return np.ascontiguousarray(upright)
    height, width = size if turns % 2 == 0 else size[::-1]
    # scaled so that both sides suffice, then cut in the middle
    scale = max(height / frame.height, width / frame.width)
    scaled = (max(height, round(frame.height * scale)), max(width, round(frame.width * scale)))
    image = frame.reformat(width=scaled[1], height=scaled[0], format="rgb24", interpolation="AREA").to_ndarray()
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return np.ascontiguousarray(np.rot90(image[top : top + height, left : left + width], turns))


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EINVAL:
        return f"it is none of {FORMATS}"
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
