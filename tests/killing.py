"""Trains a family in children that are killed without warning, and resumes it, until it was killed often enough.

``python -m tests.killing FAMILY FOLDER KILLS``; used by test_kills.py. A process of its own: it loads torch
once, starts no thread, and forks a child for every attempt.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import torch

from theodolite import families
from theodolite.kernel.runs import RunFolder

# a checkpoint after nearly every step: many kills fall while one is written
SETTINGS = {
    "linear-vae": {"steps": 40, "checkpoint_every": 2, "log_every": 3, "batch_size": 64},
    "gan": {"data": "ring8", "reals": 400, "width": 24, "steps": 40, "checkpoint_every": 2, "log_every": 3},
    "video-unet": {
        "steps": 12, "checkpoint_every": 1, "log_every": 2, "clips": 24, "held_out": 4,
        "frames": 3, "height": 12, "width": 12, "base": 3, "stages": 2,
    },
    "nested-vit": {
        "steps": 12, "checkpoint_every": 1, "log_every": 2, "batch_size": 1, "held_out": 2, "show_size": 0,
        "size": 64, "width": 16, "heads": 2, "local_blocks": 1, "global_blocks": 1,
    },
}  # fmt: skip
AIMS = ("last.ckpt.part", "model.safetensors.part", "metrics.jsonl.part", None, None, None, None, None)


def child(family, folder):
    """Fork a process that begins or continues a run, as a person would; return its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        if (folder / "plan.json").is_file():
            families.resume(folder)
        else:
            families.train(family, folder, force=True, device="cpu", **SETTINGS[family])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(number, wait=False):
    """Whether a child has come to its end, which must be a good one."""
    found, status = os.waitpid(number, 0 if wait else os.WNOHANG)
    if found and status:
        raise SystemExit(f"an attempt failed with status {status}")
    return bool(found)


def killed(number, folder, aim, delay):
    """Kill a child after so many seconds, or as soon as it writes the file aimed at; False if it ended before."""
    until = time.monotonic() + delay
    while not ((folder / aim).exists() if aim else time.monotonic() > until):
        if ended(number):
            return False
        time.sleep(0.0003)
    os.kill(number, signal.SIGKILL)
    _, status = os.waitpid(number, 0)
    return os.WIFSIGNALED(status)


def where(folder):
    """In which phase of its life a run is, by what it left."""
    if list(folder.glob("*.part")):
        return "writing " + " ".join(sorted(path.name for path in folder.glob("*.part")))
    for name, phase in (
        ("model.safetensors", "after the export"),
        ("last.ckpt", "between checkpoints"),
        ("plan.json", "before the first checkpoint"),
    ):
        if (folder / name).is_file():
            return phase
    return "before the plan"


def end(folder):
    """What must not depend on kills: the bytes of the weights, and the metrics without their times."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in RunFolder(folder).metrics()]
    return (folder / "model.safetensors").read_bytes(), rows


def main():
    """Compare the end of every run that was killed on its way with that of one that was not."""
    family, root, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    families.find(family).part("train")  # loaded once, here
    began = time.monotonic()
    ended(child(family, root / "whole"), wait=True)
    whole_seconds, expected = time.monotonic() - began, end(root / "whole")
    draw, phases, lives = random.Random(family), Counter(), 0
    while sum(phases.values()) < kills:
        lives += 1
        folder = root / f"life{lives}"
        while True:
            enough = sum(phases.values()) >= kills
            number = child(family, folder)
            if enough:
                ended(number, wait=True)
                break
            if not killed(number, folder, draw.choice(AIMS), draw.uniform(0, whole_seconds)):
                break
            phases[where(folder)] += 1
        weights, rows = end(folder)
        if weights != expected[0]:
            raise SystemExit(f"life {lives}: the weights differ after {dict(phases)}")
        if rows != expected[1]:
            raise SystemExit(f"life {lives}: the metrics differ: {rows} instead of {expected[1]}")
        if list(folder.glob("*.part")):
            raise SystemExit(f"life {lives}: drafts are left")
    print(json.dumps({"kills": sum(phases.values()), "lives": lives, "phases": phases}))


if __name__ == "__main__":
    main()
