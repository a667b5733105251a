"""A step of the image GAN beside one of a DCGAN: milliseconds a step, medians, both sides in turn.

Run: python benchmarks/gan_step.py [REPEATS] [THREADS]     writes gan_step.md beside itself

The DCGAN is that of Radford et al. (2016) for 64 x 64 pixels, 64 features at its finest map, as PyTorch's tutorial
sizes it: batch statistics, one step of each network, no penalty. Ours pairs samples and penalises both gradients.
"""

import platform
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIDE, BATCH, LATENT, FINEST = 64, 64, 100, 64
STEPS = 4  # penalties come every fourth
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def dcgan():
    """Generator and discriminator, with the weights' usual start."""
    wide = [8 * FINEST, 4 * FINEST, 2 * FINEST, FINEST]
    up = [nn.ConvTranspose2d(LATENT, wide[0], 4, 1, 0, bias=False), nn.BatchNorm2d(wide[0]), nn.ReLU()]
    for a, b in pairwise(wide):
        up += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    down = [nn.Conv2d(3, FINEST, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for a, b in zip(wide[:0:-1], wide[-2::-1], strict=True):
        down += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
    generator = nn.Sequential(*up, nn.ConvTranspose2d(FINEST, 3, 4, 2, 1, bias=False), nn.Tanh())
    return generator, nn.Sequential(*down, nn.Conv2d(wide[0], 1, 4, 1, 0, bias=False), nn.Flatten(0))


def dcgan_steps(memory, dtype):
    """A function that trains the DCGAN for `STEPS` steps, and its parameters."""
    torch.manual_seed(0)
    generator, discriminator = (network.to(memory_format=memory) for network in dcgan())
    optimizers = [
        torch.optim.Adam(each.parameters(), 2e-4, betas=(0.5, 0.999), fused=True) for each in (generator, discriminator)
    ]
    real = torch.rand(BATCH, 3, SIDE, SIDE).to(memory_format=memory) * 2 - 1

    def steps():
        began = now()
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
                fake = generator(torch.randn(BATCH, LATENT, 1, 1))
                scores = discriminator(real), discriminator(fake.detach())
            optimizers[1].zero_grad()
            (F.softplus(-scores[0].float()) + F.softplus(scores[1].float())).mean().backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
                passed = discriminator(fake)
            F.softplus(-passed.float()).mean().backward()
            optimizers[0].step()
        return began, now()

    return steps, sum(weight.numel() for each in (generator, discriminator) for weight in each.parameters())


def our_steps(folder, precision):
    """A function that trains ours for `STEPS` steps, and its parameters."""
    from theodolite import families
    from theodolite.engine.loop import fit
    from theodolite.gan import train

    path = Path(folder) / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (200, SIDE, SIDE, 3), dtype=np.uint8))
    settings = {"data": str(path), "latent_dim": LATENT, "batch_size": BATCH, "steps": STEPS, "device": "cpu"}
    settings["precision"] = precision
    config, training = families.split(families.find("gan"), settings)

    class Timed(train.Game):
        """The game, which notes when its first step began and its last one ended: not what is checked before."""

        def step(self, at):
            if not at.number:
                self.began = now()
            done = super().step(at)
            self.ended = now()
            return done

    def steps():
        game = Timed(config, training, train.load(config))
        game.evaluate_every = 0
        fit(game, training)
        return game.began, game.ended

    game = train.Game(config, training, train.load(config))
    return steps, sum(
        weight.numel() for name in ("generator", "discriminator") for weight in game.networks[name].parameters()
    )


def now():
    """Wall and processor clock, in seconds."""
    return time.perf_counter(), time.process_time()


def main(repeats, threads):
    """Measure and write the table."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            f"DCGAN, {dtype}, {name}": dcgan_steps(memory, dtype)
            for dtype in ("float32", "bf16")
            for name, memory in FORMATS.items()
        }
        sides |= {f"theodolite, {name}": our_steps(folder, name) for name in ("32-true", "bf16-mixed")}
        times = {name: [] for name in sides}
        for turn in range(repeats + 1):
            for name, (steps, _) in sides.items():
                began, ended = steps()
                if turn:
                    times[name].append([1000 * (b - a) / STEPS for a, b in zip(began, ended, strict=True)])
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {threads} threads, {platform.machine()}, python {platform.python_version()}, "
        f"torch {torch.__version__}",
        "",
        f"Images of {SIDE} × {SIDE} × 3, batch {BATCH}, medians of {repeats}.",
        "",
        "| | parameters | wall, ms a step | processor, ms a step |",
        "|---|---|---|---|",
    ]
    for name, (_, parameters) in sides.items():
        wall, processor = (statistics.median(each) for each in zip(*times[name], strict=True))
        lines.append(f"| {name} | {parameters:,} | {wall:.0f} | {processor:.0f} |")
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
