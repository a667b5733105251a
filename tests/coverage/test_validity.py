"""The guarantees and the power of whole audits: minutes, so they run with the slow tests."""

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from tests.tolerances import FOUR_STANDARD_ERRORS

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.certificates import certify
from theodolite.coverage.folds import Folds
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.data.digits import digits

pytestmark = pytest.mark.slow
TAU = ALPHA = 0.1
SCORES = {
    "noise": lambda x, rng: rng.normal(size=len(x)),
    "far": lambda x, _: np.linalg.norm(x, axis=1),
    "one column": lambda x, _: x[:, 0],
}


def _cheap(real, fake, score, seed):
    rng, folds = np.random.default_rng([seed, 1]), Folds.draw(len(real), len(fake), seed)
    fits = tuple(
        HeldOut(*(score(x, rng) for x in (real[a], fake[folds.calibration], real[b], fake[folds.training])))
        for a, b in (folds.reals, folds.reals[::-1])
    )
    return name_missed(fits, folds.reals, TAU, ALPHA)[0], certify(fits, TAU, 0.95).lower


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("columns", [2, 64, 300])
def test_of_identical_distributions_nothing_is_missed(columns, score):
    alarms = above = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        real, fake = rng.normal(size=(400, columns)), rng.normal(size=(4000, columns))
        named, lower = _cheap(real, fake, SCORES[score], seed)
        alarms, above = alarms + named.any(), above + (lower > 0)
    assert alarms <= 200 * ALPHA
    assert above <= 200 * 0.05


@pytest.mark.parametrize("columns", [2, 64, 300])
def test_of_identical_distributions_the_stack_names_nothing(columns):
    alarms = above = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = audit_coverage(rng.normal(size=(400, columns)), rng.normal(size=(4000, columns)), seed=seed)
        alarms, above = alarms + found.missed.any(), above + (found.missed_mass.lower > 0)
    # so many of ten are as unlikely as four standard errors at these rates
    assert binom.sf(alarms - 1, 10, ALPHA) > FOUR_STANDARD_ERRORS
    assert binom.sf(above - 1, 10, 0.05) > FOUR_STANDARD_ERRORS


def _withheld(images, labels, reals, tau):
    powers, false = [], []
    for label in range(10):
        order = np.random.default_rng(0).permutation(len(images))
        real, fake = order[:reals], order[reals:]
        missing = labels[real] == label
        found = audit_coverage(images[real], images[fake[labels[fake] != label]], tau=tau, alpha=ALPHA)
        powers.append(found.missed[missing].mean())
        false.append((found.missed & ~missing).sum() / max(found.missed.sum(), 1))
        assert found.missed_mass.lower <= missing.mean() + 2 / math.sqrt(reals)
    return np.mean(powers), np.mean(false)


def test_a_class_of_digits_that_is_withheld_is_named():
    images, labels = digits()
    power, false = _withheld(images, labels, len(images) // 2, 0.5)
    assert power >= 0.5
    assert false <= ALPHA


@pytest.mark.skipif("MNIST" not in os.environ, reason="the folder MNIST is not given")
@pytest.mark.timeout(1800)  # ten audits of 9,500 images
def test_a_class_of_mnist_that_is_withheld_is_named():
    folder = Path(os.environ["MNIST"])
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28) / np.float32(255)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    power, false = _withheld(images, labels, 5000, TAU)
    # .69 on this split; one half of one class that names nothing takes .04 away
    assert power >= 0.65
    assert false <= ALPHA


def test_a_spread_that_is_too_small_is_certified():
    rng = np.random.default_rng(0)
    found = audit_coverage(rng.normal(size=(10_000, 64)), 0.8 * rng.normal(size=(10_000, 64)))
    assert 0.5 <= found.total_variation.lower <= 0.796
