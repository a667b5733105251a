"""What a whole audit costs: CPU seconds, wall seconds and peak memory, each size in a process of its own.

Run: python benchmarks/coverage_speed.py [REALSxCOLUMNSxFAKES …], for example 20000x768x20000; with the package prdc
installed, its four numbers at 20000 × 768 stand beside. The result is written beside this file.
"""

import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

SIZES = ("1000x2x5000", "10000x64x10000", "20000x768x20000", "10000x64x100000")
BESIDE = "20000x768x20000"


def one(who, size):
    """Measure one of them on standard normal samples against standard normal samples, and print it as JSON."""
    import numpy as np

    if who == "prdc":
        from prdc import compute_prdc
    else:
        from theodolite.coverage.audit import audit_coverage

    reals, columns, fakes = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(reals, columns)), rng.normal(size=(fakes, columns))
    cpu, wall = time.process_time(), time.perf_counter()
    if who == "prdc":
        compute_prdc(real, fake, 5)
    else:
        audit_coverage(real, fake)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps([cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))


def measured(who, size):
    """Measure in a fresh process."""
    told = subprocess.run([sys.executable, __file__, "--one", who, size], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def main():
    """Measure and write the table."""
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
        return
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    told = (
        "# How long an audit takes\n\n"
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}; threads: {threads}; load "
        f"{os.getloadavg()[0]:.1f} at the start\n\n"
        "| who | reals | columns | fakes | CPU s | wall s | peak GiB |\n|---|---|---|---|---|---|---|\n"
    )
    found = {}
    for size in sys.argv[1:] or SIZES:
        for who in ("the audit", "prdc"):
            if who == "prdc" and (size != BESIDE or importlib.util.find_spec("prdc") is None):
                continue
            cpu, wall, peak = found[who, size] = measured(who, size)
            reals, columns, fakes = map(int, size.split("x"))
            told += f"| {who} | {reals:,} | {columns} | {fakes:,} | {cpu:.1f} | {wall:.1f} | {peak:.2f} |\n"
            print(told.splitlines()[-1], flush=True)
    if ("prdc", BESIDE) in found:
        less = [theirs / ours for theirs, ours in zip(found["prdc", BESIDE], found["the audit", BESIDE], strict=True)]
        told += (
            "\nAt 20,000 × 768 the whole audit takes "
            f"{less[0]:.1f} times less processor time, {less[1]:.1f} times less time and {less[2]:.1f} times less "
            "memory than the four numbers of prdc.\n"
        )
    Path(__file__).with_suffix(".md").write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
