"""What the audit measures of the network itself: by counting operations, storages and differences, never by formula."""

import copy
import time

import torch
from torch import Tensor

from theodolite.data.twins import CLASSES, TwinCanvases
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import LARGE, PLAIN_PATCHES, Costs
from theodolite.nested_vit.counts import count_flops, counting_kept
from theodolite.nested_vit.gradients import chunked_losses
from theodolite.nested_vit.losses import Truth, losses
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.plain import PlainViT
from theodolite.nested_vit.samples import batch


def counted_flops(config: NestedViTConfig) -> dict[str, int]:
    """FLOPs of running networks on the meta device, by the names of the plan."""
    network = NestedViT(config).to("meta")
    images = _meta_images(config.size)
    truth = _meta_truth(config)
    large = _meta_images(LARGE)
    told = {
        "flops_forward": count_flops(lambda: network(images)),
        "flops_training": count_flops(lambda: torch.autograd.backward(losses(network(images), truth).total)),
        # all windows as one chunk: the work is the same, however they are cut
        "flops_chunked": count_flops(lambda: chunked_losses(network, images, truth, len(truth.digits))),
        "flops_large": count_flops(lambda: network(large)),
    }
    for patch in PLAIN_PATCHES:
        plain = plain_vit(config, patch).to("meta")
        told[f"flops_vit{patch}"] = count_flops(lambda plain=plain: plain(large))  # type: ignore[misc]
    return told


def plain_vit(config: NestedViTConfig, patch: int) -> PlainViT:
    """Build the plain ViT that the network is compared with: same width, heads and layers a patch passes."""
    return PlainViT(patch, config.width, config.heads, config.stages * config.local_blocks, config.outputs)


def kept_bytes(network: NestedViT, config: NestedViTConfig, seed: int) -> dict[str, int]:
    """Bytes that autograd keeps for the backward pass on one canvas: ordinary, and chunked at most at one moment."""
    images, truth = batch(TwinCanvases(config.size, seed, "held out"), config, [0])
    with counting_kept(network.parameters()) as ordinary:
        total = losses(network(images), truth).total
    with counting_kept(network.parameters()) as chunked:
        chunked_losses(network, images, truth, config.chunk)
    del total
    return {"kept_ordinary": ordinary.most, "kept_chunked": chunked.most}


def gradient_difference(network: NestedViT, config: NestedViTConfig, seed: int) -> float:
    """Largest difference of the two gradients, in float64, relative to the largest entry of each parameter's."""
    exact = copy.deepcopy(network).double()
    images, truth = batch(TwinCanvases(config.size, seed, "held out"), config, [0])
    parameters = list(exact.parameters())
    ordinary = torch.autograd.grad(losses(exact(images), truth).total, parameters)
    chunked = torch.autograd.grad(chunked_losses(exact, images, truth, config.chunk).total, parameters)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(ordinary, chunked, strict=True) if a.any())


def forward_seconds(config: NestedViTConfig, side: int) -> dict[str, float]:
    """Processor seconds of one forward pass of each network on the CPU, the better of two."""
    images = torch.zeros(1, 3, side, side)
    networks = {"nested": NestedViT(config)} | {f"ViT-{patch}": plain_vit(config, patch) for patch in PLAIN_PATCHES}
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
    """Bytes that ordinary autograd would keep at a size too large to try, by the formula that `kept_ordinary` tests."""
    return Costs(config, side).kept_ordinary


def _meta_images(side: int) -> Tensor:
    return torch.empty(1, 3, side, side, device="meta")


def _meta_truth(config: NestedViTConfig) -> Truth:
    windows = (-(-config.size // (config.patch * config.window))) ** 2
    shape = (1, config.size, config.size) if config.target == "dense" else (1, CLASSES)
    return Truth(
        *(torch.empty(size, dtype=torch.bool, device="meta") for size in (shape, (windows, CLASSES), (windows, 1)))
    )
