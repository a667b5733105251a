"""A folder of images as an array. Formats are whitelisted, and sizes are known before anything is decoded."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from theodolite.kernel.errors import DataError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MOST_PIXELS = 64 * 2**20  # of one image
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")


def image_files(folder: Path) -> list[Path]:
    """Images of a folder in the order of their names; subfolders are not entered.

    Raises
    ------
    DataError
        If there is none.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS and path.is_file())
    if not found:
        raise DataError(f"no images in {folder}; it must hold {', '.join(sorted(set(FORMATS.values())))} files")
    return found


def load_images(folder: Path, largest_bytes: int) -> NDArray[np.uint8]:
    """Load all images of a folder, upright as their EXIF data say.

    Parameters
    ----------
    folder : Path
        PNG, JPEG, WebP or TIFF files of one size; the first picture of an animated one.
    largest_bytes : int
        Budget for the array.

    Returns
    -------
    array (n, h, w) if all are grey, else (n, h, w, 3), uint8
        Transparency is dropped.

    Raises
    ------
    DataError
        If the folder holds no image, a damaged or too large one, or images of several sizes. The line names the file.
    """
    files = image_files(folder)
    headers = [_header(path) for path in files]
    for path, (size, _) in zip(files, headers, strict=True):
        if size != headers[0][0]:
            raise DataError(
                f"{files[0].name} is {_said(headers[0][0])} pixels but {path.name} is {_said(size)}; "
                f"bring {folder} to one size"
            )
    grey = all(mode in GREY_MODES for _, mode in headers)
    width, height = headers[0][0]
    needed = len(files) * width * height * (1 if grey else 3)
    if needed > largest_bytes:
        raise DataError(
            f"{folder} needs {needed / 2**30:.1f} GiB decoded; at most {largest_bytes / 2**30:.0f} are read"
        )
    pixels = np.empty((len(files), height, width) if grey else (len(files), height, width, 3), dtype=np.uint8)
    for place, path in enumerate(files):
        with _open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        pixels[place] = np.asarray(upright)
    return pixels


def load_image(path: Path, largest_bytes: int) -> NDArray[np.uint8]:
    """Load one image in colour, upright as its EXIF data say: array (h, w, 3), uint8.

    Raises
    ------
    DataError
        If the file is missing, of another kind, damaged, or larger than the budget. The line names it.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} is no image that is read; give {', '.join(sorted(set(FORMATS.values())))}")
    if not path.is_file():
        raise DataError(f"no image at {path}; give the path of a file")
    (width, height), _ = _header(path)
    if 3 * width * height > largest_bytes:
        raise DataError(
            f"{path} needs {3 * width * height / 2**30:.1f} GiB decoded; at most {largest_bytes / 2**30:.0f} are read"
        )
    with _open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _said(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """Size when upright (width, height) and mode, without decoding."""
    with _open(path) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise DataError(f"{path} has {width} × {height} pixels; at most {MOST_PIXELS:,} are decoded")
        if image.mode not in GREY_MODES + COLOUR_MODES:
            raise DataError(f"{path} has pixels of kind {image.mode}; 8-bit grey or colour is needed")
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the tag of orientation
        return (height, width) if turned else (width, height), image.mode


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open an image with the decoder its name promises, and turn what goes wrong into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size and metadata; what matters is checked or fails
            with Image.open(path, formats=[FORMATS[path.suffix.lower()]]) as image:
                yield image
    except DataError:
        raise
    except Exception as error:  # decoders fail in many ways on what is no image
        said = str(error).splitlines()
        raise DataError(f"{path} cannot be read as an image: {said[0] if said else type(error).__name__}") from None
