"""Processor time and memory of one pass over rows in a file, against their number n and width d.

Run: python benchmarks/linear_vae_curves.py [--quick]; a dated table and two charts are written beside this file. Every
point is a process of its own; its memory is what it holds at most beyond what it held when the file was opened.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from theodolite.data.rows import open_rows
from theodolite.kernel.exhibits import Chart, Layer
from theodolite.linear_vae.spectra import leading
from theodolite.report.figures import chart_svg

K = 16
LENGTHS = (25_000, 50_000, 100_000, 200_000, 400_000)  # rows, at WIDTH
WIDTHS = (64, 128, 256, 512, 1024)  # features, at LENGTH
WIDTH, LENGTH = 256, 50_000
REPEATS = 3
PART = 10_000  # rows written at once
Point = dict[str, float]


def write(path: Path, n: int, d: int) -> None:
    """Write n rows of K directions in noise as a ``.npy`` file, a part at a time."""
    random = np.random.default_rng(0)
    factors = np.linalg.qr(random.standard_normal((d, K)))[0].T * np.sqrt(np.geomspace(d, d / 10, K))[:, None]
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, PART):
        size = min(PART, n - start)
        rows[start : start + size] = random.standard_normal((size, d), dtype=np.float32)
        rows[start : start + size] += random.standard_normal((size, K)) @ factors
    rows.flush()


def peak_bytes() -> int:
    """Return the most memory this process has held."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux getrusage begins with the memory of the process that started this one
        return 1024 * int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def child(path: str) -> None:
    """Measure in this process."""
    rows = open_rows(path)
    leading(np.random.default_rng(0).standard_normal((2 * K, rows.shape[1]), dtype=np.float32), K)  # libraries warm
    base = peak_bytes()
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        leading(rows, K)
        seconds.append(time.process_time() - began)
    print(json.dumps({"seconds": float(np.median(seconds)), "bytes": peak_bytes() - base}))


def measure(n: int, d: int) -> Point:
    """Write rows, and measure a process that reads them."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        write(path, n, d)
        command = [sys.executable, __file__, "--child", str(path)]
        told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"n": n, "d": d, **json.loads(told)}


def slope(points: list[Point], axis: str, value: str) -> float:
    """Return the exponent: of a straight line through the logarithms."""
    x, y = (np.log([point[name] for point in points]) for name in (axis, value))
    return float(np.polyfit(x, y, 1)[0])


def chart(points: list[Point], axis: str, title: str, x_title: str) -> Chart:
    """Draw time and memory, each as a multiple of its first, beside the first power of the axis."""
    first = points[0]
    columns: dict[str, list[Any]] = {"x": [], "y": [], "what": []}
    for value, name in (("seconds", "processor time"), ("bytes", "memory")):
        columns["x"] += [point[axis] for point in points]
        columns["y"] += [point[value] / first[value] for point in points]
        columns["what"] += [name] * len(points)
    ends = [points[0][axis], points[-1][axis]]
    linear = {"x": ends, "y": [1.0, ends[1] / ends[0]], "what": ["in proportion"] * 2}
    return Chart(
        title=title,
        caption="Both axes are logarithmic; each curve begins at 1.",
        layers=(
            Layer(mark="line", columns=linear, x="x", y="y", color="what", dashed=True),
            Layer(mark="line", columns=columns, x="x", y="y", color="what"),
            Layer(mark="point", columns=columns, x="x", y="y", color="what"),
        ),
        x_title=x_title,
        y_title="times the first",
        x_scale="log",
        y_scale="log",
        roles={"in proportion": "theory", "processor time": "real", "memory": "generated"},
    )


def main(quick: bool = False) -> None:
    """Measure both curves, and write them as a table and as charts."""
    lengths, widths = (LENGTHS[:3], WIDTHS[:3]) if quick else (LENGTHS, WIDTHS)
    curves = {
        "n": ([measure(n, WIDTH) for n in lengths], f"rows n, of {WIDTH} features"),
        "d": ([measure(LENGTH, d) for d in widths], f"features d, of {LENGTH:,} rows"),
    }
    here = Path(__file__)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, numpy {np.__version__}"
    text = f"{time.strftime('%Y-%m-%d')}, {machine}; one thread, float32, k = {K}\n"
    for axis, (points, words) in curves.items():
        times, memory = slope(points, axis, "seconds"), slope(points, axis, "bytes")
        text += f"\nAgainst {words}: time grows as {axis}^{times:.2f}, memory as {axis}^{memory:.2f}.\n\n"
        text += "| n | d | CPU seconds, median | MiB held at most |\n|---|---|---|---|\n"
        for point in points:
            text += f"| {point['n']:,} | {point['d']:,} | {point['seconds']:.3f} | {point['bytes'] / 2**20:.1f} |\n"
        name = f"{here.stem}_{axis}.svg"
        title = f"Time grows as {axis}^{times:.2f}, memory as {axis}^{memory:.2f}"
        here.with_name(name).write_text(chart_svg(chart(points, axis, title, words)), encoding="utf-8")
        text += f"\n![{title}]({name})\n"
    print(text)
    here.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[-1])
    else:
        main("--quick" in sys.argv)
