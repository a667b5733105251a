"""What a whole audit costs: CPU seconds, wall seconds and peak memory, each size in a process of its own.

Run: python benchmarks/coverage_speed.py [REALSxCOLUMNSxFAKES …], for example 20000x768x20000
"""

import os
import platform
import resource
import subprocess
import sys
import time

SIZES = ("1000x2x5000", "10000x64x10000", "20000x768x20000", "10000x64x100000")


def one(size):
    """Audit standard normal samples against standard normal samples and print a row."""
    import numpy as np

    from theodolite.coverage.audit import audit_coverage

    reals, columns, fakes = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(reals, columns)), rng.normal(size=(fakes, columns))
    cpu, wall = time.process_time(), time.perf_counter()
    audit_coverage(real, fake)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {reals:,} | {columns} | {fakes:,} | {cpu:.1f} | {wall:.1f} | {peak:.2f} |", flush=True)


def main():
    """Print a table in Markdown."""
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2])
        return
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}\n")
    print("| reals | columns | fakes | CPU s | wall s | peak GiB |\n|---|---|---|---|---|---|", flush=True)
    for size in sys.argv[1:] or SIZES:
        subprocess.run([sys.executable, __file__, "--one", size], check=True)


if __name__ == "__main__":
    main()
