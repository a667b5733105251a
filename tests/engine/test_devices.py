import pytest
import torch

from theodolite.engine.devices import choose_device
from theodolite.kernel.errors import ResourceError
from theodolite.kernel.settings import TrainSettings


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_device_that_is_not_here_is_said_to_be_missing():
    assert choose_device(TrainSettings()).type == "cpu"
    with pytest.raises(ResourceError, match="device=cuda was asked for"):
        choose_device(TrainSettings(device="cuda"))
