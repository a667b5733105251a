"""A GAN on three stacked digits: how many of a thousand modes, how evenly, and how many good samples.

Run: python benchmarks/gan_stacked_digits.py [SEEDS] [STEPS]     writes gan_stacked_digits.md beside itself

One thread a run. A sample counts where a judge of single digits is surer than 0.9 of all three; modes are counted among
25,600 samples, as in Lin et al. (2018). What held-out real digits, and an untrained generator, score stands beside.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = 25_600
SETTINGS = {
    "data": "stacked-digits",
    "reals": 40_000,
    "width": 512,
    "latent_dim": 64,
    "bits": 32,
    "penalty": 0.2,
    "pace": 1.0,
    "average": 0.999,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "device": "cpu",
}


def judged(samples):
    """Share of samples that count, modes met, and reverse KL of the modes of those that count."""
    from theodolite.data.stacked import StackedDigits
    from theodolite.gan.dataset import high_quality_shares
    from theodolite.theory.modes import reverse_kl

    truth = StackedDigits()
    shares = high_quality_shares(truth, samples)
    return float(shares.sum()), int((shares > 0).sum()), reverse_kl(shares, truth.weights)


def trained(seed, steps, folder):
    """Train once, and judge the samples: the three numbers, processor and wall seconds."""
    from theodolite import families
    from theodolite.gan.samples import TrainedGAN

    wall, processor = time.perf_counter(), time.process_time()
    run = families.train("gan", folder / f"{seed}-{steps}", seed=seed, steps=steps, **SETTINGS)
    spent = time.process_time() - processor, time.perf_counter() - wall
    return *judged(TrainedGAN(run).draw(SAMPLES)), *spent


def main(seeds, steps):
    """Measure and write the table."""
    import torch

    from theodolite.data.digits import digits, split
    from theodolite.data.stacked import stack
    from theodolite.theory.modes import expected_reverse_kl

    images, labels = digits()
    held_out = split(len(images), 0.3, 0)[1]
    rows = [("held-out real digits", *judged(stack(images[held_out], labels[held_out], SAMPLES, 0)[0]), 0.0, 0.0)]
    with tempfile.TemporaryDirectory() as folder:
        rows.append(("untrained", *trained(0, 1, Path(folder))))
        rows += [(f"seed {seed}", *trained(seed, steps, Path(folder))) for seed in range(seeds)]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        f"python {platform.python_version()}, torch {torch.__version__}",
        "",
        f"Stacked digits, {steps:,} steps, one thread; {SAMPLES:,} samples. Chance alone gives a perfect generator a "
        f"reverse KL of {expected_reverse_kl(1000, SAMPLES):.3f}.",
        f"Settings: {', '.join(f'{name}={value}' for name, value in SETTINGS.items())}.",
        "",
        "| | samples that count | modes of 1,000 | reverse KL, nats | processor, s | wall, s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {share:.1%} | {modes} | {kl:.3f} | {processor:.0f} | {wall:.0f} |"
            for name, share, modes, kl, processor, wall in rows
        ),
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, int(sys.argv[2]) if len(sys.argv) > 2 else 16_000)
