"""The trained video U-Net beside its plan: shapes and costs of the built network, PSNR on clips it has never seen."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError
from theodolite.kernel.exhibits import Table
from theodolite.kernel.records import Audit, Figure, Measurement, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.verdict import compare
from theodolite.video_unet import exhibits, probes
from theodolite.video_unet.baselines import baseline_clips
from theodolite.video_unet.blueprint import NAME_COLUMN, SHAPE_COLUMN, TABLE_TITLE
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import shown
from theodolite.video_unet.cosine_code import rebuilt
from theodolite.video_unet.over_time import frame_charts
from theodolite.video_unet.plan import receptive_fields
from theodolite.video_unet.restored import filtered, interpolated
from theodolite.video_unet.samples import Samples, samples
from theodolite.video_unet.step_memory import CLIPS
from theodolite.video_unet.trained import Trained, clip_psnr, hidden_psnr, mean_and_uncertainty

Array = NDArray[np.float64]
Measured = dict[str, Measurement]


def audit(run: RunFolder) -> Audit:
    """Measure trained networks against their plan, from the run folder and the clips it names.

    Raises
    ------
    DataError
        If the clips are gone or changed, or the weights are missing, damaged or of another plan.
    """
    config, plan = run.settings(VideoUNetConfig), run.plan
    clips = _same_clips(run, config)
    trained = Trained.load(run, config, clips.held_out)
    shapes = _shapes(trained)
    measured = {
        each.name: each for each in (*_counts(config, plan, trained, shapes), *_quality(config, trained, _code(shapes)))
    }
    planned = {prediction.name for prediction in plan.predictions}
    return Audit(
        family="video-unet",
        title=f"A U-Net auto-encoder for clips of {shapes['input']}",
        sentences=_sentences(config, measured, plan, trained, _code(shapes)),
        figures=_figures(measured, _code(shapes)),
        # of a user's clips no PSNR was predicted, yet it is reported
        findings=compare(plan.predictions, [each for name, each in measured.items() if name in planned]),
        exhibits=(
            exhibits.psnr_bars(measured, _code(shapes)),
            *exhibits.strips(run, trained),
            *frame_charts(config, trained, _code(shapes)),
            *exhibits.codes(config, measured, _code(shapes)),
        ),
        warnings=clips.warnings,
    )


def _same_clips(run: RunFolder, config: VideoUNetConfig) -> Samples:
    clips = samples(config)
    if clips.origin.get("sha256") != run.read_json("data.json").get("sha256"):
        raise DataError(f"{config.data} is not what {run.path} was trained on, its SHA-256 differs; restore the files")
    return clips


def _shapes(trained: Trained) -> dict[str, str]:
    """Dimensions of every map of the network that was asked for, seen while it works on a clip."""
    clip = torch.from_numpy(trained.held_out[:1]).float().movedim(-1, 1)
    with torch.inference_mode():
        return probes.observed_shapes(next(iter(trained.networks.values())), clip)


def _code(shapes: dict[str, str]) -> int:
    """Count the numbers of the deepest map."""
    deepest = [shape for name, shape in shapes.items() if name.startswith("bottleneck")][-1]
    sides = [int(side) for side in deepest.split("×")]
    return sides[0] * sides[1] * sides[2] * sides[3]


def matching_maps(plan: Plan, shapes: dict[str, str]) -> int:
    """Count the rows of the plan's table of maps that were seen with the dimensions it states."""
    rows = [row for table in _tables_of_maps(plan) for row in table.rows]
    return sum(shapes.get(str(row[NAME_COLUMN])) == row[SHAPE_COLUMN] for row in rows)


def _tables_of_maps(plan: Plan) -> list[Table]:
    return [each for each in plan.exhibits if isinstance(each, Table) and each.title.startswith(TABLE_TITLE)]


