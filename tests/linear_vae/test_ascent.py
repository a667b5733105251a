import numpy as np
import pytest
import torch
from tests.tolerances import assert_identity

from theodolite.linear_vae.ascent import ascend
from theodolite.linear_vae.train import WORTH_SHARING, threads_for


@pytest.mark.parametrize(("multiplications", "single"), [(1, True), (WORTH_SHARING, False)])
def test_small_steps_take_one_thread_and_leave_the_rest_as_it_was(multiplications, single):
    before = torch.get_num_threads()
    with threads_for(multiplications):
        assert torch.get_num_threads() == (1 if single else before)
    assert torch.get_num_threads() == before


def test_training_is_a_function_of_its_seed_and_leaves_torchs_generator_alone():
    x = np.random.default_rng(0).standard_normal((40, 5))
    settings = {"noise_variance": None, "prior_scale": 2.0, "draws": 2, "steps": 5, "batch_size": 15}
    state = torch.get_rng_state()
    first, again, other = (ascend(x, 2, **settings, learning_rate=0.1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert_identity(first.decoder, again.decoder)
    assert not np.allclose(first.decoder, other.decoder)
    assert first.prior_variance == 4.0


def test_a_given_noise_is_kept_and_a_batch_may_exceed_the_data():
    x = np.random.default_rng(0).standard_normal((10, 3))
    weights = ascend(
        x, 1, noise_variance=0.3, prior_scale=1.0, draws=0, steps=3, batch_size=99, learning_rate=0.1, seed=0
    )
    assert_identity(weights.noise_variance, 0.3)
