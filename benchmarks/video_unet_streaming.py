"""A video streamed through a U-Net against one pass over the whole: difference, memory, work.

Run: python benchmarks/video_unet_streaming.py [THREADS]     writes video_unet_streaming.md beside itself

The difference is the largest, as a share of the result's largest value; both results also against float64. Memory is
the most that a process of its own held, beyond what it held when the network was built. Work is counted by torch's own
counter, on tensors without memory.
"""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.streaming import streamed

ERROR, MEMORY, WORK = 1e-6, 1.05, 1.1
CHUNK = 8
NETWORKS = ({}, {"skips": False}, {"rounding": "down"}, {"up": "resize"}, {"stages": 2, "kernel": "5,3,3"})
SIZES = ((40, 32, 32), (33, 35, 46))
SHORT, SIDE = 160, 96  # frames: more than the reach of the network, so that all that waits is there


def network(fields, dtype=torch.float32):
    """The default network but for some fields, with the same weights every time."""
    torch.manual_seed(0)
    return VideoUNet(VideoUNetConfig(**fields)).to(dtype)


def joined(built, video):
    """The streamed result."""
    return torch.cat(list(streamed(built, video.split(CHUNK, dim=2))), dim=2)


def difference(found, right):
    """Largest difference, as a share of the largest value."""
    return float((found.double() - right).abs().max() / right.double().abs().max())


def work(fields, video):
    """Multiply-adds of streaming over those of one pass."""
    built, counts = network(fields).to("meta"), []
    for run in (built, lambda x: joined(built, x)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run(video.to("meta"))
        counts.append(counter.get_total_flops())
    return counts[1] / counts[0]


def measure(frames):
    """In a process of its own: stream so many frames and print what memory that took."""
    torch.set_num_threads(1)
    built = network({"base": 16})
    before = resident("VmRSS")
    chunks = (torch.rand(1, 3, CHUNK, SIDE, SIDE) for _ in range(frames // CHUNK))
    count = sum(chunk.shape[2] for chunk in streamed(built, chunks))
    print(json.dumps({"frames": count, "MB": resident("VmHWM") - before, "seconds": time.process_time()}))


def resident(what):
    """Megabytes that this process holds, or held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024 / 1e6


def main(threads):
    """Measure and write the tables."""
    torch.set_num_threads(threads)
    beside = "streamed against whole | whole against float64 | streamed against float64 | work, streamed over whole"
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {threads} threads, {platform.machine()}, python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "",
        f"Chunks of {CHUNK} frames; the bars are {ERROR:g} and {WORK:g}.",
        "",
        f"| network | frames × height × width | {beside} |",
        "|---|---|---|---|---|---|",
    ]
    for fields in NETWORKS:
        for size in SIZES:
            video, built = torch.rand(1, 3, *size), network(fields)
            stream = joined(built, video)
            with torch.inference_mode():
                whole, truth = built(video), network(fields, torch.float64)(video.double())
            off, ratio = difference(stream, whole), work(fields, video)
            mark = ": missed" if off > ERROR or ratio > WORK else ""
            name = ", ".join(f"{key}={value}" for key, value in fields.items()) or "default"
            errors = f"{off:.2g} | {difference(whole, truth):.2g} | {difference(stream, truth):.2g}"
            lines.append(f"| {name} | {' × '.join(map(str, size))} | {errors} | {ratio:.4f}{mark} |")
    told = []
    for frames in (SHORT, 10 * SHORT):
        line = [sys.executable, __file__, "--frames", str(frames)]
        told.append(json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout))
    ratio = told[1]["MB"] / told[0]["MB"]
    lines += ["", f"| frames of {SIDE} × {SIDE}, base 16 | memory added, MB | processor, s |", "|---|---|---|"]
    lines += [f"| {each['frames']} | {each['MB']:.0f} | {each['seconds']:.1f} |" for each in told]
    lines += ["", f"Ten times longer: {ratio:.3f} of the memory (at most {MEMORY:g}{': missed' * (ratio > MEMORY)})."]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    if "--frames" in sys.argv:
        measure(int(sys.argv[-1]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
