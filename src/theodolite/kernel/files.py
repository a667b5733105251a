"""Files that are written whole or not at all, and what to say and do when the disk refuses."""

import errno
import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theodolite.kernel.errors import ResourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAFT = ".part"  # ends the name of a file that is being written
_NO_ROOM = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
    errno.EFBIG: "limit on the size of a file reached",
}
_AGAIN = "repeat the command (training goes on with --resume)"
_DENIED = "allow writing there, or choose another --out"
_REMEDIES = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "the disk is mounted for reading only; mount it for writing, or choose another --out",
    errno.EIO: "the disk may be failing; save what is on it, and choose another --out",
    errno.ENOTDIR: "a file stands where a folder should; move it away, or choose another --out",
    errno.EEXIST: "a file stands where a folder should; move it away, or choose another --out",
    errno.EISDIR: "a folder stands where a file should; move it away, or choose another --out",
    errno.ENOENT: "its folder is gone; choose another --out",
}


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that at any moment, a power failure included, either the old or the new content is there, whole.

    Raises
    ------
    ResourceError
        If the disk is full or the folder cannot be written. The old content is still there then, unless only the
        last act failed, to make the folder's new entry durable: then the new content is.
    """
    draft = draft_of(path)
    kept = "the old file is intact"
    try:
        draft.unlink(missing_ok=True)
        with draft.open("xb") as file:  # never through a link that somebody left there
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        kept = "the new file is there, but may not survive a power failure"
        fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # the first failure is the one to report
            draft.unlink(missing_ok=True)
        raise ResourceError(why_not_written(path, len(content), error, kept)) from None


def draft_of(path: Path) -> Path:
    """Return the name under which a file is written until it is whole."""
    return path.with_name(path.name + _DRAFT)


def fsync_folder(folder: Path) -> None:
    """Put on disk which files a folder names: the power may fail right after a rename, and undo it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot, and need not
            raise
    finally:
        os.close(descriptor)


def write_array(path: Path, array: "NDArray[Any]") -> None:
    """Write a ``.npy`` file, whole or not at all, without pickles; see `write_atomically`."""
    import numpy as np  # a tenth of a second that `theodolite --help` does not spend

    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getbuffer())


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file; where that fails midway, part of the line may stand there.

    Raises
    ------
    ResourceError
        If the disk is full or the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise ResourceError(why_not_written(path, len(line) + 1, error, "the lines before are intact")) from None


def is_draft(path: Path) -> bool:
    """Whether a name is that of a file half-written by `write_atomically`."""
    return path.name.endswith(_DRAFT)


def remove_drafts(folder: Path) -> None:
    """Delete what killed processes left half-written; for whoever holds the folder's lock."""
    for draft in folder.glob(f"*{_DRAFT}"):
        with suppress(OSError):  # litter is no reason to stop
            draft.unlink()


def why_not_written(path: Path, size: int, error: OSError, kept: str = "") -> str:
    """Say in one line which file could not be written, why, what is left and what to do.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Bytes that were to be written.
    error : OSError
        What the system said.
    kept : str
        What is left of a file that was there before.
    """
    try:
        left = f"; {kept}" if kept and path.exists() else ""
    except OSError:
        left = ""
    if error.errno in _NO_ROOM:
        room = f"{size / 1e6:.1f} MB" if size >= 1e5 else "0.1 MB"
        return f"{_NO_ROOM[error.errno]} while writing {path}{left}: make room for {room}, then {_AGAIN}"
    remedy = _REMEDIES.get(error.errno or 0, f"look after the disk, then {_AGAIN}")
    return f"cannot write {path}: {error.strerror or error}{left}: {remedy}"
