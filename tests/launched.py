"""Processes of torchrun for the tests: started, counted, awaited. Run as a program, it trains what it is told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from theodolite import families

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


def launcher(processes):
    """The words before a command that start it so many times; without torchrun for one."""
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    return [sys.executable, *several]


def start(processes, *words):
    """A command, started."""
    return subprocess.Popen(
        [*launcher(processes), *words], env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(processes, *words):
    """A command, run to its end."""
    process = start(processes, *words)
    process.stdout_text, process.stderr_text = process.communicate(timeout=250)
    return process


def train_all(processes, jobs):
    """Train all of [(family, out, fields), …] in one launch; "line" is the engine's test task."""
    done = run(processes, str(Path(__file__)), json.dumps(jobs))
    assert done.returncode == 0, done.stderr_text


def workers_of(process):
    """Ids of the processes that a launcher has started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=60.0):
    """Wait; False if it never came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def main():
    from tests.engine.line import Line, make_run

    from theodolite.engine.loop import fit
    from theodolite.kernel.launch import is_first_process
    from theodolite.kernel.runs import RunFolder
    from theodolite.kernel.settings import TrainSettings

    for name, out, fields in json.loads(sys.argv[1]):
        if name != "line":
            families.train(name, out, device="cpu", **fields)
            continue
        training, folder = TrainSettings(device="cpu", **fields), RunFolder(Path(out))
        if is_first_process() and not folder.path.exists():
            make_run(folder.path, **fields)
        fit(Line(), training, folder)


if __name__ == "__main__":
    main()
