"""What trained networks make of the clips that were held out."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from theodolite.engine.devices import best_device
from theodolite.engine.export import load_weights
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.corruption import Hidden, Shown, shown
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.restoration import restored
from theodolite.video_unet.samples import Clips

Array = NDArray[np.float64]

BATCH = 8
"""Clips reconstructed at a time."""


@dataclass(frozen=True)
class Trained:
    """Trained networks and their reconstructions.

    Attributes
    ----------
    networks : dict of str to VideoUNet
        By name; the one that was asked for comes first.
    held_out : array (n, frames, height, width, channels)
        In [0, 1].
    shown : Shown
        The same clips as the networks were shown them: corrupted, where they were trained for that.
    reconstructions : dict of str to array
        The same shape, clamped to [0, 1].
    psnr : dict of str to array (n,)
        dB a clip.
    psnr_hidden : dict of str to array (n,)
        dB a clip over what was hidden of it; empty where nothing was.
    """

    networks: dict[str, VideoUNet]
    held_out: Array
    shown: Shown
    reconstructions: dict[str, Array]
    psnr: dict[str, Array]
    psnr_hidden: dict[str, Array]

    @classmethod
    def load(cls, run: RunFolder, config: VideoUNetConfig, held_out: Clips) -> "Trained":
        """Load the networks of a run and reconstruct held-out clips (uint8) with each."""
        networks = {name: VideoUNet(settings) for name, settings in config.networks.items()}
        load_weights(run, dict(networks))
        original = held_out / 255.0
        seen = shown(config, original)
        made = {name: _restored(config, network, seen) for name, network in networks.items()}
        psnr = {name: clip_psnr(original, each) for name, each in made.items()}
        hidden = seen.hidden
        of_hidden = {} if hidden is None else {name: hidden_psnr(original, x, hidden) for name, x in made.items()}
        return cls(networks, original, seen, made, psnr, of_hidden)

    def gain_of_skips(self) -> Array:
        """PSNR with skips less that without (n,), in dB, clip by clip."""
        return self.psnr["with_skips"] - self.psnr["without_skips"]


def _restored(config: VideoUNetConfig, network: VideoUNet, seen: Shown) -> Array:
    device = best_device()
    network.to(device)
    parts = []
    for start in range(0, len(seen.given), BATCH):
        given = torch.from_numpy(seen.given[start : start + BATCH].astype(np.float32)).to(device)
        hidden = None if seen.hidden is None else torch.from_numpy(seen.hidden[start : start + BATCH]).to(device)
        with torch.inference_mode():
            made = restored(config, network, given.movedim(-1, 1), hidden)
        parts.append(made.clamp(0.0, 1.0).movedim(1, -1).cpu().numpy().astype(np.float64))
    network.cpu()
    return np.concatenate(parts)


def clip_psnr(original: Array, made: Array) -> Array:
    """Return the peak signal-to-noise ratio of each clip in dB, for values in [0, 1]; infinite without any error."""
    squared = ((original - made) ** 2).reshape(len(original), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(squared))


def hidden_psnr(original: Array, made: Array, hidden: Hidden) -> Array:
    """Return each clip's PSNR in dB over its hidden pixels alone; infinite without any error."""
    squared = [np.mean((a[where] - b[where]) ** 2) for a, b, where in zip(original, made, hidden, strict=True)]
    with np.errstate(divide="ignore"):
        return np.asarray(-10.0 * np.log10(squared))


def mean_and_uncertainty(values: Array) -> tuple[float, float]:
    """Return a mean over clips and the half-width of its 95% interval, by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)
