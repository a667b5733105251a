"""Images cut into windows, each read only when it is wanted: from a tensor, or from anything that gives pixels."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Bool, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from theodolite.data.window_groups import group_arrays
from theodolite.kernel.errors import DataError
from theodolite.theory.attention import windows_covering


@runtime_checkable
class WindowSource(Protocol):
    """An image that is read by rectangles: a file too large for memory, an array, a scanner.

    Attributes
    ----------
    height, width, channels : int
        Of the whole image.
    """

    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def channels(self) -> int: ...  # noqa: D102

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Pixels of a rectangle that lies within the image: (height, width, channels), uint8 or uint16."""


class Windows:
    """Images of one size cut into square windows, row by row, image after image; padded on the right and below.

    Parameters
    ----------
    images : (batch, channels, height, width) tensor, or sequence of WindowSource
        Any size; tensors of any type stay as they are.
    side : int
        Of a window, px.

    Attributes
    ----------
    batch, channels, height, width : int
        Of the images.
    grid : (batch, rows, columns)
        Of windows.

    Raises
    ------
    DataError
        If there is no pixel, or the images of a batch differ in size.
    """

    def __init__(
        self, images: Shaped[Tensor, "batch channel height width"] | Sequence[WindowSource], side: int
    ) -> None:
        self.images = images
        self.side = side
        self.batch = len(images)
        self.channels, self.height, self.width = _size(images)
        if not (self.batch and self.channels and self.height and self.width):
            raise DataError(
                f"a batch of {self.batch} images of {self.width} × {self.height} px holds no pixel; give one"
            )
        self.grid = (self.batch, *windows_covering(self.height, self.width, side))
        self._empty: list[Tensor] = []

    def __len__(self) -> int:
        batch, rows, columns = self.grid
        return batch * rows * columns

    @property
    def all(self) -> slice:
        """Every window."""
        return slice(0, len(self))

    @property
    def whole(self) -> bool:
        """Whether windows cover the images without padding."""
        return self.height % self.side == 0 and self.width % self.side == 0

    def chunks(self, size: int) -> Iterator[slice]:
        """Windows, `size` at a time."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def places(self, chosen: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Image, row and column of the chosen windows, int64 each."""
        _, rows, columns = self.grid
        number = torch.arange(chosen.start, chosen.stop)
        return number // (rows * columns), number // columns % rows, number % columns

    def empty(self, chosen: slice) -> Bool[Tensor, " window"]:
        """Which of the chosen windows have one colour in all that lies in the image; asked first, all are read."""
        if not self._empty:
            self._empty = [torch.cat([self._one_colour(part) for part in self.chunks(self.grid[2])]).cpu()]
        return self._empty[0][chosen]

    def _one_colour(self, chosen: slice) -> Tensor:
        _, rows, columns = self.places(chosen)
        inside = torch.arange(self.side)
        down = (rows[:, None] * self.side + inside < self.height)[:, None, :, None]
        right = (columns[:, None] * self.side + inside < self.width)[:, None, None, :]
        tiles = self.tiles(chosen).cpu()
        equal = tiles == tiles[:, :, :1, :1]
        return (equal | ~(down & right)).flatten(1).all(dim=1)

    def tiles(self, chosen: slice, beyond: int = 0) -> Shaped[Tensor, "window channel side side"]:
        """Pixels of the chosen windows, `beyond` where they leave the image."""
        parts = [self._strip(*run, beyond) for run in self._runs(chosen)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _runs(self, chosen: slice) -> Iterator[tuple[int, int, int, int]]:
        """Neighbours among the chosen windows, which are read at once: image, row, first column, end."""
        _, rows, columns = self.grid
        start = chosen.start
        while start < chosen.stop:
            line, column = divmod(start, columns)
            end = min(column + chosen.stop - start, columns)
            yield *divmod(line, rows), column, end
            start += end - column

    def _strip(self, image: int, row: int, first: int, end: int, beyond: int) -> Tensor:
        top, left = row * self.side, first * self.side
        found = self._pixels(
            image, top, left, min(self.side, self.height - top), min(end * self.side, self.width) - left
        )
        shape = (self.channels, self.side, (end - first) * self.side)
        if found.shape != shape:
            padded = found.new_full(shape, beyond)
            padded[:, : found.shape[1], : found.shape[2]] = found
            found = padded
        return rearrange(found, "channel p (column q) -> column channel p q", q=self.side)

    def _pixels(self, image: int, top: int, left: int, height: int, width: int) -> Tensor:
        if isinstance(self.images, Tensor):
            return self.images[image, :, top : top + height, left : left + width]
        read = self.images[image].window(top, left, height, width)
        if read.shape != (height, width, self.channels):
            raise DataError(
                f"a window of {width} × {height} px and {self.channels} channels was asked for; {read.shape} came"
            )
        return torch.from_numpy(read).permute(2, 0, 1)


def _size(images: Tensor | Sequence[WindowSource]) -> tuple[int, int, int]:
    if isinstance(images, Tensor):
        _, channels, height, width = images.shape
        return channels, height, width
    sizes = {(image.channels, image.height, image.width) for image in images}
    if len(sizes) > 1:
        raise DataError(f"images of one batch have one size; these have {', '.join(map(_said, sorted(sizes)))}")
    return sizes.pop() if sizes else (0, 0, 0)


def _said(size: tuple[int, int, int]) -> str:
    channels, height, width = size
    return f"{width} × {height} × {channels}"


def alike(
    tiles: Shaped[Tensor, "window channel side side"], seen: Bool[Tensor, "window token"] | None
) -> tuple[Int[Tensor, " window"], Int[Tensor, " group"]]:
    """Group windows that are equal byte by byte, and in which tokens are real.

    Returns
    -------
    group : (window,) tensor
        The number of each window's group.
    first : (group,) tensor
        The first window of each group. Every window is its own group on devices other than a processor, and where
        gradients by the pixels are wanted.
    """
    if tiles.device.type != "cpu" or tiles.requires_grad:
        return torch.arange(len(tiles)), torch.arange(len(tiles))
    contents = tiles.contiguous().flatten(1).view(torch.uint8)
    if seen is not None:
        contents = torch.cat((contents, seen.cpu().view(torch.uint8)), dim=1)
    group, first = group_arrays(contents.numpy())
    return torch.from_numpy(group), torch.from_numpy(first)


def brightness(pixels: Shaped[Tensor, "*shape"], like: Tensor) -> Tensor:
    """Pixels as numbers of the type and device of `like`: bytes and 16-bit integers as 0 … 1, others as they are."""
    highest = {torch.uint8: 255, torch.uint16: 65535}.get(pixels.dtype, 1)
    there = pixels.to(like.device).to(like.dtype)
    return there if highest == 1 else there / highest
