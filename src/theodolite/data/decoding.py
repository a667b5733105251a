"""What a video file claims, what was met while it was decoded, and what a reader must know where the two differ."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

CUT_SHORT = 0.9
"""A file whose decoded share of the time that it claims as a whole, sound and all, is below this is cut short."""
FRAMES_LESS = 2
"""A stream that gives fewer frames than it claims, or lasts so many frames less than it claims, is cut short."""
UNEVEN = 1.9
"""Frames are said to be unevenly spaced where the longest step between two is so many times the shortest."""


@dataclass(frozen=True)
class Header:
    """What a file says of its video: of the stream marked as default, else the first; pictures of covers are none.

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
        Number of video streams.
    index : int
        Which of them is read, from 0.
    own_seconds : bool
        Whether the length is the stream's own, not that of the whole file.
    open_ended : bool
        Whether the container cannot say where it ends; its length is then that of what is there.
    shortfall : str
        What the file lacks of the bytes that it claims, in words; empty where nothing shows it.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    seconds: float | None
    frames: int
    codec: str
    streams: int
    index: int = 0
    own_seconds: bool = False
    open_ended: bool = False
    shortfall: str = ""


@dataclass
class Decoding:
    """What was met while frames were decoded; filled as `read_frames` goes on.

    `time` is when the latest frame is shown, in seconds after the first.
    """

    frames: int = 0
    corrupt: int = 0
    first_corrupt: str = ""
    lost: int = 0
    first_lost: str = ""
    seconds: float = 0.0
    time: float = 0.0
    steps: tuple[float, float] | None = None
    backwards: int = 0
    turned: float = 0.0
    stopped_by: str = ""
    limited: bool = False
    _begun: float | None = field(default=None, init=False, repr=False)

    def place(self) -> str:
        """Where decoding stands: the next frame, and when the latest one is shown."""
        return f"frame {self.frames} ({self.time:.2f} s)"

    def arrived(self, time: float | None, step: float) -> None:
        """Note a frame's time; `step` is what a frame lasts at the claimed rate."""
        if time is None:
            return
        self._begun = time if self._begun is None else self._begun
        moved = time - self._begun - self.time
        if self.frames > 1:
            self.backwards += moved <= 0
            shortest, longest = self.steps or (moved, moved)
            self.steps = (min(shortest, moved), max(longest, moved))
        self.time = time - self._begun
        self.seconds = max(self.seconds, self.time + step)

    def warnings(self, header: Header) -> tuple[str, ...]:
        """Say what a reader of the frames must know."""
        return tuple(f"{header.path.name}{said}" for said in (*self._streams(header), *self._damage(header)))

    def _streams(self, header: Header) -> Iterator[str]:
        if header.streams > 1:
            which = "the first" if header.index == 0 else f"number {header.index + 1}"
            yield f" has {header.streams} video streams; {which} was read"
        if self.turned:
            yield f" is turned by {self.turned:g}°; it was turned back to the nearest quarter"
        if self.backwards:
            yield f": the times of {self.backwards} of {self.frames} frames do not rise; they were taken in their order"
        elif self.steps and self.steps[1] > UNEVEN * self.steps[0] and self.steps[1] - self.steps[0] > 0.002:
            yield (
                f": frames are {1000 * self.steps[0]:.0f} to {1000 * self.steps[1]:.0f} ms apart; "
                f"they were taken one by one, as if evenly spaced"
            )

    def _damage(self, header: Header) -> Iterator[str]:
        if self.corrupt:
            yield f": {self.corrupt} of {self.frames} frames are marked corrupt, the first is {self.first_corrupt}"
        if self.lost:
            yield f": packets that could not be decoded were left out, {self.lost} in all, first at {self.first_lost}"
        if self.stopped_by:
            yield f": decoding stopped after {self.frames} frames: {self.stopped_by}"
        elif self.limited:
            yield f": only the first {self.frames} frames were read, as the budget allows"
        elif self.frames < header.frames:
            yield f" seems cut short: {self.frames} of {header.frames} frames could be decoded"
        elif header.seconds and self.seconds < _least_seconds(header):
            yield (
                f" seems cut short: {self.frames} frames could be decoded, {self.seconds:.2f} of {header.seconds:.2f} s"
            )
        elif header.shortfall:
            yield f" is cut short: {header.shortfall}; {self.frames} frames could be decoded, {self.seconds:.2f} s"
        elif header.open_ended or not (header.seconds or header.frames):
            yield " does not say how long it is, so that a missing end would not show"


def _least_seconds(header: Header) -> float:
    claimed = header.seconds or 0.0
    return claimed - FRAMES_LESS / float(header.rate) if header.own_seconds else CUT_SHORT * claimed
