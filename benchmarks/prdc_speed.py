"""Time and memory of prdc's four numbers, beside prdc itself.

Both in a process of their own and in turns; ``--ours`` measures only ours, ``--sizes 20000x64`` some of the sizes.
The result is written beside this file.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZES = ("2000x64", "20000x64", "20000x768", "50000x768")
TOO_LARGE_FOR_PRDC = 30_000  # it would need 12 bytes for each of 50,000² pairs
LABELS = {"ours": "theodolite", "prdc": "prdc"}


def child(who: str, size: str) -> None:
    """Measure one of them and print what was found as JSON."""
    n, d = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    real = rng.standard_normal((n, d), dtype=np.float32)
    fake = rng.standard_normal((n, d), dtype=np.float32) * np.float32(0.95)
    if who == "ours":
        from theodolite.coverage.metrics import prdc as measure
    else:
        from prdc import compute_prdc as measure
    measure(real[:100], fake[:100], 5)  # what is loaded at first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    found = measure(real, fake, 5)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    values = {name: float(value) for name, value in found.items()}
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": memory, "values": values}))


def measured(who: str, size: str) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    command = [sys.executable, __file__, "--child", who, size]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(told.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scikit-learn", "prdc"))
    text = (
        "# prdc's four numbers\n\n"
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {versions}; other work beside it "
        f"(load {os.getloadavg()[0]:.1f} at the start)\n\n"
        "Gaussian samples in float32, k = 5, as many generated as real.\n\n"
        "| samples × width | who | wall s | CPU s | memory above the samples, MiB | largest difference |\n"
        "|---|---|---|---|---|---|\n"
    )
    for size in given.sizes:
        found = {"ours": measured("ours", size)}
        if not given.ours and int(size.split("x")[0]) <= TOO_LARGE_FOR_PRDC:
            found["prdc"] = measured("prdc", size)
        for who, one in found.items():
            apart = max(abs(one["values"][name] - value) for name, value in found["ours"]["values"].items())
            seconds = f"{one['wall']:.1f} | {one['cpu']:.1f}"
            text += f"| {size} | {LABELS[who]} | {seconds} | {one['memory']:,.0f} | {apart:.0e} |\n"
        if "prdc" in found:
            faster = [found["prdc"][clock] / found["ours"][clock] for clock in ("wall", "cpu")]
            text += f"| {size} | **times as fast** | **{faster[0]:.0f}** | **{faster[1]:.0f}** | | |\n"
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