def _counts(config: VideoUNetConfig, plan: Plan, trained: Trained, shapes: dict[str, str]) -> list[Measurement]:
    weights = sum(weight.numel() for weight in next(iter(trained.networks.values())).parameters())
    counted = (
        ("parameters", weights, "parameters", "elements of the loaded weights"),
        ("maps_as_planned", matching_maps(plan, shapes), "maps", "hooks on every module while a clip is reconstructed"),
        ("dead_weights", probes.dead_weights(config), "parameters", "zero gradients where all else is positive"),
        ("multiply_adds", probes.multiply_adds(config), "multiply-adds", "torch.utils.flop_counter, halved"),
        ("kept_bytes", probes.kept_bytes(config), "bytes", "storages that autograd saved in a forward pass"),
        (
            "multiply_adds_inside",
            probes.multiply_adds_inside(config),
            "multiply-adds",
            "convolutions of ones with ones, at the sizes that hooks saw",
        ),
        *(
            (name, probes.receptive_field(config, axis), "positions", "support of the gradient in a long clip")
            for name, _, axis in receptive_fields(config)
        ),
    )
    told = [Measurement(name=name, value=value, unit=unit, method=method) for name, value, unit, method in counted]
    if any(each.name == "peak_bytes" for each in plan.predictions):
        how = "memory events of torch's profiler in one step on the processor"
        told.append(Measurement(name="peak_bytes", value=probes.peak_bytes(config, CLIPS), unit="bytes", method=how))
    return told


def _quality(config: VideoUNetConfig, trained: Trained, code: int) -> list[Measurement]:
    values = {f"psnr_{name}": each for name, each in trained.psnr.items()}
    if config.compare_skips:
        values["gain_of_skips"] = trained.gain_of_skips()
    over = f"mean over {len(trained.held_out)} held-out clips, with its 95% interval"
    told = []
    for name, each in values.items():
        mean, uncertainty = mean_and_uncertainty(each)
        told.append(Measurement(name=name, value=mean, unit="dB", uncertainty=uncertainty, method=over))
    over_hidden = f"mean over what is hidden of {len(trained.held_out)} held-out clips, with its 95% interval"
    for name, each in trained.psnr_hidden.items():
        mean, uncertainty = mean_and_uncertainty(each)
        hidden = Measurement(
            name=f"psnr_hidden_{name}", value=mean, unit="dB", uncertainty=uncertainty, method=over_hidden
        )
        told.append(hidden)
    if (clips := baseline_clips(config)) is not None:
        fit, judged = clips
        coded = clip_psnr(judged, rebuilt(fit, judged, min(code, judged[0].size - 1)))
        how = f"{len(judged)} held-out clips transformed by matrices, cut and turned back"
        told.append(Measurement(name="psnr_cosine_code", value=float(coded.mean()), unit="dB", method=how))
    return [*told, *_untrained(config, trained, clips)]


def _untrained(config: VideoUNetConfig, trained: Trained, clips: tuple[Array, Array] | None) -> tuple[Measurement, ...]:
    """Measure what can be made good without training: hidden pixels by interpolation, noise by a filter."""
    judged = trained.held_out if clips is None else clips[1]
    seen = shown(config, judged)
    if seen.hidden is not None:
        made = hidden_psnr(judged, interpolated(seen.given, seen.hidden), seen.hidden)
        how = f"{len(judged)} held-out clips filled in by matrices, one for each pattern of hidden frames"
        return (Measurement(name="psnr_interpolation", value=float(made.mean()), unit="dB", method=how),)
    if config.corruption == "noise" and clips is not None:
        made = clip_psnr(judged, filtered(clips[0], seen.given, config.level))
        how = f"{len(judged)} noisy held-out clips transformed by matrices, shrunk and turned back"
        return (Measurement(name="psnr_wiener", value=float(made.mean()), unit="dB", method=how),)
    return ()


