"""Samples of any shape from a user's files, folders of images or functions. They are hostile until proven otherwise."""

import hashlib
import importlib
import json
import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from theodolite.data.images import image_files, load_images
from theodolite.data.tables import read_table
from theodolite.kernel.errors import DataError, UsageError

Samples = NDArray[Any]

LARGEST_BYTES = 4 * 2**30
LARGEST_VALUE = 1e100
BLOCK = 1024  # samples looked at together
FEWEST = 40  # fewer leave a fold of some classifier empty
KNOWN = ".npy, .npz, .safetensors, .csv or a folder of images"
USUAL_NAMES = ("samples", "images", "x", "data", "arr_0")


def load_samples(source: str | Path) -> Samples:
    """Load samples, the first axis of the array.

    Parameters
    ----------
    source : str or Path
        A ``.npy``, ``.npz`` or ``.safetensors`` file, a ``.csv`` file of numbers, or a folder of images. A file that
        holds several arrays must call the one to use ``samples``, ``images``, ``x``, ``data`` or ``arr_0``.

    Returns
    -------
    array (n, …)
        As stored: nothing is rescaled.

    Raises
    ------
    DataError
        If the file is missing, damaged, too large or of another kind. Nothing in it is executed.
    """
    path = _existing(source)
    if path.is_dir():
        return load_images(path, LARGEST_BYTES)
    try:
        match path.suffix.lower():
            case ".npy":
                return _map_npy(path)
            case ".npz":
                return _read_npz(path)
            case ".safetensors":
                return _read_safetensors(path)
            case _:
                return read_table(path).values
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def count_samples(source: str | Path) -> int:
    """Count the samples of a source; a ``.npy`` file is not read beyond its header."""
    path = _existing(source)
    if path.is_dir():
        return len(image_files(path))
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            header = npy_header(file, str(path), path.stat().st_size)
        _within_budget(str(path), header.bytes)
        return header.shape[0]
    return len(load_samples(path))


