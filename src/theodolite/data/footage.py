"""Clips cut from one video at random places and times, and clips of it held out; one pass over the file.

Which clips depends on the file's content and on what is asked, not on its name, its neighbours or who cuts them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from theodolite.data import videos
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import DataError

Clips = NDArray[np.uint8]
Places = NDArray[np.int64]

STREAM = 0xF007
HELD_OUT_SHARE = 5
"""The last fifth of a file is its tail."""


@dataclass(frozen=True)
class Wanted:
    """What is to be cut from a file.

    Attributes
    ----------
    path : str
        The file.
    sha256 : str
        Of its content; names the random places.
    frames, height, width : int
        Of a clip.
    native : bool
        Keep the pixels as they are; otherwise frames are scaled until both sides suffice.
    length : int
        Frames of the file that are read at most.
    training, held_out : int
        How many clips to cut; fewer come where there are no more.
    share : str
        What is held out: ``"tail"``, ``"all"`` or ``"none"``.
    """

    path: str
    sha256: str
    frames: int
    height: int
    width: int
    native: bool
    length: int
    training: int
    held_out: int
    share: str


@dataclass(frozen=True)
class Cut:
    """Clips (n, frames, height, width, 3) to train on and held out, RGB, uint8, and what has to be said."""

    training: Clips
    held_out: Clips
    warnings: tuple[str, ...]


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def split(length: int, frames: int, share: str) -> tuple[int, int]:
    """Return how many frames at the start may be trained on, and how many whole clips after them are held out."""
    whole = length // frames
    kept = {"all": whole, "none": 0, "tail": -(-whole // HELD_OUT_SHARE) if whole > 1 else 0}[share]
    return ((whole - kept) * frames if kept else length), kept


def starts(length: int, frames: int, share: str) -> int:
    """Return at how many frames a training clip can begin."""
    return max(0, split(length, frames, share)[0] - frames + 1)


def cut(wanted: Wanted, progress: Callable[[], None] = lambda: None) -> Cut:
    """Cut clips from a file, reading it once; a second time where it gives fewer frames than it has packets.

    Clips that would hold damaged frames are left out, and counted. `progress` is called at every frame.

    Raises
    ------
    DataError
        If the file cannot be read, or its frames are smaller than a clip that is to keep their pixels.
    """
    length = wanted.length
    while True:
        found = _Pass(wanted, length, progress)
        if found.decoded >= length or found.decoded < wanted.frames:
            return found.result()
        length = found.decoded


class _Pass:
    """One pass over a file, of which `length` frames are believed to be there."""

    def __init__(self, wanted: Wanted, length: int, progress: Callable[[], None]) -> None:
        self.wanted, self.progress = wanted, progress
        self.header, self.seen = videos.probe(Path(wanted.path)), Decoding()
        self.training_frames, kept = split(length, wanted.frames, wanted.share)
        chosen = min(wanted.held_out, kept)
        self.held_starts = np.array(
            [self.training_frames + (i * kept // chosen) * wanted.frames for i in range(chosen)]
        )
        self.places: Places = np.zeros((0, 3), np.int64)
        self.held_places: Places = np.zeros((0, 3), np.int64)
        self.broken: list[int] = []
        self.decoded = 0
        self._read(length)

    def _read(self, length: int) -> None:
        size = (self.wanted.height, self.wanted.width)
        path = Path(self.wanted.path)
        frames = videos.read_frames(
            path, size=None if self.wanted.native else size, whole=True, most=length, seen=self.seen
        )
        damage = 0
        for number, frame in enumerate(frames):
            self.progress()
            if number == 0:
                self._choose(frame.shape[0], frame.shape[1])
            if damage != (damage := self.seen.corrupt + self.seen.lost):
                self.broken.append(number)
            for clips, places in ((self.training, self.places), (self.held_out, self.held_places)):
                self._copy(frame, number, clips, places)
            self.decoded = number + 1

    def _choose(self, height: int, width: int) -> None:
        """Settle where and when every clip lies, now that the size of the frames is known."""
        wanted = self.wanted
        spare = (height - wanted.height, width - wanted.width)
        if min(spare) < 0:
            raise DataError(
                f"{wanted.path} has frames of {width}×{height}, smaller than a clip of {wanted.width}×{wanted.height}; "
                "give crop=fitted to scale them"
            )
        counts = (max(0, self.training_frames - wanted.frames + 1), spare[0] + 1, spare[1] + 1)
        random = np.random.default_rng([STREAM, int(wanted.sha256[:16], 16)])
        every = counts[0] * counts[1] * counts[2]
        chosen = random.choice(every, min(wanted.training, every), replace=False) if every else np.zeros(0, np.int64)
        self.places = np.stack(np.unravel_index(chosen, counts), axis=1) if every else self.places
        corners = np.array(spare) // 2 + np.zeros((len(self.held_starts), 2), np.int64)
        if wanted.native:  # the middle alone would be another kind of picture than those trained on
            corners = random.integers(0, np.array(spare) + 1, corners.shape)
        self.held_places = np.concatenate([self.held_starts[:, None].astype(np.int64), corners], axis=1)
        shape = (wanted.frames, wanted.height, wanted.width, 3)
        self.training = np.zeros((len(self.places), *shape), np.uint8)
        self.held_out = np.zeros((len(self.held_places), *shape), np.uint8)

    def _copy(self, frame: Clips, number: int, clips: Clips, places: Places) -> None:
        """Write a frame into every clip that it belongs to."""
        height, width = self.wanted.height, self.wanted.width
        begun = number - places[:, 0]
        for clip in np.flatnonzero((begun >= 0) & (begun < self.wanted.frames)):
            _, top, left = places[clip]
            clips[clip, begun[clip]] = frame[top : top + height, left : left + width]

    def result(self) -> Cut:
        """Return the clips that hold no damaged frame and are whole."""
        whole = [self._whole(places) for places in (self.places, self.held_places)]
        left_out = sum(int(np.sum(~each)) for each in whole)
        said = [*self.seen.warnings(self.header)]
        if left_out:
            clips = "clip that holds" if left_out == 1 else "clips that hold"
            said.append(f"{Path(self.wanted.path).name}: {left_out} {clips} damaged or missing frames left out")
        training, held_out = (
            clips if each.all() else clips[each]  # no copy where none is needed: they may be most of what memory holds
            for clips, each in zip((self.training, self.held_out), whole, strict=True)
        )
        return Cut(training, held_out, tuple(said))

    def _whole(self, places: Places) -> NDArray[np.bool_]:
        begins = places[:, :1]
        broken = np.array([self.broken], dtype=np.int64).reshape(1, -1)
        harmed = ((broken >= begins) & (broken < begins + self.wanted.frames)).any(axis=1)
        return ~harmed & (places[:, 0] + self.wanted.frames <= self.decoded)
