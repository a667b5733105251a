"""The best that linear codes of a given size make of the same clips: what a network has to beat. No torch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theodolite.theory.interpolation import interpolation_error
from theodolite.theory.transform_code import cosine_code_error, principal_code_error, psnr, wiener_error
from theodolite.video_unet.config import EMBEDDED, VideoUNetConfig
from theodolite.video_unet.corruption import shown
from theodolite.video_unet.samples import held_out_clips, training_clips

Array = NDArray[np.float64]

NUMBERS = 2**23
"""So many numbers of clips are transformed at most, for a plan to stay a matter of a second."""
FITTED = 128
"""So many training clips the codes of a plan are fitted to, at most."""


@dataclass(frozen=True)
class Restored:
    """What needs no training and makes good what was hidden, or noise: mean PSNR in dB over held-out clips.

    Attributes
    ----------
    psnr : float
        Over hidden pixels, by linear interpolation in time; or of whole clips, by a Wiener filter of their cosines.
    tolerance : float
        Four standard errors of what chance does to it; 0 where nothing is drawn.
    """

    psnr: float
    tolerance: float


@dataclass(frozen=True)
class Baseline:
    """Mean PSNR in dB over held-out clips, by code size; and that of one constant colour, with its 95% half-width.

    `clips` are those held out, `fitted` the training clips that the codes were fitted to.
    """

    sizes: tuple[int, ...]
    cosine: tuple[float, ...]
    principal_sizes: tuple[int, ...]
    principal: tuple[float, ...]
    constant: float
    constant_uncertainty: float
    clips: int
    fitted: int
    restored: Restored | None = None


def baseline_clips(config: VideoUNetConfig, times: int = 1) -> tuple[Array, Array] | None:
    """Return clips in [0, 1] to fit codes to, and others to judge them by; None for files or very large clips.

    To fit to, they are `times` as many as a plan takes, where there are so many.
    """
    numbers = config.frames * config.height * config.width * config.channels
    affordable = NUMBERS // numbers
    if config.data != EMBEDDED or config.channels not in (1, 3) or affordable < 4:
        return None
    fitted, judged = min(times * min(FITTED, affordable // 2), config.clips), min(config.held_out, affordable // 2)
    return training_clips(config, range(fitted)) / 255.0, held_out_clips(config, judged) / 255.0


def baseline(config: VideoUNetConfig, code_size: int, times: int = 1) -> Baseline | None:
    """Return what linear codes reach at powers of four up to `code_size`, and at `code_size`; see `baseline_clips`."""
    clips = baseline_clips(config, times)
    if clips is None:
        return None
    fit, judged = clips
    largest = min(code_size, judged[0].size - 1)
    sizes = (*(4**k for k in range(2, 16) if 4**k < largest), largest)
    components = tuple(
        size for size in (*(4**k for k in range(2, 16)), len(fit) - 1) if size <= min(len(fit) - 1, largest)
    )
    mean_colour = fit.mean(axis=(0, 1, 2, 3))
    constant = psnr(np.mean((judged - mean_colour) ** 2, axis=(1, 2, 3, 4)))
    return Baseline(
        sizes=sizes,
        cosine=tuple(psnr(cosine_code_error(fit, judged, sizes)).mean(axis=1).tolist()),
        principal_sizes=components,
        principal=tuple(psnr(principal_code_error(fit, judged, components)).mean(axis=1).tolist()),
        constant=float(constant.mean()),
        constant_uncertainty=float(1.96 * constant.std(ddof=1) / np.sqrt(len(constant))),
        clips=len(judged),
        fitted=len(fit),
        restored=_restored(config, fit, judged) if config.corruption != "none" else None,
    )


def _restored(config: VideoUNetConfig, fit: Array, judged: Array) -> Restored:
    hidden = shown(config, judged).hidden
    if hidden is None:
        error, deviation = wiener_error(fit, judged, config.level)
        # the deviation of a mean of decibels, of which the derivative by the error is 10/(ln 10 · error)
        chance = 10.0 / math.log(10.0) * math.sqrt(np.sum((deviation / error) ** 2)) / len(judged)
        return Restored(float(psnr(error).mean()), 4.0 * chance)
    return Restored(float(psnr(interpolation_error(judged, hidden)).mean()), 0.0)
