"""Anomalies put into clips nobody has seen: area under the ROC curve per frame, kind by kind.

Clips are embedded held-out ones of 20 frames: moving photographs of many textures. In each something happens in 4 to 8
frames in a row, neither the first three nor the last two of the clip. What happens, in a square of 12 × 12 of 32 × 32
pixels unless it says otherwise:

object          a piece of another photograph stands there
square          one colour stands there
inverted        its colours are inverted
noise           normal noise of deviation 0.2, new in every frame
fixed noise     the same noise in every frame
darker          30% less light
frozen          it shows what it showed before
foreign frames  the frames are those of another clip
shuffled        the frames are in random order
twice as fast   only every second frame is shown
nothing         what the labels alone give: a score knows nothing of them at 0.5

The score is that of ``theodolite video-unet anomalies`` with a window of 20 frames, and all frames of all clips are one
ranking: textures are not known. Beside the network stands the same score with interpolation between neighbours in its
place, and the error of the rebuilt frame by itself. Normal clips of the same kind set a threshold, others test it.

Run: python benchmarks/video_unet_anomalies.py [--runs benchmarks/runs] [--clips 24]
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from video_unet_masked import made_by, trained

FRAMES, SIDE, SQUARE = 20, 32, 12
KINDS = ("object", "square", "inverted", "noise", "fixed noise", "darker", "frozen", "foreign frames", "shuffled",
         "twice as fast", "nothing")  # fmt: skip
GOAL = 0.95
RATE = 0.05
NORMAL, TESTED = 79, 80  # clips that set the threshold, and clips that test it
FIRST = 10_000  # held-out clips from this number on: none decided anything of the training

CHANGES = "U-Net, changes"

Clip = NDArray[np.uint8]
Score = Callable[[Clip], dict[str, Any]]


def drawn(first: int, count: int) -> Clip:
    """Held-out clips."""
    from theodolite.data.clips import clips

    return clips(0, range(first, first + count), FRAMES, SIDE, SIDE, held_out=True)


def stretch(number: int) -> tuple[int, int]:
    """The first frame in which something happens in a clip, and the one after the last."""
    random = np.random.default_rng([9, number])
    count = int(random.integers(4, 9))
    first = int(random.integers(3, FRAMES - count - 2))
    return first, first + count


def put_in(kind: str, clip: Clip, other: Clip, number: int) -> Clip:
    """Return a clip in which something of a kind happens."""
    first, stop = stretch(number)
    random = np.random.default_rng([7, number])
    row, column = random.integers(2, SIDE - SQUARE - 2, 2)
    where = np.s_[first:stop, row : row + SQUARE, column : column + SQUARE]
    made, piece = clip.astype(float), clip[where].astype(float)
    noise = 0.2 * 255 * random.standard_normal(piece.shape)
    changed = {
        "object": lambda: other[:1, row : row + SQUARE, column : column + SQUARE],
        "square": lambda: 255 * random.random(3),
        "inverted": lambda: 255 - piece,
        "noise": lambda: piece + noise,
        "fixed noise": lambda: piece + noise[:1],
        "darker": lambda: 0.7 * piece,
        "frozen": lambda: made[first - 1, row : row + SQUARE, column : column + SQUARE],
        "nothing": lambda: piece,
    }
    if kind in changed:
        made[where] = changed[kind]()
    elif kind == "foreign frames":
        made[first:stop] = other[first:stop]
    elif kind == "shuffled":
        made[first:stop] = made[first:stop][random.permutation(stop - first)]
    else:
        made[first:stop] = made[np.minimum(first + 2 * np.arange(stop - first), FRAMES - 1)]
    return np.rint(np.clip(made, 0, 255)).astype(np.uint8)


def areas(score: Score, kind: str, count: int) -> dict[str, float]:
    """Area under the ROC curve of each way to score, over all frames of all clips."""
    from sklearn.metrics import roc_auc_score

    happens = np.zeros((count, FRAMES), bool)
    scores: dict[str, list[Any]] = {}
    for number, (clip, other) in enumerate(zip(drawn(FIRST, count), drawn(FIRST + 1000, count), strict=True)):
        happens[number, slice(*stretch(number))] = True
        for way, found in score(put_in(kind, clip, other, number)).items():
            scores.setdefault(way, []).append(found)
    return {way: float(roc_auc_score(happens.ravel(), np.concatenate(each))) for way, each in scores.items()}


def main() -> None:
    """Score, write the table."""
    import torch

    from theodolite.theory.conformal import conformal_threshold
    from theodolite.video_unet.anomaly_scores import Scorer, frame_scores

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path(__file__).parent / "runs")
    parser.add_argument("--clips", type=int, default=24, help="of every kind")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    scorer = Scorer.load(trained("one", given.runs)[0], FRAMES)
    without = replace(scorer, network=torch.nn.Conv3d(3, 3, 1).requires_grad_(False))
    for weight in without.network.parameters():  # nothing is added to interpolation
        weight.zero_()

    def score(clip: Clip) -> dict[str, Any]:
        heat, made = scorer.heat(clip)
        return {
            CHANGES: frame_scores(heat),
            "the same, interpolation": frame_scores(without.heat(clip)[0]),
            "U-Net, error alone": ((made / 255.0 - clip / 255.0) ** 2).mean(axis=(1, 2, 3)),
        }

    table = {kind: areas(score, kind, given.clips) for kind in KINDS}
    usual, tested = (
        np.array([scorer.heat(clip)[0].max() for clip in drawn(FIRST + start, count)])
        for start, count in ((2000, NORMAL), (3000, TESTED))
    )
    alarms = np.mean(tested > conformal_threshold(usual, RATE))
    seen = [kind for kind, found in table.items() if found[CHANGES] >= GOAL]
    told = (
        f"# {__doc__.splitlines()[0]}\n\n"
        f"{made_by(__file__)}{given.clips} clips of each kind; what they are stands at the head of the script.\n\n"
        f"Goal: {GOAL:g}. Reached for: {', '.join(seen) or 'none'}.\n\n"
        f"| what happens | {' | '.join(table['nothing'])} |\n|---|{'---|' * len(table['nothing'])}\n"
        + "".join(
            f"| {kind} | {' | '.join(f'{value:.3f}' for value in row.values())} |\n" for kind, row in table.items()
        )
        + f"\nThe threshold for {RATE:.0%} of false alarms, from {NORMAL} normal clips, is exceeded by {alarms:.0%} of "
        f"{TESTED} others.\n"
    )
    Path(__file__).with_suffix(".md").write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
