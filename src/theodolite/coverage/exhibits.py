"""What an audit of coverage shows and says; reused by every family that generates samples."""

from typing import Any

from numpy.typing import NDArray

from theodolite.coverage.result import CoverageResult
from theodolite.kernel.exhibits import Exhibit
from theodolite.kernel.runs import RunFolder


def coverage_exhibits(
    result: CoverageResult,
    real: NDArray[Any],
    fake: NDArray[Any],
    run: RunFolder,
    image_shape: tuple[int, ...] | None = None,
) -> list[Exhibit]:
    """Describe the exhibits of an audit and store their arrays in the run folder.

    Parameters
    ----------
    result : CoverageResult
        Of exactly these samples.
    real, fake : array (n, …), (m, …)
        The audited samples.
    run : RunFolder
        Where arrays are kept.
    image_shape : tuple of int or None
        ``(h, w)`` or ``(h, w, 3)`` to show flat samples as images; samples of such a shape are shown without it.
    """
    del real, fake, run, image_shape
    return []


def coverage_sentences(result: CoverageResult) -> list[str]:
    """Say what was found in plain sentences, most important first."""
    return [f"{int(result.missed.sum()):,} of {result.reals:,} samples are named missed."]
