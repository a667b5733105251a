"""Which parts of an image a label rests on: what is lost when a part is covered."""

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.nested_vit.costs import Costs
from theodolite.nested_vit.examples import whole_of
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_evaluation import Pass
from theodolite.nested_vit.windows import WindowSource

CELLS = 8  # a side, at most
MOST_FLOPS = 3e11  # for one image: some ten seconds of a processor's core
DEFINITION = (
    "A cell's number is how much the logarithm of the probability of the image's own class falls, in nats, when the "
    "cell's pixels are replaced by the image's mean colour, and nothing else."
)


def cells(network: NestedViT, height: int, width: int) -> int:
    """How many cells a side can be covered, one after the other; 0 where the image is too large for 2 × 2."""
    forward = Costs(network.config, height, width).flops("recomputed") / 2  # more than forward by chunks takes
    most = int((MOST_FLOPS / forward) ** 0.5)
    fits = min(CELLS, most, height, width)
    return fits if fits >= 2 else 0


def importance(network: NestedViT, image: WindowSource, label: int, side: int) -> NDArray[np.float64]:
    """Fall of the log-probability of a label when each of side × side cells is covered.

    Parameters
    ----------
    network : NestedViT
        In evaluation; it names labels.
    image : WindowSource
        Small enough to be held whole.
    label : int
        Of which class.
    side : int
        Cells a side.

    Returns
    -------
    ndarray of shape (side, side), nats
        Positive where the cell speaks for the label, negative where it speaks against it.
    """
    pixels = whole_of(image)
    mean = pixels.double().mean(dim=(2, 3), keepdim=True).round()
    before = _log_probability(network, pixels, label)
    rows, columns = (np.linspace(0, length, side + 1).round().astype(int) for length in pixels.shape[2:])
    found = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            covered = pixels.clone()
            place = covered[..., rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            place[:] = mean.to(pixels.dtype)
            found[row, column] = before - _log_probability(network, covered, label)
    return found


def _log_probability(network: NestedViT, pixels: torch.Tensor, label: int) -> float:
    return float(Pass(network, pixels).label()[0].double().log_softmax(dim=0)[label])
