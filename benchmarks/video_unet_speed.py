"""The video U-Net beside one of MONAI's blocks: milliseconds a clip, medians, all sides in turn.

Run: python benchmarks/video_unet_speed.py [REPEATS] [THREADS ...]     writes video_unet_speed.md beside itself

MONAI's side is made of the blocks of its BasicUNet (two convolutions, pooling, transposed convolution and joining),
with rectifiers and no norm, as ours: equal channels, kernels, depths, rounding, and multiply-adds, which are counted on
both. Training is loss, gradients and a step of Adam on one clip, in bfloat16 by autocast on both sides.

A side is first tried in a process of its own: the weight gradient of torch's own convolution in bfloat16, on two
threads, does not end for 256 channels to 128 on 4 frames of 32 x 32 (torch 2.13, AMX).
"""

import multiprocessing
import platform
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path

import monai
import torch
from monai.networks.nets import BasicUNet, DynUNet, UNet
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from theodolite.kernel.allocation import keep_freed_memory
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet

SIZES = ((10, 32, 32), (16, 128, 128))
BASE, STAGES, CHANNELS = 32, 3, 3
MATRIX = 4096
BARS = {
    ("like for like", "inference", (16, 128, 128)): 1.3,
    ("like for like", "inference", (10, 32, 32)): 1.3,
    ("float32", "inference", (16, 128, 128)): 4.5,
    ("float32", "inference", (10, 32, 32)): 2.5,
    ("float32", "training", (16, 128, 128)): 3.5,
    ("float32", "training", (10, 32, 32)): 2.3,
}
PATIENCE = 60
"""Seconds that a side may take for two turns."""
SHARE = 0.8
"""Of the rate of a product of matrices in bfloat16."""


