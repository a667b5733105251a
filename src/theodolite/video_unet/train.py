"""Training of the video U-Net and of its twin without skips, on the same batches."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from theodolite.engine.loop import fit
from theodolite.engine.muon import Muon
from theodolite.engine.schedules import half_cosine
from theodolite.engine.task import Part, Step, Task
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.config import VideoUNetConfig, VideoUNetTraining
from theodolite.video_unet.corruption import cells, hidden_pixels
from theodolite.video_unet.losses import Clip, reconstruction_loss, to_tensor
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.restoration import Hidden, restored
from theodolite.video_unet.restored import interpolated
from theodolite.video_unet.samples import Samples, samples

WARM_UP = 10
"""Steps in which the step size rises to its largest."""
BIAS_SIZE = 0.1
"""Size that a bias is taken to have, for its steps."""
SHARES = {"adam": 1.0, "muon": 0.2}
"""Of a step: Muon's, which all go somewhere, bear a smaller one."""
LARGEST_GRADIENT = 1.0
"""Norm to which a network's gradient is cut."""


class VideoUNetTask(Task):
    """Fits every network that the configuration names; they share batches and nothing else.

    Parameters
    ----------
    config : VideoUNetConfig
        Architecture, clips, loss.
    training : VideoUNetTraining
        Steps, batch, rate, seed.
    clips : Samples
        What to train on.
    """

    name = "video-unet"

    def __init__(self, config: VideoUNetConfig, training: VideoUNetTraining, clips: Samples) -> None:
        self.config, self.training, self.clips = config, training, clips
        self.sample_count = clips.count
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.networks = {name: VideoUNet(settings) for name, settings in config.networks.items()}
        self.optimizers = self._optimizers()
        if config.corruption != "none":  # the correction begins as none
            for network in self.networks.values():
                torch.nn.init.zeros_(network.get_parameter("head.weight"))

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return Adam, and beside it Muon where that is to move the kernels."""
        groups: dict[str, list[dict[str, Any]]] = {name: [] for name in SHARES}
        for network in self.networks.values():
            for tensor in network.parameters():
                name = self.config.optimizer if tensor.ndim > 1 else "adam"
                groups[name].append({"params": [tensor], "size": SHARES[name] * initial_size(tensor)})
        rate = self.training.learning_rate
        adam = torch.optim.Adam(groups["adam"], lr=rate, betas=(0.9, 0.99))
        return {"adam": adam, "muon": Muon(groups["muon"], rate)} if groups["muon"] else {"adam": adam}

    def step(self, at: Step) -> Mapping[str, float]:
        """One step: reconstruct a batch with every network, follow the sum of their losses downhill."""
        rate = self.training.learning_rate * rate_share(at.number, at.total)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["size"]
            optimizer.zero_grad()
        means = at.backward(self._losses)
        for network in self.networks.values():
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return means

    def _losses(self, part: Part) -> Mapping[str, Tensor]:
        clips = to_tensor(self.clips.draw(part.ids.tolist()), part.device)
        given, hidden = corrupted(self.config, clips, part)
        # what is visible is kept as it is, so that only hidden pixels have an error to learn from
        losses = {
            f"loss_{name}": reconstruction_loss(self.config, restored(self.config, network, given, hidden), clips)
            for name, network in self.networks.items()
        }
        # the networks share no weight, so the gradient of the sum is that of each loss for its own network
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def corrupted(config: VideoUNetConfig, clips: Clip, part: Part) -> tuple[Clip, Hidden | None]:
    """Return clips as networks are shown them in training, and what of them is hidden; drawn anew every step.

    Each clip's draw depends on seed, step and sample alone, so that a resumed run, or one of many processes, sees the
    same.
    """
    if config.corruption == "none":
        return clips, None
    if config.corruption == "noise":
        return clips + config.level * part.normal("noise", *clips.shape[1:]), None
    draws = part.uniform("hidden", math.prod(cells(config))).cpu().numpy()
    hidden = hidden_pixels(config, draws)
    filled = interpolated(clips.movedim(1, -1).cpu().numpy(), hidden)
    return torch.from_numpy(filled).to(clips).movedim(-1, 1), torch.from_numpy(hidden).to(clips.device)


def initial_size(tensor: Tensor) -> float:
    """Root mean square of a tensor of weights as it was drawn; `BIAS_SIZE` for biases, which begin at 0.

    Adam moves every weight by about its step size, whatever the gradient. One step size for all would move the small
    weights of wide layers by far more, measured by what they are, than those of narrow ones: enough to silence every
    rectifier of the network without skips. In proportion to the initial size one setting serves every width.
    """
    return BIAS_SIZE if tensor.ndim == 1 else float(tensor.detach().square().mean().sqrt())


def rate_share(step: int, total: int) -> float:
    """Share of the largest step size at a step: up in a straight line, then down along half a cosine."""
    rise = min(1.0, (step + 1) / WARM_UP)
    return rise * half_cosine(step, total)


def train(config: VideoUNetConfig, training: VideoUNetTraining, run: RunFolder) -> None:
    """Train in the run folder, from its checkpoint where there is one.

    Raises
    ------
    UsageError
        If bfloat16 is asked for and this machine computes a layer wrongly in it.
    DataError
        If the clips are missing or damaged.
    """
    clips = samples(config)
    if is_first_process():
        run.write_json("data.json", {**clips.origin, "training": clips.count, "warnings": list(clips.warnings)})
    fit(VideoUNetTask(config, training, clips), training, run)
