"""What is said of modes."""

import numpy as np

from theodolite.data.mixtures import line, ring8
from theodolite.gan.examination import Modes
from theodolite.gan.words import _of_modes, place


def modes(truth, shares):
    shares = np.asarray(shares)
    return Modes(truth, shares, shares > 0.1 * truth.weights, np.ones(1), counted=10_000)


def test_a_mode_is_named_by_where_it_is():
    assert place(modes(line(), [0.5, 0.4, 0.1]), 2) == "x = 8"
    assert place(modes(line(), [0.5, 0.4, 0.1]), 0) == "x = −3"
    around = modes(ring8(), np.full(8, 1 / 8))
    assert [place(around, mode) for mode in (2, 5, 6)] == ["(0.0, 2.0)", "(−1.4, −1.4)", "(0.0, −2.0)"]


def test_modes_are_counted_with_their_uncertainty():
    said = _of_modes(modes(line(), [0.5, 0.4, 0.001]))
    assert said.startswith("The generator makes 2 of 3 modes; 90.1% (± 0.6) of its samples lie within 3")
