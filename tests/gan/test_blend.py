"""A mixture as one module: against direct sampling, with a judge whose ratio is known, and exported."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_sampling, assert_single
from torch import nn

from theodolite.gan.blend import TRIES, Blend, Judge


class Constant(nn.Module):
    """Makes one value, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, normal):
        return torch.full((len(normal), 1), self.value)


class Same(nn.Module):
    """Gives back what it is given."""

    def forward(self, normal):
        return normal


class First(nn.Module):
    """Scores a sample by its first number."""

    def forward(self, x):
        return x[:, 0]


def draw(blend, count=40_000, seed=0):
    with torch.no_grad():
        return blend(torch.randn(count, blend.latent_dim, generator=torch.Generator().manual_seed(seed))).numpy()


def test_every_generator_is_chosen_with_its_share():
    shares = (0.5, 0.3, 0.2)
    made = draw(Blend([Constant(float(k)) for k in range(3)], (1, 4, 2), shares))[:, 0]
    for number, share in enumerate(shares):
        hits = int((made == number).sum())
        assert binomtest(hits, made.size, share).pvalue > FOUR_STANDARD_ERRORS


def test_a_generator_is_given_standard_normal_draws_of_its_own_number():
    blend = Blend([Same(), Same()], (2, 2), (0.4, 0.6))
    assert blend.latent_dim == 4
    made = draw(blend)
    assert_sampling(made[:, 0], 0.0)
    assert_sampling(made[:, 1] ** 2, 1.0)
    # which generator it is says nothing of what that one is given
    assert_sampling(made[:, 0] * made[:, 1], 0.0)


def test_what_is_kept_follows_the_ratio():
    """Candidates N(0, 1), ratio exp(x): the mean of what is made, by an integral over the candidates."""
    ceiling = 0.5
    blend = Blend([Same()], (1,), (1.0,), Judge(First(), ceiling=ceiling))
    x = np.linspace(-9, 9, 200_001)
    density = norm.pdf(x) * (x[1] - x[0])
    keep = np.minimum(1.0, np.exp(x - ceiling))
    z = (density * keep).sum()
    lost = (1 - z) ** TRIES  # then the last candidate stands, though it was rejected
    expected = (1 - lost) * (x * density * keep).sum() / z + lost * (x * density * (1 - keep)).sum() / (1 - z)
    assert_sampling(draw(blend)[:, 0], expected)


def test_a_judge_that_keeps_all_changes_nothing_but_the_draws_taken():
    judged = Blend([Same()], (3,), (1.0,), Judge(First(), slope=0.0, ceiling=-1.0))
    plain = Blend([Same()], (3,), (1.0,))
    normal = torch.randn(50, judged.latent_dim)
    assert judged.latent_dim == TRIES * plain.latent_dim
    assert torch.equal(judged(normal), plain(normal[:, : plain.latent_dim]))


def test_a_sample_depends_on_its_own_row_only():
    blend = Blend([Same(), Constant(3.0)], (1, 1), (0.7, 0.3), Judge(First()))
    normal = torch.randn(20, blend.latent_dim)
    assert_single(blend(normal)[7:8].numpy(), blend(normal[7:8]).numpy())


@pytest.mark.parametrize("judge", [None, Judge(First(), ceiling=0.3)])
def test_it_is_exported_as_one_program(judge, tmp_path):
    blend = Blend([nn.Linear(5, 2), nn.Linear(3, 2)], (5, 3), (0.6, 0.4), judge).eval()
    example = torch.randn(4, blend.latent_dim)
    program = torch.export.export(blend, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    torch.export.save(program, tmp_path / "blend.pt2")
    loaded = torch.export.load(tmp_path / "blend.pt2").module()
    other = torch.randn(33, blend.latent_dim)
    assert_single(loaded(other).detach().numpy(), blend(other).detach().numpy())
