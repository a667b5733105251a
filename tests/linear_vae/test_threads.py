import pytest
import torch

from theodolite.linear_vae.threads import WORTH_SHARING, threads_for


@pytest.mark.parametrize(("multiplications", "single"), [(1, True), (WORTH_SHARING, False)])
def test_small_steps_take_one_thread_and_leave_the_rest_as_it_was(multiplications, single):
    before = torch.get_num_threads()
    with threads_for(multiplications):
        assert torch.get_num_threads() == (1 if single else before)
    assert torch.get_num_threads() == before
