"""The four tolerances of the test suite; no other number may be written.

=========  ==========================================================
identity   two routes to one number in float64: 1e-10 relative
single     the same in float32: 1e-4 relative
sampling   four standard errors of a mean, from the sample (seed fixed), or a test's p-value as small
trend      a slope within a stated band
=========  ==========================================================
"""

import numpy as np
from numpy.typing import ArrayLike

# what is as unlikely as four standard errors, two-sided
FOUR_STANDARD_ERRORS = 6.3e-5
IDENTITY = 1e-10
SINGLE = 1e-4


def assert_identity(actual: ArrayLike, expected: ArrayLike) -> None:
    """Two routes to one number in float64."""
    np.testing.assert_allclose(actual, expected, rtol=IDENTITY, atol=IDENTITY)


def assert_single(actual: ArrayLike, expected: ArrayLike) -> None:
    """Two routes to one number in float32."""
    np.testing.assert_allclose(actual, expected, rtol=SINGLE, atol=SINGLE)


def assert_sampling(draws: ArrayLike, expected: float) -> None:
    """The mean of independent draws lies within four standard errors of what is expected."""
    sample = np.asarray(draws, dtype=float)
    error = sample.std(ddof=1) / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= 4 * error, (
        f"mean {sample.mean():.6g} is {abs(sample.mean() - expected) / error:.1f} standard errors from {expected:.6g}"
    )


def assert_trend(x: ArrayLike, y: ArrayLike, slope: float, band: float) -> None:
    """The slope of log y against log x lies within `band` of what is claimed."""
    measured = np.polyfit(np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float)), 1)[0]
    assert abs(measured - slope) <= band, f"slope {measured:.3f}, claimed {slope} ± {band}"
