"""Images in .npy files, mapped into memory."""

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from theodolite.data.arrays import npy_header
from theodolite.kernel.errors import DataError


class NpyPixels:
    """Pixels of a ``.npy`` file, mapped into memory.

    Parameters
    ----------
    descriptor, size : int
        Of the file.
    name : str
        What errors call it.
    """

    def __init__(self, descriptor: int, size: int, name: str) -> None:
        self._name = name
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            header = npy_header(file, name, size)
            shape, kind = header.shape, header.dtype
            plain = kind.kind == "u" and kind.itemsize <= 2
            if not plain or len(shape) not in (2, 3) or not all(shape) or (len(shape) == 3 and shape[2] > 4):
                raise DataError(
                    f"{name} holds {kind} of shape {shape}; uint8 or uint16 of shape (height, width) or "
                    f"(height, width, 1 to 4) is needed"
                )
            order: Literal["F", "C"] = "F" if header.columns_first else "C"
            try:
                self._map: NDArray[Any] = np.memmap(file, kind, "r", header.offset, shape, order)
            except (ValueError, OverflowError) as error:
                raise DataError(f"{name} cannot be mapped: {str(error).splitlines()[0]}") from None
        self.height, self.width = shape[:2]
        self.channels = 1 if len(shape) == 2 else shape[2]
        self.dtype = kind.newbyteorder("=")

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Copy a window: (height, width, channels)."""
        part = self._map[top : top + height, left : left + width]
        return np.array(part, dtype=self.dtype, order="C").reshape(height, width, self.channels)

    def check(self, progress: Callable[[], None]) -> None:
        """Check nothing: all bytes are there, and any bytes are pixels."""
        progress()
