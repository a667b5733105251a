"""Windows of a huge tiled TIFF: megapixels a CPU second and peak memory, beside tifffile and libvips.

Every reader reads the same file of 16,384 × 16,384 × 3 by windows of 128 px, row by row, in a process of its own:

    theodolite   open_image(…).window(…)
    tifffile     through its zarr store, one window a slice (where zarr is installed), and by hand: tiles are decoded
                 row by row of tiles and cut, as a user would do who knows the file
    libvips      pyvips.Region.fetch

All process the same windows in the same order, and the sum of all values must be the same. Then what else is done with
such images: windows grouped by content, everything checked, a map of labels written. Run as

    python benchmarks/image_windows.py [--side 16384] [--repeats 3] > benchmarks/image_windows.md
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

WINDOW, TILE = 128, 256
BLOCK = 2048


def write_files(folder: Path, side: int) -> None:
    """Write the same picture in deflate and in JPEG: half of it texture with fine grain, half empty."""
    import pyvips

    rng = np.random.default_rng(0)
    rows, columns = np.arange(BLOCK)[:, None], np.arange(BLOCK // 2)[None]
    texture = 128 + 60 * np.sin(rows / 40) + 40 * np.cos(columns / 30) + rng.integers(0, 8, (BLOCK, BLOCK // 2))
    block = np.full((BLOCK, BLOCK, 3), 240, np.uint8)
    block[:, : BLOCK // 2] = texture[..., None].astype(np.uint8)
    image = pyvips.Image.new_from_array(block).replicate(side // BLOCK, side // BLOCK)
    for coding, how in (("deflate", {"predictor": "horizontal"}), ("jpeg", {"Q": 90})):
        image.tiffsave(
            str(folder / f"{coding}.tif"), tile=True, tile_width=TILE, tile_height=TILE, compression=coding, **how
        )


def places(side: int) -> Iterator[tuple[int, int]]:
    """Windows row by row."""
    return ((top, left) for top in range(0, side, WINDOW) for left in range(0, side, WINDOW))


def with_theodolite(path: str, side: int) -> int:
    """Read all windows with ours."""
    from theodolite.data.large_images import open_image

    with open_image(path) as image:
        return sum(int(image.window(top, left, WINDOW, WINDOW).sum()) for top, left in places(side))


def with_libvips(path: str, side: int) -> int:
    """Read all windows with libvips, which gives bytes."""
    import pyvips

    region = pyvips.Region.new(pyvips.Image.tiffload(path, access="random"))
    fetched = (region.fetch(left, top, WINDOW, WINDOW) for top, left in places(side))
    return sum(int(np.frombuffer(window, np.uint8).reshape(WINDOW, WINDOW, 3).sum()) for window in fetched)


def with_tifffile_zarr(path: str, side: int) -> int:
    """Read all windows with tifffile's zarr store."""
    import tifffile
    import zarr

    store = tifffile.imread(path, aszarr=True)
    array: Any = zarr.open(store, mode="r")
    return sum(int(array[top : top + WINDOW, left : left + WINDOW].sum()) for top, left in places(side))


