"""Sets of images with labels or masks in a user's files: found and checked by their headers, nothing decoded.

Three forms: a folder for each class; a ``.csv`` file with columns ``path`` and ``label``; folders ``images`` and
``masks`` whose files have equal stems.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theodolite.data.large_images import FORMATS, LargeImage, open_image
from theodolite.data.names import said
from theodolite.kernel.errors import DataError, TheodoliteError, UsageError

LARGEST_CSV = 256 * 2**20
WINDOW = 1024  # px; masks are checked by windows of this side
FORMS = "a folder for each class, a .csv with columns path and label, or folders images and masks"

Form = Literal["folders", "csv", "pairs"]


@dataclass(frozen=True)
class LabelledImage:
    """One image of a set, as its header says.

    Attributes
    ----------
    path : Path
        Of the image.
    height, width : int
        Pixels, upright.
    channels, bits : int
        As `LargeImage` has them.
    label : int or None
        Index into the set's classes; None where there is a mask.
    mask : Path or None
        Of the mask, which is of the image's size; None where there is a label.
    """

    path: Path
    height: int
    width: int
    channels: int
    bits: int
    label: int | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images with labels, or with masks.

    Attributes
    ----------
    form : {"folders", "csv", "pairs"}
        How they were given.
    images : tuple of LabelledImage
        In the order of class and name, of the csv's lines, or of stems.
    classes : tuple of str
        Names in sorted order, by number where all are whole numbers; empty where there are masks.
    notes : tuple of str
        What a reader must know, a line each.
    """

    form: Form
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """3 if any image is in colour, else 1: what to ask `open_image` for, so that all are alike."""
        return 3 if any(image.channels > 2 for image in self.images) else 1

    def counts(self) -> dict[str, int]:
        """Count the images of each class."""
        found = Counter(image.label for image in self.images)
        return {name: found[place] for place, name in enumerate(self.classes)}


class Split(NamedTuple):
    """A division of a set.

    Attributes
    ----------
    training, held_out : ndarrays of int64
        Places of images in their set, rising.
    notes : tuple of str
        What a reader must know, a line each.
    sha256 : str
        Of all files, masks too, and their labels: the same for the same content, whatever its names.
    """

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    notes: tuple[str, ...]
    sha256: str


def find_images(path: str | Path) -> ImageSet:
    """Find a set of images and check it by the headers of all files.

    Parameters
    ----------
    path : str or Path
        A folder of folders, a ``.csv`` file whose paths are taken from its own folder, or a folder that holds folders
        ``images`` and ``masks``. Names that begin with a dot are passed over; folders are not entered further.

    Raises
    ------
    DataError
        If there is no such set; if files cannot be read, are missing or have no partner, or a mask is of another size
        than its image or in colour. The line names the first and says how many there are.
    """
    root = Path(path)
    if root.is_file() and root.suffix.lower() == ".csv":
        return _from_csv(root)
    if not root.is_dir():
        raise DataError(f"no set of images at {said(root)}; give {FORMS}")
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return _from_pairs(root)
    return _from_folders(root)


def split(images: ImageSet, held_out_share: float, seed: int) -> Split:
    """Divide a set into images to train on and images held out, by the content of the files.

    Equal files stay on one side, whatever their names: nothing that was trained on is held out. Each class is divided
    by itself. The side of a file depends on its content, the seed and the rest of its class, on no order or name.

    Parameters
    ----------
    images : ImageSet
        Their files are read, not decoded.
    held_out_share : float
        In (0, 1); at least one file of each class that has two different ones is held out, and one is trained on.
    seed : int
        Which of the divisions.

    Raises
    ------
    UsageError
        If the share is not within (0, 1).
    DataError
        If a file cannot be read, or no class has two different files.
    """
    if not 0 < held_out_share < 1:
        raise UsageError(f"a share of {held_out_share:g} cannot be held out; give one between 0 and 1")
    alike: dict[bytes, list[int]] = {}
    contents = []
    for place, image in enumerate(images.images):
        digest = _digest(image.path)
        alike.setdefault(digest, []).append(place)
        told = _digest(image.mask) if image.mask else images.classes[image.label or 0].encode()
        contents.append(hashlib.sha256(digest + told).digest())
    sha256 = hashlib.sha256(b"".join(sorted(contents))).hexdigest()
    of_class: dict[int | None, list[bytes]] = {}
    for digest, places in alike.items():
        of_class.setdefault(images.images[places[0]].label, []).append(digest)
    held_out: list[int] = []
    for digests in of_class.values():
        shuffled = sorted(digests, key=lambda digest: hashlib.sha256(f"{seed} ".encode() + digest).digest())
        wanted = max(1, round(held_out_share * len(digests)))
        for digest in shuffled[: min(wanted, len(digests) - 1)]:
            held_out += alike[digest]
    if not held_out:
        raise DataError("no class has two different images, of which one could be held out; give more")
    training = np.setdiff1d(np.arange(len(images.images)), held_out)
    notes = tuple(_split_notes(images, alike, of_class))
    return Split(training, np.array(sorted(held_out), dtype=np.int64), notes, sha256)


