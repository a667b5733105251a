"""What theory says of a video U-Net before it is trained. No torch."""

import math

from theodolite.kernel.exhibits import Chart, Layer, Table
from theodolite.kernel.records import Plan, Prediction
from theodolite.theory.convolution import unet_receptive_field, unet_window
from theodolite.video_unet.architecture import code, maps
from theodolite.video_unet.baselines import Baseline, Restored, baseline
from theodolite.video_unet.blueprint import shape_table, times, u_diagram
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import cells, hidden_cells
from theodolite.video_unet.step_memory import CLIPS, TOLERANCE, predicted_peak

DECIBEL = "dB"
ANSWER = "docs/answers/q3.md"
FIELD = "Q3.d: Araujo et al. 2019"
AXES = ("frames", "rows", "columns")

MOST_PHASES = 64
"""So many places of a cell are listed at most."""


def plan(config: VideoUNetConfig) -> Plan:
    """Predict every map, the cost, the reach of each output, and what codes that need no training make of the clips."""
    deepest = code(config)
    linear = baseline(config, deepest.numbers)
    return Plan(
        family="video-unet",
        config=config.model_dump(mode="json"),
        assumptions=_assumptions(config, linear),
        predictions=(*_counts(config), *_peak(config), *_quality(config, linear)),
        exhibits=(u_diagram(config), shape_table(config), phases(config), *([linear_codes(linear)] if linear else [])),
    )


def linear_codes(linear: Baseline, networks: dict[str, tuple[float, float]] | None = None) -> Chart:
    """Draw PSNR against code size for linear codes, and for networks as (code size, PSNR) where there are any."""
    layers = [
        _curve(linear.sizes, linear.cosine, "cosine transform"),
        _curve(linear.principal_sizes, linear.principal, "principal components"),
    ]
    if networks:
        names, points = list(networks), list(networks.values())
        columns = {"size": [p[0] for p in points], "psnr": [p[1] for p in points], "code": names}
        layers.append(Layer(mark="point", columns=columns, x="size", y="psnr", color="code"))
        layers.append(Layer(mark="text", columns=columns, x="size", y="psnr", text="code"))
    largest = f"{linear.cosine[-1]:.1f} dB"
    told = "; ".join(f"{name}: {value:.1f} dB" for name, (_, value) in (networks or {}).items())
    return Chart(
        title=f"A linear code of {linear.sizes[-1]:,} numbers keeps {largest}" + (f"; {told}" if told else ""),
        caption=f"Mean PSNR of {linear.clips} held-out clips against the numbers kept of each; dashed codes need no "
        f"network and were fitted to {linear.fitted} training clips.",
        layers=tuple(layers),
        x_title="numbers in the code of one clip",
        y_title="PSNR (dB)",
        x_scale="log",
        roles={"cosine transform": "theory", **({"without skips": "accent"} if networks else {})},
    )


def _curve(sizes: tuple[int, ...], values: tuple[float, ...], name: str) -> Layer:
    columns = {"size": list(sizes), "psnr": list(values), "code": [name] * len(sizes)}
    return Layer(mark="line", columns=columns, x="size", y="psnr", color="code", dashed=True)


def receptive_fields(config: VideoUNetConfig) -> list[tuple[str, str, int]]:
    """Return name, words and axis of each receptive field that is told: one, where kernels and pools are cubes."""
    if len(set(config.kernels)) == len(set(config.pools)) == 1:
        return [("receptive_field", "an axis", 0)]
    return [(f"receptive_field_{words}", words, axis) for axis, words in enumerate(AXES)]


def sees(config: VideoUNetConfig, axis: int) -> int:
    """Return how many positions along an axis the outputs that see most depend on."""
    kernel, pool = config.kernels[axis], config.pools[axis]
    return unet_receptive_field(config.stages, config.convs_per_stage, kernel, pool, config.up == "resize")


def phases(config: VideoUNetConfig) -> Table:
    """Return what an output sees to either side of itself, by its place in its cell, along each axis that differs."""
    layers = list(zip(config.kernels, config.pools, config.cell, strict=True))
    alike = len(set(layers)) == 1
    axes = ("",) if alike else ("frames ", "rows ", "columns ")
    rows = []
    for place in range(min(max(config.cell), MOST_PHASES)):
        row: list[str | int | None] = [place]
        for kernel, pool, cell in layers[:1] if alike else layers:
            if place >= cell:
                row += [None, None]
                continue
            first, last = unet_window(place, config.stages, config.convs_per_stage, kernel, pool, config.up == "resize")
            row += [place - first, last - place]
        rows.append(tuple(row))
    longest = max(sees(config, axis) for axis in range(3))
    return Table(
        title=f"An output sees up to {longest} positions along an axis, more to one side or the other",
        caption=f"How far an output sees before and after itself, away from borders{', along every axis' * alike}; by "
        f"place in its cell of {times(config.cell)} positions"
        f"{f'; the first {MOST_PHASES}' if max(config.cell) > MOST_PHASES else ''}.",
        columns=("place", *(f"{axis}{side}" for axis in axes for side in ("before", "after"))),
        rows=tuple(rows),
    )


