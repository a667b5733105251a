"""Arrays of a run folder, read with suspicion: size and kind are known before the first value is read."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder

LARGEST = 64 * 2**20  # bytes of one array
_LONGEST_HEADER = 4096


def read_images(run: RunFolder, name: str, dimensions: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an array of uint8 with one of the given numbers of dimensions.

    Raises
    ------
    DataError
        If it is missing, lies elsewhere, is damaged, too large, empty, or of another kind.
    """
    array = _read(run, name)
    if array.dtype != np.uint8 or array.ndim not in dimensions:
        wanted = " or ".join(str(count) for count in dimensions)
        raise DataError(f"{_path(run, name)} holds {_kind(array)}; wanted is uint8 in {wanted} dimensions: audit again")
    return array


def read_numbers(run: RunFolder, name: str, dimensions: int) -> NDArray[np.float64]:
    """Read an array of real numbers; raises as `read_images` does."""
    array = _read(run, name)
    if array.dtype.kind not in "fiub" or array.ndim != dimensions:
        raise DataError(
            f"{_path(run, name)} holds {_kind(array)}; wanted are numbers in {dimensions} dimensions: audit again"
        )
    return array.astype(np.float64)


def _read(run: RunFolder, name: str) -> NDArray[Any]:
    path = _path(run, name)
    if run.exhibits.is_symlink() or path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"{path} is not a plain file of the run folder; it is not read")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file, max_header_size=_LONGEST_HEADER)
            wanted = math.prod(shape) * dtype.itemsize
            if wanted > LARGEST:
                raise DataError(
                    f"{path} would take {wanted / 2**20:.0f} MiB; an exhibit may have {LARGEST // 2**20} MiB: show less"
                )
            if dtype.hasobject or size - file.tell() != wanted:
                raise DataError(f"{path} is damaged: {size} bytes are not what its header says; audit again")
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing, but an exhibit names it; audit again") from None
    except (ValueError, OSError, TypeError, SyntaxError, OverflowError) as error:
        raise DataError(
            f"{path} is damaged: {str(error).splitlines()[0] if str(error) else 'no array'}; audit again"
        ) from None
    if not array.size:
        raise DataError(f"{path} is empty, shape {array.shape}; an exhibit needs something to show")
    return array


def _path(run: RunFolder, name: str) -> Path:
    if Path(name).name != name:
        raise DataError(f"{name!r} lies outside the exhibits of {run.path}; it is not read")
    return run.exhibits / name


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
