"""What the report of a network shows that was trained on the user's images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from theodolite.data.image_sets import LabelledImage
from theodolite.kernel.exhibits import Chart, Exhibit, Gallery, Grid, Layer, Table
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.examples import MaskSource, opened
from theodolite.nested_vit.importance import DEFINITION, cells, importance
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.own_evaluation import Pass, Seen
from theodolite.nested_vit.own_images import OwnImages
from theodolite.nested_vit.windows import WindowSource

SHOWN = 6  # images
THUMBNAIL = 160  # px a side
STRIP = 256  # rows of an image that are read at a time for its thumbnail
MOST_CLASSES = 50  # rows of the table
# Okabe and Ito's colours; further classes begin again
COLOURS = np.array(
    [
        (0, 0, 0),
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    dtype=np.uint8,
)


def all_of(
    run: RunFolder,
    network: NestedViT,
    images: OwnImages,
    measured: Sequence[LabelledImage],
    seen: Seen,
    marks: bool,
) -> tuple[Exhibit, ...]:
    """All exhibits, in the order of the report."""
    # neighbours are of one class: those shown are spread over all
    shown = np.linspace(0, len(measured) - 1, min(SHOWN, len(measured))).astype(int).tolist()
    names = images.names(network.num_classes)
    if seen.dense:
        first: tuple[Exhibit, ...] = (_maps(run, network, measured, shown, seen, marks),)
    else:
        first = (
            _labels(run, network, measured, shown, seen, names),
            *_importance(run, network, [measured[place] for place in shown], names),
        )
    return (*first, *_learning(run, seen), _classes(seen, names))


def thumbnail(rows: Sequence[int], columns: Sequence[int], source: WindowSource) -> NDArray[np.uint8]:
    """The pixels in these rows and columns, read strip by strip, in colour of 8 bits."""
    kept = []
    at = np.asarray(rows)
    for top in range(0, source.height, STRIP):
        inside = at[(at >= top) & (at < top + STRIP)] - top
        if len(inside):
            strip = source.window(top, 0, min(STRIP, source.height - top), source.width)
            kept.append(strip[inside][:, np.asarray(columns)])
    pixels = np.concatenate(kept)
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)
    return np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[2] < 3 else pixels[..., :3]


def places(length: int, longest: int) -> NDArray[np.int64]:
    """Evenly spaced rows, or columns, of a thumbnail of an image whose longer side is `longest`."""
    count = max(1, min(length, round(THUMBNAIL * length / longest)))
    return np.asarray(((np.arange(count) + 0.5) * length / count).astype(np.int64))


def _framed(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures in the middle of frames of one size, on white; small ones enlarged by whole numbers."""
    frames = np.full((len(pictures), THUMBNAIL, THUMBNAIL, 3), 255, dtype=np.uint8)
    for frame, picture in zip(frames, pictures, strict=True):
        times = max(1, THUMBNAIL // max(picture.shape[:2]))
        large = picture.repeat(times, axis=0).repeat(times, axis=1)
        top, left = ((THUMBNAIL - length) // 2 for length in large.shape[:2])
        frame[top : top + large.shape[0], left : left + large.shape[1]] = large
    return frames


def _small(source: WindowSource) -> NDArray[np.uint8]:
    longest = max(source.height, source.width)
    return thumbnail(list(places(source.height, longest)), list(places(source.width, longest)), source)


def _maps(
    run: RunFolder,
    network: NestedViT,
    measured: Sequence[LabelledImage],
    shown: Sequence[int],
    seen: Seen,
    marks: bool,
) -> Gallery:
    """Held-out images half covered by the classes found, above those that are there."""
    found, true, labels = [], [], []
    for place in shown:
        image = measured[place]
        labels.append(f"{100 * seen.hits[place].sum() / max(seen.true[place].sum(), 1):.0f} % right")
        with opened(image, network.config, marks) as example:
            assert isinstance(example.truth, MaskSource)
            longest = max(image.height, image.width)
            rows, columns = places(image.height, longest), places(image.width, longest)
            picture = _small(example.image)
            top, kept = 0, []
            for strip in Pass(network, [example.image]).rows():
                inside = rows[(rows >= top) & (rows < top + len(strip))] - top
                kept.append(strip[inside][:, columns])
                top += len(strip)
            classes = thumbnail(list(rows), list(columns), example.truth)[..., 0]
        found.append(_coloured(picture, np.concatenate(kept)))
        true.append(_coloured(picture, classes))
    value, lowest, highest = seen.mean_iou()
    return Gallery(
        title=f"Held-out maps have a mean IoU of {value:.2f} ({lowest:.2f} to {highest:.2f})",
        caption="Colours: classes as found; below, as the masks have them. Class 0 is left as it is.",
        array=run.save_array("found", _framed(found)),
        labels=tuple(labels),
        row_name="found",
        nearest=run.save_array("truth", _framed(true)),
        nearest_labels=tuple("mask" for _ in shown),
        nearest_row_name="mask",
    )


def _coloured(picture: NDArray[np.uint8], classes: NDArray[np.integer]) -> NDArray[np.uint8]:
    number = classes.astype(np.int64)
    colour = COLOURS[np.where(number > 0, 1 + (number - 1) % (len(COLOURS) - 1), 0)]
    mixed = (0.5 * picture + 0.5 * colour).astype(np.uint8)
    return np.where((classes > 0)[..., None], mixed, picture).astype(np.uint8)


def _labels(
    run: RunFolder,
    network: NestedViT,
    measured: Sequence[LabelledImage],
    shown: Sequence[int],
    seen: Seen,
    names: tuple[str, ...],
) -> Gallery:
    """Held-out images with what they are called."""
    pictures, labels = [], []
    for place in shown:
        with opened(measured[place], network.config, False) as example:
            pictures.append(_small(example.image))
        said, true = int(seen.said[place].argmax()), int(seen.true[place].argmax())
        labels.append(names[said] if said == true else f"{names[said]}, is {names[true]}")
    right = sum("," not in label for label in labels)
    return Gallery(
        title=f"{right} of these {len(shown)} held-out images are named right",
        caption="Below each image what it is called, and, where that is wrong, what it is.",
        array=run.save_array("named", _framed(pictures)),
        labels=tuple(labels),
        row_name="held out",
    )


def _importance(
    run: RunFolder, network: NestedViT, shown: Sequence[LabelledImage], names: tuple[str, ...]
) -> tuple[Exhibit, ...]:
    """Maps of what each label rests on, for those images that can be covered in the most cells."""
    sides = [cells(network, image.height, image.width) for image in shown]
    side = max(sides)
    if not side:
        return ()
    shown = [image for image, fits in zip(shown, sides, strict=True) if fits == side]
    maps = []
    for image in shown:
        with opened(image, network.config, False) as example:
            maps.append(importance(network, example.image, image.label or 0, side))
    strongest = max(float(each.max()) for each in maps)
    return (
        Grid(
            title=f"Covering one of {side} × {side} cells takes up to {strongest:.2f} nats from the right label",
            caption=f"{DEFINITION} Images that are too small or too large for it are left out.",
            array=run.save_array("importance", np.stack(maps)),
            panel_names=tuple(names[image.label or 0] for image in shown),
            shared_scale=True,
        ),
    )


def _learning(run: RunFolder, seen: Seen) -> tuple[Exhibit, ...]:
    """Loss over the steps, and on held-out images."""
    rows = run.metrics()
    trained = [(row["step"], row["loss"], "training") for row in rows if "loss" in row]
    held_out = [(row["step"], row["held_out_loss"], "held out") for row in rows if "held_out_loss" in row]
    if len(held_out) < 2:
        return ()
    steps, values, series = (list(column) for column in zip(*trained, *held_out, strict=True))
    columns = {"step": steps, "loss": values, "images": series}
    return (
        Chart(
            title=f"The loss on held-out images came to {held_out[-1][1]:.3f} nats on the few looked at on the way",
            caption="Cross-entropy of the batches, and of a few held-out images, always the same ones.",
            layers=(Layer(mark="line", columns=columns, x="step", y="loss", color="images"),),
            x_title="step",
            y_title="nats",
        ),
    )


def _classes(seen: Seen, names: tuple[str, ...]) -> Table:
    """Each class with its interval, the worst first."""
    rows = []
    for number, name in enumerate(names[: seen.hits.shape[1]]):
        value, lowest, highest = seen.of_class(number)
        there = int(seen.true[:, number].sum())
        if there or seen.said[:, number].any():
            rows.append((name, round(value, 3), round(lowest, 3), round(highest, 3), there))
    rows.sort(key=lambda row: row[1])
    what = "IoU" if seen.dense else "named right"
    left = f" The {MOST_CLASSES} worst of {len(rows)} classes." if len(rows) > MOST_CLASSES else ""
    return Table(
        title=f"The worst class, {rows[0][0]}, has {rows[0][1]:.2f}, the best {rows[-1][1]:.2f}",
        caption=f"Of each class {what} on held-out images, and the 95% interval.{left}",
        columns=("class", what, "from", "to", "pixels" if seen.dense else "images"),
        rows=tuple(rows[:MOST_CLASSES]),
    )
