"""What is said of modes."""

import numpy as np

from theodolite.data.mixtures import line
from theodolite.gan.examination import Modes
from theodolite.gan.words import _of_modes


def modes(truth, shares):
    shares = np.asarray(shares)
    return Modes(truth, shares, shares > 0.1 * truth.weights, np.ones(1), counted=10_000)


def test_modes_are_counted_with_their_uncertainty():
    said = _of_modes(modes(line(), [0.5, 0.4, 0.001]))
    assert said.startswith("The generator makes 2 of 3 modes; 90.1% (± 0.6) of its samples lie within 3")
