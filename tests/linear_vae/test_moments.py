import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.linear_vae.moments import Moments


def test_mean_and_covariance_are_those_of_numpy():
    rows = np.random.default_rng(0).normal(3.0, 2.0, size=(5000, 6))
    for ddof in (0, 1):
        found = Moments(6).add(rows[:10]).add(rows[10:4000]).merge(Moments(6).add(rows[4000:]))
        assert found.count == 5000
        assert_identity(found.mean, rows.mean(axis=0))
        assert_identity(found.covariance(ddof), np.cov(rows.T, ddof=ddof))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_what_has_no_covariance_is_refused(bad):
    with pytest.raises(ValueError, match=r"NaN or infinity|rescale"):
        Moments(2).add([[0.0, bad], [1.0, 2.0]])
