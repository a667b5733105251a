"""Arrays to WebP, the image format of the report."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST_SIDE = 16383  # a limit of the format


def encode(pixels: NDArray[np.uint8], *, quality: int | None = None, largest_side: int = LARGEST_SIDE) -> bytes:
    """Encode one image.

    Parameters
    ----------
    pixels : array of uint8, shape (h, w), (h, w, 3) or (h, w, 4)
        Grey, RGB, or RGB with opacity.
    quality : int or None
        1 to 100; None keeps every pixel as it is.
    largest_side : int
        A larger image is made smaller first, its aspect kept.

    Returns
    -------
    bytes
        A WebP file.

    Raises
    ------
    ValueError
        If the array is no image of these kinds, or has no pixel.
    """
    if pixels.dtype != np.uint8 or not _is_image_shape(pixels) or not pixels.size:
        raise ValueError(
            f"an image is uint8 of shape (h, w), (h, w, 3) or (h, w, 4), not {pixels.dtype} {pixels.shape}"
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((largest_side, largest_side), Image.Resampling.LANCZOS)
    options: dict[str, Any] = {"lossless": True} if quality is None else {"quality": quality}
    file = BytesIO()
    image.save(file, "WEBP", method=6, exact=False, **options)
    return file.getvalue()


def _is_image_shape(pixels: NDArray[np.uint8]) -> bool:
    return pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