def _counts(config: VideoUNetConfig) -> tuple[Prediction, ...]:
    made = maps(config)
    total = {
        kind: sum(getattr(each, kind) for each in made)
        for kind in ("parameters", "dead", "work", "work_inside", "kept")
    }
    counted = (
        (
            "parameters",
            "Weights and biases",
            total["parameters"],
            "parameters",
            "Q3.a: k³·cᵢₙ·cₒᵤₜ + cₒᵤₜ a convolution",
        ),
        ("maps_as_planned", "Maps of the size in the table", len(made), "maps", "Q3.b, Q3.d: Dumoulin & Visin 2016"),
        ("dead_weights", "Weights that only ever meet padding", total["dead"], "parameters", "Q3.b: taps outside"),
        ("multiply_adds", "Work for one clip", total["work"], "multiply-adds", "Q3.b: k³·cᵢₙ·cₒᵤₜ·positions"),
        (
            "multiply_adds_inside",
            "Work for one clip that reads no padding",
            total["work_inside"],
            "multiply-adds",
            "Q3.b: a tap d of an axis of n is inside n − |d| times",
        ),
        ("kept_bytes", "What a training step keeps of one clip", total["kept"], "bytes", "Q3.b: maps read backwards"),
        *(
            (name, f"Input that each output sees along {words}", sees(config, axis), "positions", FIELD)
            for name, words, axis in receptive_fields(config)
        ),
    )
    return tuple(
        Prediction(name=name, label=label, value=value, unit=unit, claim="exact", source=f"{ANSWER}, {source}")
        for name, label, value, unit, source in counted
    )


def _peak(config: VideoUNetConfig) -> tuple[Prediction, ...]:
    peak = predicted_peak(config)
    if peak is None:
        return ()
    told = Prediction(
        name="peak_bytes",
        label=f"Memory of a step of {CLIPS} clips at its peak, weights left out",
        value=peak,
        unit="bytes",
        claim="estimate",
        source=f"{ANSWER}, Q3.b: maps kept, gradients and blocked copies alive at once",
        tolerance=TOLERANCE * peak,
    )
    return (told,)


def _quality(config: VideoUNetConfig, linear: Baseline | None) -> tuple[Prediction, ...]:
    told: list[Prediction] = []
    if linear is not None:
        told.append(
            Prediction(
                name="psnr_cosine_code",
                label=f"Held-out PSNR of a cosine code of {linear.sizes[-1]:,} numbers",
                value=linear.cosine[-1],
                unit=DECIBEL,
                claim="exact",
                source=f"{ANSWER}, Q3.e: Parseval; Ahmed, Natarajan & Rao 1974",
                tolerance=0.01,
            )
        )
        told.extend(
            Prediction(
                name=f"psnr_{name}",
                label=f"Held-out PSNR {name.replace('_', ' ')}; one constant colour is the least",
                value=linear.constant,
                unit=DECIBEL,
                claim="lower bound",
                source=f"{ANSWER}, Q3.e: the head's bias alone can paint the mean colour",
                tolerance=linear.constant_uncertainty,
            )
            for name in config.networks
        )
    if linear is not None and linear.restored is not None:
        told.extend(_restoration(config, linear.restored))
    if config.compare_skips:
        told.append(
            Prediction(
                name="gain_of_skips",
                label="Held-out PSNR with skips less that without",
                value=0.0,
                unit=DECIBEL,
                claim="lower bound",
                source=f"{ANSWER}, Q3.e: with zero weights on the skips the one network is the other",
            )
        )
    return tuple(told)


def _restoration(config: VideoUNetConfig, restored: Restored) -> tuple[Prediction, ...]:
    """Predict what making good is worth that needs no training, and the least that a network can do."""
    if config.corruption == "noise":
        source = "Q3.e: a Wiener filter of cosine coefficients (Wiener 1949)"
        filtered = Prediction(
            name="psnr_wiener",
            label=f"Held-out PSNR after a linear filter, from noise of {config.level:g}",
            value=restored.psnr,
            unit=DECIBEL,
            claim="estimate",
            source=f"{ANSWER}, {source}",
            tolerance=restored.tolerance,
        )
        return (filtered,)
    interpolated = Prediction(
        name="psnr_interpolation",
        label="PSNR of hidden pixels by linear interpolation in time",
        value=restored.psnr,
        unit=DECIBEL,
        claim="exact",
        source=f"{ANSWER}, Q3.e: between the last visible frame and the next",
        tolerance=1e-6,
    )
    networks = (
        Prediction(
            name=f"psnr_hidden_{name}",
            label=f"PSNR of hidden pixels {name.replace('_', ' ')}; interpolation is the least",
            value=restored.psnr,
            unit=DECIBEL,
            claim="lower bound",
            source=f"{ANSWER}, Q3.e: with zero weights in the head nothing is added to interpolation",
        )
        for name in config.networks
    )
    return (interpolated, *networks)


def _assumptions(config: VideoUNetConfig, linear: Baseline | None) -> tuple[str, ...]:
    told = [
        "Convolutions slide by 1 and read zeros outside the clip, so that they keep every size.",
        "Each convolution but the last is followed by a rectifier; nothing is normalised over a clip.",
        "Pooling takes the largest of a window; "
        + (
            "on the way back every position is repeated as often, and the whole convolved."
            if config.up == "resize"
            else "up-convolutions have the pooling's window as kernel and stride."
        ),
        "Multiply-adds count taps that read padding; memory counts float32 maps, not weights.",
    ]
    if config.rounding == "down":
        told.append("Rounding down leaves the last positions out of the deep path; the decoder sees zeros there.")
    if config.corruption in ("masked", "blocks"):
        what = "cells of space and time" if config.corruption == "blocks" else "frames"
        told.append(
            f"Networks are shown clips of which {hidden_cells(config)} of {math.prod(cells(config))} {what}, chosen "
            "anew each step, are hidden and filled in by linear interpolation in time; what they make is added there."
        )
    if config.corruption == "noise":
        told.append(
            f"Networks are shown clips under normal noise of deviation {config.level:g}; what they make is added, and "
            "should be the noise with its sign changed."
        )
    if config.compare_skips:
        told.append("That skips do not harm is a statement of the optimum; training need not find it.")
    if linear is None:
        told.append("No linear code is compared: the clips are not embedded ones, or too large for a quick plan.")
    return tuple(told)
