import pytest
import torch

from theodolite.engine.devices import choose_device, choose_precision
from theodolite.engine.doctor import copy_rate, examine, matmul_rate
from theodolite.kernel.errors import ResourceError
from theodolite.kernel.settings import TrainSettings


def test_the_cpu_is_never_given_bf16_unasked():
    assert choose_precision(TrainSettings(device="cpu")) == "32-true"
    assert choose_precision(TrainSettings(device="cpu", precision="bf16-mixed")) == "bf16-mixed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_device_that_is_not_here_is_said_to_be_missing():
    assert choose_device(TrainSettings()).type == "cpu"
    with pytest.raises(ResourceError, match="device=cuda was asked for"):
        choose_device(TrainSettings(device="cuda"))


def test_rates_are_positive():
    cpu = torch.device("cpu")
    assert matmul_rate(cpu, torch.float32, 64) > 0
    assert copy_rate(cpu, 10_000) > 0


def test_the_examination_names_what_was_measured():
    found = examine()
    assert set(found["gflop_per_second"]) == {"float64", "float32", "bfloat16"}
    assert found["device_memory_bytes"] > 0
    assert found["versions"]["torch"] == torch.__version__