def with_tifffile_by_hand(path: str, side: int) -> int:
    """Read all windows with tifffile, a row of tiles at a time."""
    import tifffile

    total = 0
    with tifffile.TiffFile(path) as file:
        page, columns = file.pages[0], side // TILE
        handle = file.filehandle
        for row in range(side // TILE):
            band = np.empty((TILE, side, 3), np.uint8)
            for column in range(columns):
                number = row * columns + column
                handle.seek(page.dataoffsets[number])
                tile, _, _ = page.decode(handle.read(page.databytecounts[number]), number)
                band[:, column * TILE : (column + 1) * TILE] = tile
            for top in range(0, TILE, WINDOW):
                for left in range(0, side, WINDOW):
                    total += int(band[top : top + WINDOW, left : left + WINDOW].copy().sum())
    return total


def grouped(path: str, side: int) -> int:
    """Group the windows by content."""
    from theodolite.data.large_images import open_image
    from theodolite.data.window_groups import group_windows

    with open_image(path) as image:
        return group_windows(image, WINDOW).repeated


def checked(path: str, side: int) -> int:
    """Decode every tile once."""
    from theodolite.data.large_images import open_image

    with open_image(path) as image:
        image.check()
    return 0


def written(path: str, side: int) -> int:
    """Write a map of labels in blocks of 64 px, row of windows by row."""
    from theodolite.data.label_maps import LabelMap

    rng = np.random.default_rng(0)
    target = Path(path).with_name("labels.tif")
    with LabelMap(target, side, side) as file:
        for _ in range(side // WINDOW):
            labels = rng.integers(0, 6, (WINDOW // 64, side // 64), dtype=np.uint8)
            file.write(labels.repeat(64, axis=0).repeat(64, axis=1))
    return target.stat().st_size


JOBS: dict[str, Callable[[str, int], int]] = {
    "theodolite": with_theodolite,
    "tifffile, by hand": with_tifffile_by_hand,
    "tifffile, zarr": with_tifffile_zarr,
    "libvips": with_libvips,
    "windows grouped": grouped,
    "everything checked": checked,
    "labels written": written,
}


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def job(name: str, path: str, side: int) -> None:
    """Do one job in this process, and print what it cost."""
    for module in ("tifffile", "pyvips", "theodolite.data.label_maps", "theodolite.data.window_groups"):
        importlib.import_module(module)  # so that every process begins with the same
    if name == "tifffile, zarr":
        importlib.import_module("zarr")
    before, start, wall = peak(), time.process_time(), time.perf_counter()
    result = JOBS[name](path, side)
    print(json.dumps({"cpu": time.process_time() - start, "wall": time.perf_counter() - wall,
                      "memory": peak() - before, "result": result}))  # fmt: skip


def measure(name: str, path: Path, side: int, repeats: int) -> dict[str, float]:
    """Do a job several times, each in a process of its own; the median CPU time and the largest memory."""
    told = []
    for _ in range(repeats):
        command = [sys.executable, __file__, "--job", name, "--path", str(path), "--side", str(side)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told.append(json.loads(done.stdout))
    return {"cpu": float(np.median([each["cpu"] for each in told])), "memory": max(each["memory"] for each in told),
            "result": told[0]["result"]}  # fmt: skip


def finds_damage(name: str, path: Path, side: int) -> bool:
    """Whether a reader says that one bit of a tile in the middle of the file was changed."""
    import tifffile

    hurt = path.with_name("hurt.tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        middle = len(file.pages[0].dataoffsets) // 2 + 1
        place = file.pages[0].dataoffsets[middle] + file.pages[0].databytecounts[middle] // 2
    content[place] ^= 16
    hurt.write_bytes(content)
    command = [sys.executable, __file__, "--job", name, "--path", str(hurt), "--side", str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    hurt.unlink()
    return done.returncode != 0


def table(folder: Path, side: int, repeats: int) -> None:
    """Measure and print everything."""
    megapixels = side * side / 1e6
    readers = {
        "deflate": ["theodolite", "tifffile, by hand", "tifffile, zarr", "libvips"],
        "jpeg": ["theodolite", "libvips"],  # tifffile needs another package to read it
    }
    if importlib.util.find_spec("zarr") is None:
        readers["deflate"].remove("tifffile, zarr")
    print("| file | reader | megapixels a CPU second | CPU s | peak memory over base, MiB |")
    print("|---|---|---|---|---|")
    for coding, names in readers.items():
        found = {name: measure(name, folder / f"{coding}.tif", side, repeats) for name in names}
        assert len({each["result"] for each in found.values()}) == 1, "the readers do not agree"
        for name, cost in found.items():
            print(f"| {coding} | {name} | {megapixels / cost['cpu']:.0f} | {cost['cpu']:.1f} | {cost['memory']:.0f} |")
    print("\n| what else | CPU s | peak memory over base, MiB | |\n|---|---|---|---|")
    for name, unit in [("windows grouped", "windows that repeat others"), ("everything checked", ""),
                       ("labels written", "bytes")]:  # fmt: skip
        cost = measure(name, folder / "deflate.tif", side, repeats)
        said = f"{cost['result']:,} {unit}" if unit else ""
        print(f"| {name} | {cost['cpu']:.1f} | {cost['memory']:.0f} | {said} |")
    said = {name: finds_damage(name, folder / "deflate.tif", side) for name in readers["deflate"]}
    print("\nOne bit of a deflate tile changed, then all windows read: "
          + "; ".join(f"{name} {'refuses' if found else 'gives other pixels without a word'}"
                      for name, found in said.items()) + ".")  # fmt: skip


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job")
    parser.add_argument("--path")
    given = parser.parse_args()
    if given.job:
        job(given.job, given.path, given.side)
        return
    print(f"# Windows of a {given.side:,} × {given.side:,} tiled TIFF\n")
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pillow", "tifffile", "pyvips-binary"))
    load = f"other work beside it (load {os.getloadavg()[0]:.1f} at the start)"
    machine = f"{os.cpu_count()} cores, {platform.machine()}, python {platform.python_version()}"
    print(f"{date.today()}, {machine}, {packages}; {load}\n")
    print(f"Colour, tiles of {TILE} px, half texture with grain, half empty; windows of {WINDOW} px row by row; "
          f"medians of {given.repeats} processes each, their largest memory.\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), given.side)
        table(Path(folder), given.side, given.repeats)


if __name__ == "__main__":
    main()
