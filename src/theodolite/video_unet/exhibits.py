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
    "psnr_cosine_code": "cosine code",
}
ERROR_SCALE = 4.0
"""Errors are shown brighter by this factor."""


def psnr_bars(measured: Measured, code: int) -> Chart:
    """Return PSNR of the networks beside that of a cosine code as large as the deepest map."""
    shown = {name: measured[name] for name in NAMES if name in measured}
    best = max(shown, key=lambda name: shown[name].value)
    names, values = [NAMES[name] for name in shown], [each.value for each in shown.values()]
    ends = {
        "code": [name for name, each in zip(names, shown.values(), strict=True) for _ in range(2) if each.uncertainty],
        "psnr": [
            each.value + sign * each.uncertainty for each in shown.values() if each.uncertainty for sign in (-1, 1)
        ],
    }
    return Chart(
        title=f"The {NAMES[best]} comes closest to the clips: {shown[best].value:.1f} dB",
        caption=f"Mean PSNR over held-out clips, dots mark the 95% interval; the cosine code keeps {code:,} numbers a "
        "clip, as many as the deepest map holds.",
        layers=(
            Layer(
                mark="bar", columns={"code": names, "psnr": values, "series": names}, x="code", y="psnr", color="series"
            ),
            Layer(mark="point", columns=ends, x="code", y="psnr"),
        ),
        x_title="",
        y_title="PSNR (dB)",
        roles={NAMES["psnr_cosine_code"]: "theory", NAMES["psnr_with_skips"]: "generated"},
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
    for network, made in trained.reconstructions.items():
        words = network.replace("_", " ")
        psnr = f"{trained.psnr[network][number]:.1f} dB"
        rows += [made[number], np.minimum(ERROR_SCALE * np.abs(made[number] - original), 1.0)]
        names += [f"{words}, {psnr}", f"error {words} ×{ERROR_SCALE:.0f}"]
        told.append(f"{psnr} {words}")
    return Strip(
        title=f"{what}, number {number} of those held out: {', '.join(told)}",
        caption=f"In step: the clip, its reconstructions, and their absolute errors, {ERROR_SCALE:.0f} times brighter.",
        array=run.save_array(f"strip_{name}", _pixels(np.stack(rows))),
        row_names=tuple(names),
    )


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    coloured = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
    return np.rint(255.0 * coloured).astype(np.uint8)


def codes(config: VideoUNetConfig, measured: Measured, code: int) -> tuple[Chart, ...]:
    """Return PSNR against code size: linear codes as curves, the network without skips as a point."""
    linear = baseline(config, code)
    if linear is None or "psnr_without_skips" not in measured:
        return ()
    point = (float(code), measured["psnr_without_skips"].value)
    return (linear_codes(linear, {"without skips": point}),)