def fingerprint(source: str | Path) -> str:
    """SHA-256 of a file, or of the names and sizes of a folder's images."""
    path = _existing(source)
    if path.is_dir():
        listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in image_files(path))
        return hashlib.sha256(listing.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_function(name: str) -> Callable[..., Any]:
    """Import ``module:function``.

    Returns
    -------
    callable
        The function; what goes wrong inside it is a `DataError` that names it.

    Raises
    ------
    UsageError
        If the name is not of that form, or there is no such module or function.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise UsageError(f"{name!r} is not module:function, such as mypackage.generator:sample")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a console script does not look into the folder it is called from
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise UsageError(f"{name}: cannot import {module}: {_first_line(error)}") from error
    found = getattr(imported, function, None)
    if found is None:
        raise UsageError(f"{name}: module {module} has no {function}")
    if not callable(found):
        raise UsageError(f"{name} is of type {type(found).__name__}, not a function")

    def call(*given: Any) -> Any:
        try:
            return found(*given)
        except (Exception, SystemExit) as error:
            raise DataError(f"{name} failed with {type(error).__name__}: {_first_line(error)}") from error

    return call


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_samples(samples: Any, what: str) -> Samples:
    """Return samples as an array (n, …) of finite numbers, or say in one line what is wrong with `what`."""
    array = np.asarray(samples)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what} hold {array.dtype}; plain numbers are needed")
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{what} are empty: shape {array.shape}")
    if len(array) < FEWEST:
        raise DataError(f"{what} are {len(array)}; at least {FEWEST} are needed for an audit")
    check_finite(array, what)
    return array


def check_finite(array: Samples, what: str) -> None:
    """Refuse NaN, infinities and numbers whose squares overflow; a memory-map is read block by block."""
    bad = np.zeros(len(array), dtype=bool)
    largest = 0.0
    for start in range(0, len(array), BLOCK):
        block = np.asarray(array[start : start + BLOCK]).reshape(len(array[start : start + BLOCK]), -1)
        bad[start : start + BLOCK] = ~np.isfinite(block).all(axis=1)
        largest = max(largest, abs(float(block.min())), abs(float(block.max())))
    if bad.any():
        raise DataError(
            f"{what} hold NaN or infinity in {int(bad.sum())} of {len(array)} samples, the first is number "
            f"{int(np.argmax(bad))}; remove or fill them"
        )
    if largest > LARGEST_VALUE:
        raise DataError(f"{what} hold values beyond {LARGEST_VALUE:g}, whose squares overflow; rescale them")


def same_shape(real: Samples, other: Samples, what: str) -> None:
    """Refuse samples of another shape than the real ones."""
    if real.shape[1:] != other.shape[1:]:
        raise DataError(
            f"a real sample has shape {real.shape[1:]}, one of {what} {other.shape[1:]}; give both in one shape"
        )


def count_different(samples: Samples) -> int:
    """Count how many different samples there are."""
    return len(set(_keys(samples)))


def count_shared(some: Samples, others: Samples) -> int:
    """Count how many different samples occur in both sets."""
    return len(set(_keys(some)) & set(_keys(others)))


def check_pair(real: Samples, fake: Samples) -> list[str]:
    """Check that two sets of samples can be compared.

    Returns
    -------
    list of str
        What a reader must know before trusting the comparison.

    Raises
    ------
    DataError
        If samples of the two have different shapes.
    """
    same_shape(real, fake, "the generated samples")
    found = []
    different = set(_keys(real))
    if repeated := len(real) - len(different):
        found.append(
            f"{repeated:,} real samples repeat others; the guarantees need independent samples: remove copies."
        )
    if shared := len(different.intersection(_keys(fake))):
        found.append(f"{shared:,} of the real samples occur among the generated ones too; were the files mixed up?")
    if len(fake) < 2 * len(real):
        found.append(
            f"{len(fake):,} generated samples for {len(real):,} real ones: their number sets how small a missed part "
            "can be named; generate more."
        )
    if _whole(real) != _whole(fake):
        fine = "generated" if _whole(real) else "real"
        found.append(
            f"only the {fine} samples hold fractions: rounding alone tells the two apart; store both in the same way."
        )
    return found


def _keys(samples: Samples) -> list[int]:
    keys = []
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        keys += [hash(row.tobytes()) for row in np.ascontiguousarray(block.reshape(len(block), -1), dtype=np.float64)]
    return keys


def _whole(samples: Samples) -> bool:
    return bool(samples.dtype.kind in "biu" or np.all(samples[:1000] == np.round(samples[:1000])))


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        raise DataError(f"nothing at {path}; give {KNOWN}")
    known = path.is_file() and path.suffix.lower() in (".npy", ".npz", ".safetensors", ".csv")
    if not known and not path.is_dir():
        raise DataError(f"{path} is of no known kind; give {KNOWN}")
    return path


class NpyHeader(NamedTuple):
    """What the header of a ``.npy`` file says, and it is true of the file's size."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns_first: bool  # Fortran order
    offset: int  # of the first number, in bytes

    @property
    def bytes(self) -> int:
        """Size of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def npy_header(file: BinaryIO, name: str, size: int) -> NpyHeader:
    """Read shape and type as the header says, held against the bytes that are there.

    Parameters
    ----------
    file : binary file
        At its start; left at the first number.
    name : str
        What errors call it.
    size : int
        Of the whole file, in bytes.

    Raises
    ------
    DataError
        If it is no array of plain numbers with at least one axis, or the header lies about the size.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(file)
    except Exception as error:  # the header is Python text: what is damaged fails in many ways
        raise DataError(f"{name} is not a NumPy array: {_first_line(error)}") from None
    if dtype.kind not in "biuf":
        raise DataError(f"{name} holds {dtype}; plain numbers are needed (nothing pickled is read)")
    header = NpyHeader(shape, dtype, columns_first, file.tell())
    if header.bytes != size - header.offset or any(side < 0 for side in shape):
        raise DataError(
            f"{name} is damaged: {shape} of {dtype} is {header.bytes} bytes, {size - header.offset} are there"
        )
    if not shape:
        raise DataError(f"{name} holds a single number; samples are needed along the first axis")
    return header


def _map_npy(path: Path) -> Samples:
    """Map a file into memory, to be read where and when it is needed."""
    with path.open("rb") as file:
        header = npy_header(file, str(path), path.stat().st_size)
    if not header.bytes:  # nothing to map
        return np.empty(header.shape, header.dtype)
    _within_budget(str(path), header.bytes)
    order: Literal["F", "C"] = "F" if header.columns_first else "C"
    try:
        return np.memmap(path, header.dtype, "r", header.offset, header.shape, order)
    except (ValueError, TypeError, OverflowError) as error:  # a shape that no array has
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def _read_npy(file: BinaryIO, name: str, size: int) -> Samples:
    start = file.tell()
    _within_budget(name, npy_header(file, name, size).bytes)
    file.seek(start)
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, TypeError, OverflowError) as error:  # a version, or a shape, that no array has
        raise DataError(f"{name} is damaged: {str(error).splitlines()[0]}") from None


def _read_npz(path: Path) -> Samples:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
            chosen = _choose(path, list(sizes))
            _within_budget(f"{path} ({chosen})", sizes[chosen])
            with archive.open(chosen + ".npy") as member:
                # the archive states the size and stops there; a header that says otherwise is refused
                return _read_npy(member, f"{path} ({chosen})", sizes[chosen])  # type: ignore[arg-type]
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is not a sound .npz file: {error}") from None


def _read_safetensors(path: Path) -> Samples:
    _within_budget(str(path), path.stat().st_size)
    try:
        arrays = load_safetensors(path.read_bytes())
    except (SafetensorError, KeyError, ValueError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not a sound .safetensors file of plain numbers: {error}") from None
    return arrays[_choose(path, list(arrays))]


def _choose(path: Path, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    for usual in USUAL_NAMES:
        if usual in names:
            return usual
    raise DataError(
        f"{path} holds {', '.join(sorted(names)[:5]) or 'nothing'}; "
        f"call the array to use one of {', '.join(USUAL_NAMES)}"
    )


def _within_budget(name: str, size: int) -> None:
    if size > LARGEST_BYTES:
        raise DataError(f"{name} needs {size / 2**30:.1f} GiB; at most {LARGEST_BYTES / 2**30:.0f} are read")
