"""What a report of the video U-Net shows: PSNR as bars, clips beside their reconstructions, PSNR against code size."""

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.exhibits import Chart, Layer, Strip
from theodolite.kernel.records import Measurement
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.baselines import baseline
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.plan import linear_codes
from theodolite.video_unet.trained import Trained

Measured = dict[str, Measurement]

NAMES = {
    "psnr_with_skips": "U-Net with skips",
    "psnr_without_skips": "U-Net without skips",
    "psnr_hidden_with_skips": "with skips, of what was hidden",
    "psnr_hidden_without_skips": "without skips, of what was hidden",
    "psnr_interpolation": "interpolation in time, of what was hidden",
    "psnr_wiener": "linear filter",
    "psnr_cosine_code": "cosine code",
}
INTERVAL = "95% interval"
FITTED_TIMES = 4
"""Linear codes are fitted to so many times the clips of a plan: from few clips, principal components learn little."""
WHITE = 0.25
"""Errors from this share of the range of pixels on are shown white."""


def psnr_bars(measured: Measured, code: int) -> Chart:
    """Return PSNR of the networks beside that of a cosine code as large as the deepest map, where one was made."""
    shown = {NAMES[name]: measured[name] for name in NAMES if name in measured}
    best = max(shown, key=lambda name: shown[name].value)
    bars = {"code": list(shown), "psnr": [each.value for each in shown.values()], "series": list(shown)}
    uncertain = {name: each for name, each in shown.items() if each.uncertainty}
    ends = {
        "code": [name for name in uncertain for _ in range(2)],
        "psnr": [each.value + sign * each.uncertainty for each in uncertain.values() for sign in (-1, 1)],
        "series": [INTERVAL] * (2 * len(uncertain)),
    }
    cosine = f"; the cosine code keeps {code:,} numbers a clip, as many as the deepest map holds"
    return Chart(
        title=f"The {best} comes closest to the clips: {shown[best].value:.1f} dB",
        caption="Mean PSNR over held-out clips; points mark the ends of the 95% interval"
        + (cosine if NAMES["psnr_cosine_code"] in shown else "")
        + ".",
        layers=(
            Layer(mark="bar", columns=bars, x="code", y="psnr", color="series"),
            Layer(mark="point", columns=ends, x="code", y="psnr", color="series"),
        ),
        x_title="",
        y_title="PSNR (dB)",
        roles={
            NAMES["psnr_cosine_code"]: "theory",
            NAMES["psnr_with_skips"]: "generated",
            NAMES["psnr_without_skips"]: "accent",
            INTERVAL: "theory",
        },
    )


def strips(run: RunFolder, trained: Trained) -> tuple[Strip, ...]:
    """Return the clip that the network asked for rebuilds as well as half of them, and the one it rebuilds worst."""
    order = np.argsort(next(iter(trained.psnr.values())))
    return (
        _strip(run, trained, int(order[len(order) // 2]), "median", "The median clip"),
        _strip(run, trained, int(order[0]), "worst", "The worst clip"),
    )


def _strip(run: RunFolder, trained: Trained, number: int, name: str, what: str) -> Strip:
    original = trained.held_out[number]
    rows, names, told = [original], ["original"], []
    if trained.shown.given is not trained.held_out:
        rows.append(np.clip(trained.shown.given[number], 0.0, 1.0))
        names.append("what was shown")
    for network, made in trained.reconstructions.items():
        words = network.replace("_", " ")
        psnr = f"{trained.psnr[network][number]:.1f} dB"
        rows += [made[number], _error(made[number], original)]
        names += [f"{words}, {psnr}", f"error {words}"]
        told.append(f"{psnr} {words}")
    return Strip(
        title=f"{what}, number {number} of those held out: {', '.join(told)}",
        caption="In step: the clip, its reconstructions, and their absolute errors, means over colours; black is none, "
        f"white {WHITE:.0%} of the range or more.",
        array=run.save_array(f"strip_{name}", _pixels(np.stack(rows))),
        row_names=tuple(names),
    )


def _error(made: NDArray[np.float64], original: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return absolute errors as grey, their means over colours: colours of errors distract from their size."""
    grey = np.minimum(np.abs(made - original).mean(axis=-1, keepdims=True) / WHITE, 1.0)
    return np.broadcast_to(grey, original.shape)


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    coloured = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
    return np.rint(255.0 * coloured).astype(np.uint8)


def codes(config: VideoUNetConfig, measured: Measured, code: int) -> tuple[Chart, ...]:
    """Return PSNR against code size: linear codes as curves, the network without skips as a point."""
    linear = baseline(config, code, FITTED_TIMES)
    if linear is None or "psnr_without_skips" not in measured or config.corruption != "none":
        return ()
    point = (float(code), measured["psnr_without_skips"].value)
    return (linear_codes(linear, {"without skips": point}),)