def check_images(images: ImageSet) -> None:
    """Decode every image once, by tiles where a file has some, so that damage is found before time is spent.

    Raises
    ------
    DataError
        If a file is damaged, however far inside. The line names the first and says how many there are.
    """
    problems = []
    for each in images.images:
        try:
            with open_image(each.path, channels=images.channels) as image:
                image.check()
        except TheodoliteError as error:
            problems.append(error)
    if problems:
        raise type(problems[0])(f"{problems[0]}{_and_more(len(problems))}")


def count_mask_values(images: ImageSet, classes: int | None = None, ignored: int | None = None) -> NDArray[np.int64]:
    """Decode all masks, by windows, and count the pixels of each value.

    Parameters
    ----------
    images : ImageSet
        With masks.
    classes : int, optional
        How many there may be; any number up to 65,536 without it.
    ignored : int, optional
        A value that marks pixels of no class, and is not counted.

    Returns
    -------
    ndarray of shape (classes,), int64
        Pixels of the values 0, 1, …; up to the largest that occurs, where `classes` is not given.

    Raises
    ------
    DataError
        If a mask is damaged or holds a larger value; the line names it and the place.
    """
    counts = np.zeros(2**16, dtype=np.int64)
    for image in images.images:
        if image.mask is None:
            raise UsageError(f"{said(image.path)} has a label, no mask; nothing is to be counted")
        with open_image(image.mask, labels=True) as mask:
            for top, left, values in _windows(mask):
                kept = values if ignored is None else values[values != ignored]
                if classes is not None and kept.size and kept.max() >= classes:
                    wrong = (values >= classes) & (True if ignored is None else values != ignored)
                    row, column = np.argwhere(wrong)[0]
                    raise DataError(
                        f"{said(image.mask)} holds {values[row, column]} at row {top + row}, column {left + column}; "
                        f"masks hold 0 to {classes - 1}"
                    )
                counts += np.bincount(kept.ravel(), minlength=2**16)
    largest = int(np.flatnonzero(counts)[-1]) if counts.any() else -1
    return counts[: classes or largest + 1]


def _from_folders(root: Path) -> ImageSet:
    folders = [each for each in _listed(root) if each.is_dir()]
    if len(folders) < 2:
        raise DataError(f"{said(root)} holds {len(folders)} folders; at least two classes are needed: give {FORMS}")
    folders.sort(key=_order_of([folder.name for folder in folders]))
    files = [(file, label) for label, folder in enumerate(folders) for file in _image_files(folder)]
    found = {label for _, label in files}
    if empty := [folder for label, folder in enumerate(folders) if label not in found]:
        raise DataError(f"{said(empty[0])} holds no images; fill the folder or remove it{_and_more(len(empty))}")
    others = sum(len(_listed(folder)) for folder in folders) - len(files)
    notes = (f"{others} other files in the folders of {said(root)} were passed over",) if others else ()
    images = _read_headers((file, label, None) for file, label in files)
    return ImageSet("folders", images, tuple(said(folder.name) for folder in folders), notes)


