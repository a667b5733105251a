"""The user's own images: found by their headers, divided, and what they decide of the network. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from theodolite.data.image_sets import ImageSet, LabelledImage, Split, count_mask_values, find_images, split
from theodolite.data.names import said
from theodolite.kernel.errors import DataError, UsageError
from theodolite.nested_vit.config import NestedViTConfig

HELD_OUT_SHARE = 0.2
DIVISION = 0  # which of the divisions: the same whatever the seed of the training
MEMORY = 2 * 2**30  # bytes a training step may hold, where the settings leave it open
UNKNOWN = 255  # in masks of at most 255 classes: pixels that count nothing

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Masks:
    """What masks hold.

    Attributes
    ----------
    counts : ndarray of shape (images, values), int64
        Pixels of each class in each image of the set.
    marks : bool
        Whether they hold 0 and 255 alone, as drawing programs write them: 255 is then class 1.
    """

    counts: Counts
    marks: bool


@dataclass(frozen=True)
class OwnImages:
    """A set of images, divided.

    Attributes
    ----------
    all : ImageSet
        As found.
    division : Split
        Which of them are held out; it depends on their content alone.
    """

    all: ImageSet
    division: Split

    @property
    def dense(self) -> bool:
        """Whether pixels are told, by masks."""
        return self.all.form == "pairs"

    @property
    def training(self) -> tuple[LabelledImage, ...]:
        """Images that are trained on."""
        return tuple(self.all.images[place] for place in self.division.training)

    @property
    def largest(self) -> LabelledImage:
        """The image of most pixels."""
        return max(self.all.images, key=lambda image: image.height * image.width)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        return self.all.notes + self.division.notes

    def measured(self, most: int) -> Counts:
        """Places of at most so many held-out images, drawn once for all."""
        held_out = self.division.held_out
        drawn = np.random.default_rng(DIVISION).permutation(len(held_out))[:most]
        return np.asarray(held_out[np.sort(drawn)])

    def names(self, classes: int) -> tuple[str, ...]:
        """Names of the classes; of masks, their numbers."""
        return self.all.classes or tuple(map(str, range(max(classes, 2))))


def find(config: NestedViTConfig) -> OwnImages:
    """Find and divide the images that the settings name; files are read, none is decoded.

    Raises
    ------
    DataError
        If there is no such set, or a file's header is damaged or claims what cannot be; see `find_images`.
    """
    found = find_images(config.data)
    return OwnImages(found, split(found, HELD_OUT_SHARE, DIVISION))


def count_masks(images: OwnImages, classes: int | None = None) -> Masks:
    """Decode all masks and count their classes, image by image.

    Parameters
    ----------
    images : OwnImages
        With masks.
    classes : int or None
        How many there may be; None for as many as there are.

    Raises
    ------
    DataError
        If a mask is damaged or holds other numbers than classes and, for pixels that nobody knows, 255; or if all
        pixels are of one class.
    """
    each = [count_mask_values(replace(images.all, images=(image,))) for image in images.all.images]
    held = sorted({int(value) for counts in each for value in np.flatnonzero(counts)})
    marks = held in ([0, UNKNOWN], [UNKNOWN])
    if marks:
        each = [counts[[0, UNKNOWN]] if len(counts) > UNKNOWN else counts[:1] for counts in each]
    else:
        _check_values(images, each, held, classes)
    known = [value for value in held if value != UNKNOWN or held[-1] > UNKNOWN]
    width = 2 if marks else max(2, classes or 0, *(value + 1 for value in known))
    table = np.stack([np.pad(counts[:width], (0, max(width - len(counts), 0))) for counts in each])
    if np.count_nonzero(table.sum(axis=0)) < 2:
        raise DataError(f"all masks of {said(images.all.images[0].path.parent.parent)} are of one class; give others")
    return Masks(table, marks)


def _check_values(images: OwnImages, each: list[Counts], held: list[int], classes: int | None) -> None:
    """Refuse masks that hold more than the classes asked for."""
    most = max(classes, 2) if classes else held[-1] + 1
    for image, counts in zip(images.all.images, each, strict=True):
        beyond = [int(value) for value in np.flatnonzero(counts) if value >= most]
        if beyond and beyond != [UNKNOWN]:
            raise DataError(
                f"{said(image.mask or image.path)} holds {beyond[0]}, and classes={classes} allows 0 to {most - 1}, "
                f"and {UNKNOWN} for pixels that nobody knows; give more --classes, or correct the mask"
            )


def settle(config: NestedViTConfig, images: OwnImages, masks: Masks | None) -> NestedViTConfig:
    """Fill in what the images decide: target, channels, classes; and a bound on memory where none is set.

    Raises
    ------
    UsageError
        If a setting that was given contradicts them.
    """
    target = "dense" if images.dense else "label"
    given = config.model_fields_set
    if "target" in given and config.target != target:
        form = "masks, which tell pixels" if images.dense else "labels, which tell whole images"
        raise UsageError(f"target={config.target} was asked for, but {config.data} has {form}; leave --target out")
    fields = {
        "target": target,
        "channels": _channels(config, images) if "channels" in given else images.all.channels,
        "classes": _classes(config, images, masks),
        "memory": config.memory or MEMORY,
    }
    return NestedViTConfig.build(**config.model_dump() | fields)


def _channels(config: NestedViTConfig, images: OwnImages) -> int:
    if config.channels > 4:
        raise UsageError(f"channels={config.channels} was asked for; image files have 1 to 4: leave --channels out")
    if config.channels < 3 and images.all.channels == 3:
        raise UsageError(
            f"channels={config.channels} was asked for, but {config.data} holds images in colour, which are not made "
            "grey; leave --channels out"
        )
    return config.channels


def _classes(config: NestedViTConfig, images: OwnImages, masks: Masks | None) -> int:
    if images.dense:
        return config.classes or (masks.counts.shape[1] if masks else 2)
    found = len(images.all.classes)
    if config.classes not in (None, found):
        raise UsageError(f"classes={config.classes} was asked for, but {config.data} has {found}; leave --classes out")
    return found


def shares(counts: Iterable[Counts] | Counts, classes: int) -> NDArray[np.float64]:
    """Share of each class among what is trained on, one added to each: what the best constant answer says."""
    total = np.sum(np.asarray(list(counts)), axis=0) + 1.0
    return np.asarray(total / total.sum(), dtype=np.float64)[: max(classes, 2)]


def constant_loss(counts: Counts, said_shares: NDArray[np.float64]) -> float:
    """Mean cross-entropy in nats of the answer that gives every pixel, or image, these shares; images count alike.

    Holds when: it is measured on images with these counts of each class.
    Source: the definition of the cross-entropy.
    """
    p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # − Σ_c p_c log q_c, the mean over images
    return float(-(p @ np.log(said_shares)).mean())


def label_counts(images: Iterable[LabelledImage], classes: int) -> Counts:
    """One row an image, 1 at its label."""
    return np.eye(classes, dtype=np.int64)[[image.label or 0 for image in images]]
