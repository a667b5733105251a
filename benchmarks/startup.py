"""What `theodolite --help` costs beside what it must load anyway: CPU seconds of whole processes, medians.

Run: python benchmarks/startup.py
"""

import os
import platform
import statistics
import subprocess
import sys
import time

REPEATS = 15
COMMANDS = {
    "python, nothing imported": "pass",
    "cyclopts and pydantic alone": "import cyclopts, pydantic",
    "theodolite --help": "from theodolite.cli import main; main(['--help'])",
    "theodolite gan --help": "from theodolite.cli import main; main(['gan', '--help'])",
    "import theodolite": "import theodolite",
    "import torch, for comparison": "import torch",
}


def cpu_seconds(code: str) -> float:
    """User and system time of one fresh process."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Print a table in Markdown, commands interleaved so that none meets a quieter machine."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, code in COMMANDS.items():
            times[name].append(cpu_seconds(code))
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, python {platform.python_version()}"
    )
    print("\n| command | CPU seconds, median | smallest | largest |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f} | {max(seconds):.3f} |")


if __name__ == "__main__":
    main()
