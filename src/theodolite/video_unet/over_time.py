"""PSNR and structural similarity frame by frame, as charts over time and a table of every frame."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.exhibits import Chart, Layer, Table
from theodolite.video_unet.baselines import baseline_clips
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.cosine_code import rebuilt
from theodolite.video_unet.frames import frame_psnr, frame_similarity
from theodolite.video_unet.trained import Trained, mean_and_uncertainty

Array = NDArray[np.float64]
Measure = Callable[[Array, Array], Array]

COSINE = "cosine code"


def frame_charts(config: VideoUNetConfig, trained: Trained, code: int) -> tuple[Chart | Table, ...]:
    """Return PSNR and SSIM over time, of every network and of a cosine code, and a table; one frame has no charts."""
    psnr = {name: _over_clips(frame_psnr(trained.held_out, made)) for name, made in trained.reconstructions.items()}
    ssim = {
        name: _over_clips(frame_similarity(trained.held_out, made)) for name, made in trained.reconstructions.items()
    }
    table = _table(psnr, ssim, len(trained.held_out))
    if trained.held_out.shape[1] == 1:
        return (table,)
    dashed: dict[str, Array] = {}
    if (clips := baseline_clips(config)) is not None and config.corruption == "none":
        fit, judged = clips
        coded = rebuilt(fit, judged, min(code, judged[0].size - 1))
        dashed = {
            "PSNR": frame_psnr(judged, coded).mean(axis=0),
            "SSIM": frame_similarity(judged, coded).mean(axis=0),
        }
    return (
        _chart(psnr, dashed.get("PSNR"), "PSNR", "dB", trained),
        _chart(ssim, dashed.get("SSIM"), "SSIM", "", trained),
        table,
    )


def _over_clips(values: Array) -> Array:
    """Return mean and half-width of the 95% interval over clips (n, frames), a row each: (2, frames)."""
    return np.array([mean_and_uncertainty(frame) for frame in values.T]).T


def _chart(found: dict[str, Array], dashed: Array | None, what: str, unit: str, trained: Trained) -> Chart:
    layers = []
    for name, (mean, half) in found.items():
        frames = list(range(1, len(mean) + 1))
        series = [name.replace("_", " ")] * len(mean)
        band = {"frame": frames, "low": list(mean - half), "high": list(mean + half), "network": series}
        layers.append(Layer(mark="area", columns=band, x="frame", y="high", y2="low", color="network"))
        line = {"frame": frames, "mean": list(mean), "network": series}
        layers.append(Layer(mark="line", columns=line, x="frame", y="mean", color="network"))
    if dashed is not None:
        line = {"frame": list(range(1, len(dashed) + 1)), "mean": list(dashed), "network": [COSINE] * len(dashed)}
        layers.append(Layer(mark="line", columns=line, x="frame", y="mean", color="network", dashed=True))
    name, (mean, _) = next(iter(found.items()))
    digits = 1 if unit else 3
    worst, best = int(np.argmin(mean)), int(np.argmax(mean))
    hidden = "" if trained.shown.hidden is None else " Hidden and visible frames are averaged alike."
    return Chart(
        title=f"{what} {name.replace('_', ' ')} goes from {mean[worst]:.{digits}f} in frame {worst + 1} to "
        f"{mean[best]:.{digits}f}{f' {unit}' if unit else ''} in frame {best + 1}",
        caption=f"Mean over {len(trained.held_out)} held-out clips, frame by frame; bands are 95% intervals over clips."
        + hidden,
        layers=tuple(layers),
        x_title="frame",
        y_title=f"{what} ({unit})" if unit else what,
        roles={"with skips": "generated", "without skips": "accent", COSINE: "theory"},
    )


def _table(psnr: dict[str, Array], ssim: dict[str, Array], clips: int) -> Table:
    names = [name.replace("_", " ") for name in psnr]
    columns = [f"{what} {name}" for name in names for what in ("PSNR", "SSIM")]
    written = [
        [f"{mean:.{digits}f} ± {half:.{digits}f}" for mean, half in values.T]
        for of_psnr, of_ssim in zip(psnr.values(), ssim.values(), strict=True)
        for values, digits in ((of_psnr, 1), (of_ssim, 3))
    ]
    return Table(
        title=f"Every frame of {clips} held-out clips",
        caption="Means over clips with the half-width of their 95% interval; PSNR in dB.",
        columns=("frame", *columns),
        rows=tuple((number, *row) for number, row in enumerate(zip(*written, strict=True), start=1)),
    )
