"""What is shown of a video in which something may not be normal: error over time, worst window, marked video."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from theodolite.kernel.exhibits import Chart, Exhibit, Layer, Strip
from theodolite.kernel.runs import RunFolder

if TYPE_CHECKING:
    from theodolite.video_unet.anomalies import Event, Scored

Frames = NDArray[np.uint8]
Array = NDArray[np.float64]

MOST_POINTS = 2000
"""Frames drawn one by one; of a longer video the largest score of each stretch is drawn."""
LEAST_SIDE = 240
"""Rows of a marked video at least; smaller frames are enlarged by a whole factor."""
RED = np.array([230.0, 30.0, 30.0])
BAR, LIMIT = 2.0, 0.5
"""The bar below is full at a score of twice the threshold, which lies at half of it."""


def of(folder: RunFolder, scored: "Scored", found: Sequence["Event"], threshold: float) -> tuple[Exhibit, ...]:
    """Describe the scores over time and the worst window, and store its frames."""
    shown: list[Exhibit] = [over_time(scored, found, threshold)]
    if scored.worst is not None:
        worst = scored.worst
        heat = _coloured(np.minimum(1.0, LIMIT * worst.heat / max(threshold, np.finfo(float).tiny)))
        made = np.repeat(worst.made, 3, axis=-1) if worst.made.shape[-1] == 1 else worst.made
        shown.append(
            Strip(
                title=f"The window that is least normal: score {worst.peak:.3f}, threshold {threshold:.3f}",
                caption="In step: the video, what the network makes of it, and the score of each place; white is "
                "twice the threshold.",
                array=folder.save_array("anomaly", np.stack([worst.frames, made, heat])),
                row_names=("original", "rebuilt", "score"),
            )
        )
    return tuple(shown)


def over_time(scored: "Scored", found: Sequence["Event"], threshold: float) -> Chart:
    """Return the score of every frame over time, with the threshold."""
    times, scores = np.array(scored.times), np.array(scored.scores)
    stretch = -(-len(scores) // MOST_POINTS)
    begins = np.arange(0, len(scores), stretch)
    line = {
        "time": times[begins].tolist(),
        "score": np.maximum.reduceat(scores, begins).tolist(),
        "series": ["largest score"] * len(begins),
    }
    share = float(np.mean(scores > threshold))
    events = "event" if len(found) == 1 else "events"
    return Chart(
        title=f"{share:.1%} of the frames are rebuilt worse than normal ones, in {len(found)} {events}",
        caption="Score of the worst place of every frame; dashed, the threshold from normal clips.",
        layers=(
            Layer(mark="line", columns=line, x="time", y="score", color="series"),
            Layer(mark="rule", columns={"threshold": [threshold], "series": ["threshold"]}, y="threshold",
                  color="series", dashed=True),
        ),
        x_title="time (s)",
        y_title="score",
        roles={"threshold": "theory", "largest score": "generated"},
    )  # fmt: skip


def annotated(
    frames: Iterable[Frames], heat: Iterable[Frames], scores: Sequence[float], threshold: float
) -> Iterator[Frames]:
    """Yield frames of a video to look at: as it is, beside it with its heat, framed in red at alarms, a bar below.

    Parameters
    ----------
    frames : iterable of arrays (height, width, 3)
    heat : iterable of arrays (height, width, 3)
        Grey, half of white at the threshold.
    scores : sequence of float
        One a frame.
    threshold : float
        Above it is an alarm.
    """
    for frame, warmth, score in zip(frames, heat, scores, strict=True):
        factor = max(1, -(-LEAST_SIDE // frame.shape[0]))
        original, warm = (each.repeat(factor, axis=0).repeat(factor, axis=1) for each in (frame, warmth))
        weight = (warm[..., :1] / 255.0) ** 2
        heated = np.rint((1.0 - weight) * original + weight * RED).astype(np.uint8)
        picture = np.concatenate([original, heated], axis=1)
        if score > threshold:
            edge = max(2, picture.shape[0] // 60)
            inside = picture[edge:-edge, edge:-edge].copy()
            picture[:] = RED.astype(np.uint8)
            picture[edge:-edge, edge:-edge] = inside
        yield np.concatenate([picture, _bar(score / (BAR * threshold), picture.shape[1], picture.shape[0] // 15 + 1)])


def _bar(share: float, width: int, height: int) -> Frames:
    """Return the score as a bar, with a white mark at the threshold."""
    bar = np.full((height, width, 3), 40, np.uint8)
    bar[:, : round(min(1.0, share) * width)] = RED.astype(np.uint8) if share > LIMIT else 150
    mark = round(LIMIT * width)
    bar[:, mark - 1 : mark + 1] = 255
    return bar


def _coloured(share: Array) -> Frames:
    """Black to red to white, for shares from 0 to 1."""
    levels = np.stack([2.0 * share, 2.0 * share - 1.0, 2.0 * share - 1.0], axis=-1)
    return np.rint(255.0 * np.clip(levels, 0.0, 1.0)).astype(np.uint8)
