"""Which parts of an image a label rests on: what is lost when a part is covered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_evaluation import Pass
from theodolite.nested_vit.windows import WindowSource

CELLS = 8  # a side, at most
STRIP = 256  # rows of an image that are read at a time for its mean
MOST_FLOPS = 3e11  # for one image: some ten seconds of a processor's core
DEFINITION = (
    "A cell's number is how much the logarithm of the probability of the image's own class falls, in nats, when the "
    "cell's pixels are replaced by the image's mean colour, and nothing else."
)


def cells(network: NestedViT, height: int, width: int) -> int:
    """How many cells a side can be covered, one after the other; 0 where the image is too large for 2 × 2."""
    # by chunks stage s is computed from pixels, through all stages before it
    passes = (network.config.stages + 1) / 2
    most = int((MOST_FLOPS / (passes * Costs(network.config, height, width).forward)) ** 0.5)
    fits = min(CELLS, most, height, width)
    return fits if fits >= 2 else 0


def importance(network: NestedViT, image: WindowSource, label: int, side: int) -> NDArray[np.float64]:
    """Fall of the log-probability of a label when each of side × side cells is covered.

    Parameters
    ----------
    network : NestedViT
        In evaluation; it names labels.
    image : WindowSource
        Read by windows.
    label : int
        Of which class.
    side : int
        Cells a side.

    Returns
    -------
    ndarray of shape (side, side), nats
        Positive where the cell speaks for the label, negative where it speaks against it.
    """
    colour = mean_colour(image)
    before = _log_probability(network, image, label)
    rows, columns = (np.linspace(0, length, side + 1).round().astype(int) for length in (image.height, image.width))
    found = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            covered = Covered(image, (rows[row], rows[row + 1]), (columns[column], columns[column + 1]), colour)
            found[row, column] = before - _log_probability(network, covered, label)
    return found


@dataclass(frozen=True)
class Covered:
    """An image of which a rectangle is hidden under a colour; read by windows, as the image is.

    Attributes
    ----------
    image : WindowSource
        The image.
    rows, columns : (int, int)
        The first that is hidden, and the first that is not any more.
    colour : ndarray of shape (channels,)
        In the image's own numbers.
    """

    image: WindowSource
    rows: tuple[int, int]
    columns: tuple[int, int]
    colour: NDArray[np.float64]

    @property
    def height(self) -> int:
        """Rows."""
        return self.image.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.image.width

    @property
    def channels(self) -> int:
        """Numbers a pixel."""
        return self.image.channels

    def window(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Pixels of a rectangle: (height, width, channels)."""
        pixels = np.array(self.image.window(top, left, height, width))  # what a source gives may be its own
        hidden = (
            slice(*(min(max(end - first, 0), length) for end in ends))
            for first, length, ends in ((top, height, self.rows), (left, width, self.columns))
        )
        pixels[*hidden] = np.rint(self.colour).astype(pixels.dtype)
        return pixels


def mean_colour(image: WindowSource) -> NDArray[np.float64]:
    """Mean of all pixels, (channels,), read strip by strip."""
    total = np.zeros(image.channels)
    for top in range(0, image.height, STRIP):
        strip = image.window(top, 0, min(STRIP, image.height - top), image.width)
        total += strip.sum(axis=(0, 1), dtype=np.float64)
    return total / (image.height * image.width)


def _log_probability(network: NestedViT, image: WindowSource, label: int) -> float:
    return float(Pass(network, [image]).label()[0].double().log_softmax(dim=0)[label])