def _sentences(config: VideoUNetConfig, measured: Measured, plan: Plan, trained: Trained, code: int) -> tuple[str, ...]:
    told = _restored(config, measured, trained) if config.corruption != "none" else []
    clips = len(trained.held_out)
    if "psnr_with_skips" in measured and not told:
        told.append(f"With skips, {clips} held-out clips come back at {_between(measured['psnr_with_skips'])}.")
    if "psnr_without_skips" in measured and config.corruption == "none":
        psnr = _between(measured["psnr_without_skips"])
        gain = measured["gain_of_skips"].value if "gain_of_skips" in measured else None
        beside = (
            f"; {abs(gain):.1f} dB {'pass' if gain >= 0 else 'are lost'} beside the code" if gain is not None else ""
        )
        told.append(f"Without skips all passes through {code:,} numbers, and the clips come back at {psnr}{beside}.")
    if "psnr_cosine_code" in measured and config.corruption == "none":
        linear = measured["psnr_cosine_code"].value
        best = min(each.value for name, each in measured.items() if name in ("psnr_with_skips", "psnr_without_skips"))
        side = "below" if best < linear else "above"
        told.append(
            f"A cosine code of {min(code, trained.held_out[0].size - 1):,} numbers, which needs no training, keeps "
            f"{linear:.1f} dB; the weaker network is {abs(linear - best):.1f} dB {side} it."
        )
    rows = sum(len(each.rows) for each in _tables_of_maps(plan))
    matching, parameters = measured["maps_as_planned"].value, measured["parameters"].value
    dead = measured["dead_weights"].value
    said = f"; {dead:,.0f} of them only ever meet padding" if dead else ""
    told.append(
        f"{matching:,.0f} of {rows} planned maps were found at their size, with {parameters:,.0f} weights{said}."
    )
    return tuple(told)


def _restored(config: VideoUNetConfig, measured: Measured, trained: Trained) -> list[str]:
    """Say what the networks make good of what they were not shown, beside what needs no training."""
    if trained.shown.hidden is not None:
        prefix, untrained = "psnr_hidden_", "psnr_interpolation"
        kind = "frame" if config.corruption == "masked" else "block"
        what, other = f"Of every {kind} that was hidden", "linear interpolation in time"
    else:
        prefix, untrained, other = "psnr_", "psnr_wiener", "a linear filter"
        what = f"Of clips under noise at {-20.0 * math.log10(config.level):.1f} dB"
    made = "; ".join(
        f"the network {name.replace('_', ' ')} makes {_between(measured[prefix + name])}" for name in trained.networks
    )
    first = measured[prefix + next(iter(trained.networks))].value
    if untrained not in measured:
        return [f"{what}, {made}."]
    better = first - measured[untrained].value
    side = "above" if better >= 0 else "below"
    return [
        f"{what}, {made}.",
        f"With no training {other} makes {measured[untrained].value:.1f} dB; the network asked for is "
        f"{abs(better):.1f} dB {side} it.",
    ]


def _between(measurement: Measurement) -> str:
    low, high = measurement.value - measurement.uncertainty, measurement.value + measurement.uncertainty
    return f"{measurement.value:.1f} dB (mean; between {low:.1f} and {high:.1f})"


def _figures(measured: Measured, code: int) -> tuple[Figure, ...]:
    meanings = {
        "psnr_hidden_with_skips": "PSNR of what was hidden, with skips",
        "psnr_hidden_without_skips": "PSNR of what was hidden, without skips",
        "psnr_interpolation": "PSNR of what was hidden, interpolated in time",
    }
    if not meanings.keys() & measured.keys():
        meanings = {
            "psnr_with_skips": "PSNR on held-out clips, with skips",
            "psnr_without_skips": f"PSNR through {code:,} numbers alone, without skips",
            "psnr_wiener": "PSNR after a linear filter",
            "psnr_cosine_code": f"PSNR of a cosine code of {code:,} numbers",
        }
    told = [
        Figure(value=f"{measured[name].value:.1f}", unit="dB", meaning=meaning)
        for name, meaning in meanings.items()
        if name in measured
    ][:3]
    work = measured["multiply_adds"].value / 1e9
    return (*told, Figure(value=f"{work:.2f}", unit="billion multiply-adds", meaning="to reconstruct one clip"))
