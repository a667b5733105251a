"""Multiply-adds, counted forward, backward and through gradients of gradients."""

import torch
from torch import nn

from theodolite.engine.counting import Multiplications, multiplications_of_a_step
from theodolite.engine.task import Task


def test_a_product_counts_once_forward_and_twice_back():
    first, second = torch.randn(3, 4, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    with Multiplications() as forward:
        product = first @ second
    with Multiplications() as backward:
        product.sum().backward()
    assert (forward.total, backward.total) == (60, 120)


def test_a_gradient_of_a_gradient_is_counted():
    weight, x = torch.randn(5, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    with Multiplications() as counter:
        (slope,) = torch.autograd.grad((x @ weight.T).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
    # forward; slope; back from it to the output's gradient and the weights; back through forward to x and the weights
    assert counter.total == 6 * 60


class Line(Task):
    """A linear layer fitted to nothing in particular."""

    def __init__(self):
        self.networks = {"line": nn.Linear(7, 2)}

    def step(self, at):
        return at.backward(lambda part: {"loss": self.networks["line"](part.normal("x", 7)).square().mean()})


def test_a_step_is_counted_for_one_sample():
    # forward, and the gradient of the weights; none of the inputs is asked for
    assert multiplications_of_a_step(Line(), steps=3, samples=5) == 2 * 14