class Blocks(nn.Module):
    """MONAI's blocks in the order of its BasicUNet, as deep and as wide as ours."""

    def __init__(self):
        super().__init__()
        wide = [BASE * 2**stage for stage in range(STAGES + 1)]
        usual = {"act": "relu", "norm": None, "bias": True}
        self.first = TwoConv(3, CHANNELS, wide[0], **usual)
        self.down = nn.ModuleList([Down(3, a, b, **usual) for a, b in pairwise(wide)])
        self.up = nn.ModuleList([UpCat(3, 2 * a, a, a, **usual) for a in reversed(wide[:-1])])
        self.head = nn.Conv3d(wide[0], CHANNELS, 1)

    def forward(self, x):
        """Reconstruct a clip."""
        skips = [self.first(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.up:
            x = up(x, skips.pop())
        return self.head(x)


def ours():
    """Our network, rounding down as MONAI's pooling does."""
    return VideoUNet(VideoUNetConfig(base=BASE, stages=STAGES, channels=CHANNELS, rounding="down", frames=10))


def inference(network, clip, dtype):
    """A function that reconstructs one clip."""
    network, clip = network.to(dtype).eval(), clip.to(dtype)
    if isinstance(network, VideoUNet) and dtype == torch.bfloat16:
        network = network.to(memory_format=torch.channels_last_3d)

    def run():
        with torch.inference_mode():
            return network(clip)

    return run


def training(network, clip, dtype):
    """A function that does one step of training."""
    adam = torch.optim.Adam(network.parameters(), 1e-4, fused=True)

    def run():
        adam.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            made = network(clip)
        (made.float() - clip).square().mean().backward()
        adam.step()

    return run


def multiply_adds(network, clip):
    """Of one clip, by torch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta")(clip.to("meta"))
    return counter.get_total_flops() // 2


def product():
    """A function that multiplies two large matrices in bfloat16."""
    left, right = (torch.randn(MATRIX, MATRIX).bfloat16() for _ in range(2))
    return lambda: left @ right


def times(sides, repeats):
    """Seconds of each side, (wall, processor), in turn; the first two turns are not counted."""
    found = {name: [] for name in sides}
    for turn in range(repeats + 2):
        for name, run in sides.items():
            began = time.perf_counter(), time.process_time()
            run()
            ended = time.perf_counter(), time.process_time()
            if turn > 1:
                found[name].append([b - a for a, b in zip(began, ended, strict=True)])
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}


def refusals():
    """What MONAI's own networks say to a clip of 10 x 32 x 32."""
    clip = torch.rand(1, CHANNELS, 10, 32, 32)
    kernels, strides = [3] * 4, [1, 2, 2, 2]
    networks = {
        "UNet": lambda: UNet(3, CHANNELS, CHANNELS, channels=(32, 64, 128, 256), strides=(2, 2, 2)),
        "DynUNet": lambda: DynUNet(3, CHANNELS, CHANNELS, kernels, strides, strides[1:]),
        "BasicUNet": lambda: BasicUNet(3, CHANNELS, CHANNELS),
    }
    found = {}
    for name, build in networks.items():
        try:
            found[name] = f"gives {tuple(build()(clip).shape)}"
        except (RuntimeError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    found["theodolite"] = f"gives {tuple(ours()(clip).shape)}"
    return found


BUILDERS = {"MONAI": Blocks, "theodolite": ours}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
KINDS = {"inference": inference, "training": training}


def twice(name, dtype, kind, size, threads):
    """Take two turns of one side."""
    torch.set_num_threads(threads)
    run = KINDS[kind](BUILDERS[name](), torch.rand(1, CHANNELS, *size), DTYPES[dtype])
    run()
    run()


def ends(*side):
    """Whether two turns of a side come to an end."""
    tried = multiprocessing.get_context("spawn").Process(target=twice, args=side)
    tried.start()
    tried.join(PATIENCE)
    ended = tried.exitcode == 0
    tried.kill()
    return ended


def measure(size, kind, repeats, threads):
    """Give a row for each side, and what is claimed of ours beside the others."""
    clip = torch.rand(1, CHANNELS, *size)
    work = {name: multiply_adds(build(), clip) for name, build in BUILDERS.items()}
    if len(set(work.values())) > 1:
        raise SystemExit(f"not equal: {work}")
    sides = {
        (n, d): KINDS[kind](BUILDERS[n](), clip, DTYPES[d])
        for n in BUILDERS
        for d in DTYPES
        if ends(n, d, kind, size, threads)
    }
    # a large product between the sides, for the rate of the same minutes
    found = times(sides | {"product": product()}, repeats)
    rate = 2 * MATRIX**3 / found["product"][0]
    rows, met = [], []
    for side in ((n, d) for n in BUILDERS for d in DTYPES):
        share = None
        if side in found and kind == "inference":
            share = 2 * work["theodolite"] / found[side][0] / rate
        rows.append((size, kind, threads, *side, found.get(side), share))
        if share and side == ("theodolite", "bfloat16") and size == SIZES[-1]:
            told = f"of a product's {rate / 1e9:,.0f} · 10⁹ operations a second, {plural(threads)}"
            met.append((f"{by(size)}: share of the rate of matrices, {told}", share, SHARE))
    for told, peer in (("like for like", "bfloat16"), ("float32", "float32")):
        if ("MONAI", peer) in found:
            ratio = found["MONAI", peer][0] / found["theodolite", "bfloat16"][0]
            what = f"{by(size)}, {kind}, {plural(threads)}, against MONAI in {peer}"
            met.append((what, ratio, BARS.get((told, kind, size))))
    return rows, met


def main(repeats, *threads):
    """Measure and write the tables."""
    keep_freed_memory()  # as our command line does; for both sides
    rows, met = [], []
    for count in threads:
        torch.set_num_threads(count)
        torch.manual_seed(0)
        for size in SIZES:
            for kind in KINDS:
                of, claimed = measure(size, kind, repeats, count)
                rows += of
                met += claimed
    write(rows, met, refusals(), repeats)


def plural(threads):
    """Write a number of threads."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def by(size):
    """Write a size."""
    return " × ".join(map(str, size))


def write(rows, met, refused, repeats):
    """Write the tables beside this file."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, python {platform.python_version()}, "
        f"torch {torch.__version__}, MONAI {monai.__version__}",
        "",
        f"One clip of 3 channels, {STAGES} stages of two convolutions, {BASE} channels at the finest; medians of "
        f"{repeats}, all sides in turn. Share: nominal multiply-adds, each two operations, a second, of the rate of a "
        f"{MATRIX} × {MATRIX} product in bfloat16 measured in the same turns.",
        "",
        "| frames × height × width | | threads | | in | wall, ms | processor, ms | share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size, kind, threads, name, dtype, seconds, share in rows:
        told = "" if share is None else f"{share:.0%}"
        took = " | ".join(f"{1e3 * each:.1f}" for each in seconds) if seconds else f"no end in {PATIENCE} s |"
        lines.append(f"| {by(size)} | {kind} | {threads} | {name} | {dtype} | {took} | {told} |")
    lines += ["", "| theodolite in bfloat16 | measured | at least |", "|---|---|---|"]
    for what, value, bar in met:
        mark = "" if bar is None else f"{bar:g}" if value >= bar else f"{bar:g}: missed"
        lines.append(f"| {what} | {value:.2f} | {mark} |")
    lines += ["", "A clip of 1 × 3 × 10 × 32 × 32, given to each network as it comes:", ""]
    lines += [f"- {name}: {what}" for name, what in refused.items()]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*(given[:1] or [9]), *(given[1:] or [1, 2]))
