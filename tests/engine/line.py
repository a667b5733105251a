"""The smallest task: a linear function learned from noise. Shared by the tests of the engine."""

import torch
from torch import nn

from theodolite.engine.task import Task
from theodolite.kernel.records import Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import TrainSettings


class Line(Task):
    sample_count = 100

    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Linear(3, 1)
        self.networks = {"line": network}
        self.optimizers = {"line": torch.optim.Adam(network.parameters(), lr=0.05)}

    def losses(self, part):
        x = part.normal("x", 3)
        error = self.networks["line"](x) - x @ torch.tensor([[1.0], [2.0], [3.0]])
        return {"loss": error.square().mean(), "bias": error.detach().mean()}

    def step(self, at):
        self.optimizers["line"].zero_grad()
        means = at.backward(self.losses)
        self.optimizers["line"].step()
        return means


def make_run(path, **fields):
    training = TrainSettings(device="cpu", **fields)
    plan = Plan(family="gan", config={})
    return RunFolder.create(path, "gan", training, None, plan), training
