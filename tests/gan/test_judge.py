"""What rejects candidates: its calibration, its ceiling, and whether it helps where it can."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.gan.test_blend import Same, draw
from tests.tolerances import assert_single

from theodolite.gan import judge
from theodolite.gan.blend import Blend
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Units
from theodolite.gan.judge import HIGHEST, LEAST_KEPT, calibrate, ceiling, fit_judge, kept

RNG = np.random.default_rng(0)


def test_the_calibration_is_a_logistic_regression():
    real, fake = RNG.normal(1, 2, 300), RNG.normal(0, 2, 700)
    slope, offset, loss = calibrate(real, fake)
    weights = np.repeat([1 / 300, 1 / 700], [300, 700])
    model = LogisticRegression(C=1e10, tol=1e-10, max_iter=10_000)
    model.fit(np.concatenate([real, fake])[:, None], np.repeat([1, 0], [300, 700]), sample_weight=weights * 500)
    theirs = model.predict_proba(np.concatenate([real, fake])[:, None])
    expected = -(np.log(theirs[:300, 1]).mean() + np.log(theirs[300:, 0]).mean()) / 2
    assert_single(loss, expected)
    assert slope > 0
    assert abs(offset - model.intercept_[0]) < 0.01


def test_scores_the_wrong_way_round_are_worth_nothing():
    slope, _, loss = calibrate(RNG.normal(0, 1, 200), RNG.normal(3, 1, 200))
    assert slope == 0
    assert_single(loss, np.log(2))


@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
def test_the_ceiling_keeps_enough(spread):
    ratios = spread * RNG.normal(size=2000)
    log_ceiling = ceiling(ratios)
    assert kept(ratios, log_ceiling) >= LEAST_KEPT - 1e-9
    assert log_ceiling <= np.quantile(ratios, HIGHEST) + 1e-9
    # either bound is met, so that no more is told apart than must be
    assert log_ceiling > np.quantile(ratios, HIGHEST) - 1e-9 or kept(ratios, log_ceiling) < LEAST_KEPT + 1e-3


@pytest.fixture
def fitted(monkeypatch):
    monkeypatch.setattr(judge, "STEPS", 300)

    def of(train):
        config = GANConfig(data="ring8", width=32, depth=1)
        units = Units((2,), (0.0, 0.0), 1.0)
        training = GANTraining(device="cpu")
        return fit_judge(config, training, units, train, Blend([Same()], (2,), (1.0,)).eval(), torch.device("cpu"))

    return of


def test_rejection_brings_the_mixture_closer(fitted):
    found = fitted(RNG.normal([0.7, 0.0], 0.8, (3000, 2)))
    made = draw(Blend([Same()], (2,), (1.0,), found))
    before, after = draw(Blend([Same()], (2,), (1.0,))), made
    assert abs(after[:, 0].mean() - 0.7) < 0.5 * abs(before[:, 0].mean() - 0.7)
    assert abs(after[:, 1].std() - 0.8) < 0.7 * abs(before[:, 1].std() - 0.8)


def test_where_there_is_nothing_to_tell_nothing_is_rejected(fitted):
    assert fitted(RNG.normal(size=(3000, 2))) is None
