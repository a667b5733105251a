"""What the audit measures of the network itself: by counting operations, storages and differences, never by formula."""

import copy
import time

import torch
from torch import Tensor

from theodolite.nested_vit.choice import MODES, USUAL_CHUNK
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs
from theodolite.nested_vit.counts import count_flops, counting_kept
from theodolite.nested_vit.dropout import Draws
from theodolite.nested_vit.gradients import losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective, standard_loss
from theodolite.nested_vit.plain import PlainViT
from theodolite.nested_vit.samples import batch, source_of


def counted_flops(config: NestedViTConfig) -> dict[str, int]:
    """FLOPs of running networks on the meta device, by the names of the plan."""
    network = NestedViT(config).to("meta")
    images = _meta_images(config, config.size)
    large = _meta_images(config, LARGE)
    objective = _objective(config, _meta_truth(config))
    told = {"flops_forward": count_flops(lambda: network(images)), "flops_large": count_flops(lambda: network(large))}
    chunk = len(network.cut(images))  # all windows as one: the work is the same, however they are cut
    for mode in MODES:
        told[f"flops_{mode}"] = count_flops(
            lambda mode=mode: torch.autograd.backward(losses(network, images, objective, mode, chunk).total)  # type: ignore[misc]
        )
    for patch in PLAIN_PATCHES:
        plain = plain_vit(config, patch).to("meta")
        told[f"flops_vit{patch}"] = count_flops(lambda plain=plain: plain(large))  # type: ignore[misc]
    return told


def plain_vit(config: NestedViTConfig, patch: int) -> PlainViT:
    """Build the plain ViT that the network is compared with: same width, heads and layers a patch passes."""
    layers = config.stages * config.local_blocks
    return PlainViT(patch, config.width, config.heads, layers, config.outputs, config.channels)


def kept_bytes(network: NestedViT, config: NestedViTConfig, seed: int) -> dict[str, int]:
    """Bytes that autograd keeps for the backward pass on one image, at most at one moment, by each mode."""
    _, truth = batch(source_of(config, seed, "held out"), config, [0])
    images = _noise(config, config.size)  # equal windows would be computed once
    told = {}
    for mode in MODES:
        objective = _objective(config, truth.target)
        with counting_kept(network.parameters()) as kept:
            losses(network, images, objective, mode, config.chunk or USUAL_CHUNK)
        told[f"kept_{mode}"] = kept.most
    return told


def gradient_difference(network: NestedViT, config: NestedViTConfig, seed: int) -> float:
    """Largest difference of gradients by chunks and ordinary ones, in float64, over each parameter's largest entry."""
    exact = copy.deepcopy(network).double()
    images, truth = batch(source_of(config, seed, "held out"), config, [0])
    parameters, objective = list(exact.parameters()), _objective(config, truth.target)
    draws = Draws(seed, 0, torch.zeros(1, dtype=torch.int64))
    ordinary, *others = (
        torch.autograd.grad(
            losses(exact, images, objective, mode, config.chunk or USUAL_CHUNK, draws).total, parameters
        )
        for mode in MODES
    )
    return max(
        float((a - b).abs().max() / a.abs().max())
        for other in others
        for a, b in zip(ordinary, other, strict=True)
        if a.any()
    )


def forward_seconds(config: NestedViTConfig, side: int) -> dict[str, float]:
    """Processor seconds of one forward pass of each network on the CPU, the better of two."""
    images = _noise(config, side)
    networks = {"nested": NestedViT(config).eval()} | {
        f"ViT-{patch}": plain_vit(config, patch) for patch in PLAIN_PATCHES
    }
    told = {}
    for name, network in networks.items():
        seconds = []
        for _ in range(2):
            began = time.process_time()
            with torch.no_grad():
                network(images)
            seconds.append(time.process_time() - began)
        told[name] = min(seconds)
    return told


def ordinary_bytes(config: NestedViTConfig, side: int) -> int:
    """Bytes that ordinary autograd would keep at a size too large to try, by the formula of `kept_ordinary`."""
    return Costs(config, side).kept("ordinary")


def _noise(config: NestedViTConfig, side: int) -> Tensor:
    return torch.rand(1, config.channels, side, side, generator=torch.Generator().manual_seed(0))


def _meta_images(config: NestedViTConfig, side: int) -> Tensor:
    return torch.empty(1, config.channels, side, side, device="meta")


def _meta_truth(config: NestedViTConfig) -> Tensor:
    shape = (1, config.size, config.size) if config.target == "dense" else (1, config.num_classes)
    return torch.empty(shape, dtype=torch.bool, device="meta")


def _objective(config: NestedViTConfig, truth: Tensor) -> Objective:
    return Objective(standard_loss(truth, config.target, config.patch * config.window, config.num_classes))
