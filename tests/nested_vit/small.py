"""A network small enough for every test: 16 windows of 4 × 4 patches of 4 px."""

import torch

from theodolite.data.twins import TwinCanvases
from theodolite.kernel.runs import RunFolder
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.lessons import Lessons, Truth
from theodolite.nested_vit.model import NestedViT
from theodolite.nested_vit.objectives import Objective, standard_loss
from theodolite.nested_vit.plan import plan
from theodolite.nested_vit.train import train

SMALL = {"size": 64, "patch": 4, "window": 4, "width": 16, "heads": 2, "chunk": 5, "held_out": 6, "show_size": 0}


def configured(**fields):
    return NestedViTConfig(**{**SMALL, **fields})


def built(config, dtype=torch.float64, seed=0):
    """A network whose region tokens and positions matter from the start."""
    torch.manual_seed(seed)
    network = NestedViT(config).to(dtype)
    with torch.no_grad():
        network.region.normal_()
    return network


def taught(config, dtype=torch.float64, seed=0):
    """The same network with the readers of its region tokens."""
    lessons = Lessons(built(config, dtype, seed)).to(dtype)
    assert lessons.training
    return lessons


def target_alone(config, truth):
    """An objective without asides."""
    return Objective(standard_loss(truth, config.target, config.patch * config.window, config.num_classes))


def random_batch(config, batch, height, width, dtype=torch.float64):
    """Noise with a truth of noise, for images of any size."""
    torch.manual_seed(1)
    side = config.patch * config.window
    windows = batch * -(-height // side) * -(-width // side)
    target = (batch, height, width) if config.target == "dense" else (batch, config.num_classes)
    truth = Truth(torch.rand(target) > 0.5, torch.rand(windows, 6) > 0.5, torch.rand(windows, 1) > 0.5)
    return torch.rand(batch, config.channels, height, width, dtype=dtype), truth


def canvases(config, count=2, part="train"):
    return TwinCanvases(config.size, 0, part).canvases(range(count))


def trained(path, steps=3, batch_size=2, **fields):
    training_fields = {name: fields.pop(name) for name in list(fields) if name in NestedViTTraining.model_fields}
    config = configured(**fields)
    training = NestedViTTraining(**{"steps": steps, "batch_size": batch_size, "device": "cpu", **training_fields})
    run = RunFolder.create(path, "nested-vit", config, training, plan(config))
    train(config, training, run)
    return run
