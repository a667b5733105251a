"""Muon's step, against singular values and against momentum written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_identity

from theodolite.engine.muon import COEFFICIENTS, ITERATIONS, TINY, Muon, orthogonalised


def by_singular_values(matrix):
    """The same polynomial, of each singular value by itself."""
    a, b, c = COEFFICIENTS
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / (matrix.norm() + TINY)
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    return left @ torch.diag(values) @ right


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_only_singular_values_change(rows, columns, seed):
    matrix = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert_identity(orthogonalised(matrix), by_singular_values(matrix))


def test_singular_values_come_near_one():
    matrix = torch.randn(20, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.2
    assert not orthogonalised(torch.zeros(3, 4)).any()


def test_a_kernel_moves_by_momentum_as_one_matrix():
    random = torch.Generator().manual_seed(1)
    drawn = [torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=random) for _ in range(4)]
    weight = torch.nn.Parameter(drawn[0].clone())
    muon = Muon([{"params": [weight], "lr": 0.1}], momentum=0.8)
    expected, kept = drawn[0].clone(), torch.zeros_like(drawn[0])
    for gradient in drawn[1:]:
        weight.grad = gradient.clone()
        muon.step()
        kept = 0.8 * kept + gradient
        ahead = (gradient + 0.8 * kept).reshape(4, 12)
        expected -= 0.1 * 12**0.5 * by_singular_values(ahead).reshape(4, 3, 2, 2)
    assert_identity(weight.detach(), expected)


def test_it_learns_all_directions_of_a_badly_scaled_problem_alike():
    """Squares of curvatures from 1 down to a thousandth; momentum alone leaves most of the flattest."""
    scales = torch.logspace(0, -1.5, 6)
    left = {}
    for name, make in (
        ("muon", Muon),
        ("momentum", lambda params, lr: torch.optim.SGD(params, lr, 0.9, nesterov=True)),
    ):
        weight = torch.nn.Parameter(torch.eye(6))
        optimizer = make([weight], lr=0.02)
        for _ in range(100):
            optimizer.zero_grad()
            torch.autograd.backward((weight * scales[:, None]).square().sum() / 2)
            optimizer.step()
        left[name] = weight.detach().diagonal().abs()[-1]
    assert left["muon"] < 0.2 < left["momentum"]


def test_what_is_stored_goes_on_alike():
    def trained(steps, stored=None):
        weight = torch.nn.Parameter(torch.eye(3) if stored is None else stored[0].clone())
        muon = Muon([weight], lr=0.1)
        if stored is not None:
            muon.load_state_dict(stored[1])
        for step in steps:
            weight.grad = torch.arange(9.0).reshape(3, 3).sin() + step
            muon.step()
        return weight.detach(), muon.state_dict()

    assert torch.equal(trained([2, 3], trained([0, 1]))[0], trained([0, 1, 2, 3])[0])


def test_a_vector_is_refused_and_no_gradient_is_no_move():
    with pytest.raises(ValueError, match="give vectors to another optimiser"):
        Muon([torch.zeros(3)])
    weight = torch.nn.Parameter(torch.ones(2, 2))
    assert Muon([weight]).step(lambda: 7.0) == 7.0
    assert weight.detach().tolist() == [[1, 1], [1, 1]]