def _from_csv(path: Path) -> ImageSet:
    if path.stat().st_size > LARGEST_CSV:
        raise DataError(f"{said(path)} is larger than {LARGEST_CSV / 2**20:.0f} MiB; divide it")
    rows: list[tuple[Path, str, int]] = []
    lines: dict[Path, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if not {"path", "label"} <= set(table.fieldnames or ()):
                raise DataError(f"{said(path)} has no columns path and label in its first line; name them so")
            for row in table:
                where, label = row["path"], (row["label"] or "").strip()
                if not where or not label or "\0" in where:
                    raise DataError(f"{said(path)}, line {table.line_num}: path and label are needed")
                image = path.parent / where
                if image in lines:
                    raise DataError(
                        f"{said(path)}, line {table.line_num} repeats the path of line {lines[image]}: {said(image)}"
                    )
                lines[image] = table.line_num
                rows.append((image, label, table.line_num))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{said(path)} cannot be read as comma-separated text: {_first_line(error)}") from None
    if missing := [(image, line) for image, _, line in rows if not image.is_file()]:
        raise DataError(
            f"{said(path)}, line {missing[0][1]}: no file at {said(missing[0][0])}{_and_more(len(missing))}"
        )
    names = sorted({label for _, label, _ in rows}, key=_order_of([label for _, label, _ in rows]))
    if len(names) < 2:
        raise DataError(f"{said(path)} names {len(names)} classes; at least two are needed")
    numbers = {name: number for number, name in enumerate(names)}
    images = _read_headers((image, numbers[label], None) for image, label, _ in rows)
    return ImageSet("csv", images, tuple(said(name) for name in names), ())


def _from_pairs(root: Path) -> ImageSet:
    images, masks = (_by_stem(root / name) for name in ("images", "masks"))
    for some, others, lacks in ((images, masks, "no mask"), (masks, images, "no image")):
        if alone := sorted(some.keys() - others.keys()):
            raise DataError(
                f"{said(some[alone[0]])} has {lacks} of the same name{_and_more(len(alone))}; complete or remove it"
            )
    if not images:
        raise DataError(f"{said(root / 'images')} holds no images")
    stems = sorted(images)
    found = _read_headers((images[stem], None, masks[stem]) for stem in stems)
    passed = sum(len(_listed(root / name)) for name in ("images", "masks")) - 2 * len(stems)
    notes = (f"{passed} other files in images and masks of {said(root)} were passed over",) if passed else ()
    return ImageSet("pairs", found, (), notes)


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in _image_files(folder):
        if file.stem in found:
            raise DataError(f"{said(found[file.stem])} and {said(file)} have one name; which belongs to the partner?")
        found[file.stem] = file
    return found


def _read_headers(files: Iterable[tuple[Path, int | None, Path | None]]) -> tuple[LabelledImage, ...]:
    images, problems = [], []
    for path, label, mask in files:
        try:
            with open_image(path) as image:
                sides = (image.height, image.width)
                images.append(LabelledImage(path, *sides, image.channels, image.bits, label, mask))
            if mask is not None:
                _check_mask(mask, path, sides)
        except TheodoliteError as error:
            problems.append(error)
    if problems:
        raise type(problems[0])(f"{problems[0]}{_and_more(len(problems))}")
    return tuple(images)


def _check_mask(path: Path, image: Path, sides: tuple[int, int]) -> None:
    with open_image(path, labels=True) as mask:
        if mask.channels != 1:
            raise DataError(f"{said(path)} has {mask.channels} channels; a mask has one, the number of a class")
        if (mask.height, mask.width) != sides:
            raise DataError(
                f"{said(path)} is {mask.height} × {mask.width}, its image {said(image)} {sides[0]} × {sides[1]}; "
                f"bring both to one size"
            )


def _windows(mask: LargeImage) -> Iterable[tuple[int, int, NDArray[Any]]]:
    for top in range(0, mask.height, WINDOW):
        for left in range(0, mask.width, WINDOW):
            sides = min(WINDOW, mask.height - top), min(WINDOW, mask.width - left)
            yield top, left, mask.window(top, left, *sides)[..., 0]


def _split_notes(
    images: ImageSet, alike: dict[bytes, list[int]], of_class: dict[int | None, list[bytes]]
) -> Iterable[str]:
    if copies := len(images.images) - len(alike):
        yield f"{copies:,} files repeat others, byte by byte; copies stay on one side of the division"
    if contradictory := sum(len({images.images[place].label for place in places}) > 1 for places in alike.values()):
        yield f"{contradictory:,} files occur with different labels; such images cannot be told apart"
    if single := [label for label, digests in of_class.items() if len(digests) == 1 and label is not None]:
        yield f"class {images.classes[single[0]]} has one image, none is held out{_and_more(len(single))}"


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"cannot read {said(path)}: {error.strerror or error}") from None


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot list {said(folder)}: {error.strerror or error}") from None


def _image_files(folder: Path) -> list[Path]:
    return [file for file in _listed(folder) if file.suffix.lower() in FORMATS and file.is_file()]


def _order_of(names: list[str]) -> Callable[[Path | str], tuple[int, str]]:
    """By number where all names are whole numbers, else by name."""
    numbers = all(name.isascii() and name.isdigit() and len(name) < 20 for name in names)

    def key(each: Path | str) -> tuple[int, str]:
        name = each.name if isinstance(each, Path) else each
        return (int(name) if numbers else 0), name

    return key


def _and_more(count: int) -> str:
    return f" (the first of {count:,})" if count > 1 else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
