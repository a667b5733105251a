import pytest
import torch

from theodolite.engine.devices import choose_device, make_fabric
from theodolite.kernel.errors import ResourceError
from theodolite.kernel.settings import TrainSettings


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_device_that_is_not_here_is_said_to_be_missing():
    assert choose_device(TrainSettings()).type == "cpu"
    with pytest.raises(ResourceError, match="device=cuda was asked for"):
        choose_device(TrainSettings(device="cuda"))


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("64-true", torch.float64)])
def test_a_network_answers_in_the_precision_it_computes_in(precision, dtype):
    network = make_fabric(TrainSettings(device="cpu"), precision).setup_module(torch.nn.Linear(2, 1))
    assert network.weight.dtype == dtype
    assert network(torch.ones(3, 2)).dtype == dtype
