"""Which precision is chosen, and whether the check that decides tells right from wrong."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.engine.line import Line, make_run
from tests.tolerances import SINGLE
from torch import nn
from torch.nn import functional as F

from theodolite.engine import precision
from theodolite.engine.loop import fit
from theodolite.engine.precision import (
    ROUNDING,
    Check,
    Layer,
    check,
    choose_precision,
    first_wrong,
    layers_of,
    standard_layers,
)
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.settings import TrainSettings

CPU = torch.device("cpu")
LINE = {"line": nn.Linear(3, 1)}


def test_one_rounding_moves_numbers_by_what_the_bound_is_made_of():
    numbers = torch.from_numpy(np.exp2(np.random.default_rng(0).uniform(-4, 4, 200_000)))
    off = (numbers.bfloat16().double() - numbers) / numbers
    assert float(off.square().mean().sqrt()) == pytest.approx(ROUNDING, rel=0.01)
    assert float(off.abs().max()) <= precision.UNIT


@pytest.mark.parametrize("terms", [1, 100, 10_000])
def test_a_rounded_product_errs_by_three_roundings_whatever_its_length(terms):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(200, terms, generator=generator, dtype=torch.float64) for _ in range(2))
    exact = left @ right.T
    rounded = (left.bfloat16().double() @ right.bfloat16().double().T).bfloat16().double()
    error = float((rounded - exact).norm() / exact.norm())
    assert error == pytest.approx(np.sqrt(3) * ROUNDING, rel=0.2)
    assert error < Layer("", nn.Identity(), (), terms=terms).bound / 3


@pytest.mark.parametrize("layer", [layer for layer in standard_layers() if "Conv3d" not in layer.name])
def test_what_the_families_are_made_of_is_told_right_with_room(layer):
    found = check(layer, CPU)
    if "handed" in layer.name:  # torch adds up a layer norm's gradients in bfloat16: the more rows the worse
        assert not found.right or found.error > SINGLE
    else:
        assert found.error < found.bound / 2


class Broken(nn.Linear):
    """Right in float32; in bfloat16 wrong in one thing only."""

    fault = ""

    def forward(self, x):
        narrow = torch.is_autocast_enabled("cpu")
        weight, bias = self.weight, self.bias
        if narrow and self.fault == "weight gradient":
            weight = weight.detach() + 0.7 * (weight - weight.detach())
        if narrow and self.fault == "bias gradient":
            bias = bias.detach()
        if narrow and self.fault == "input gradient":
            x = x.detach() + 0.9 * (x - x.detach())
        y = F.linear(x, weight, bias)
        if narrow and self.fault == "output":
            y = y + 0.1 * y.detach()
        return y * torch.nan if narrow and self.fault == "nan" else y


@pytest.mark.parametrize("fault", ["output", "weight gradient", "bias gradient", "input gradient", "nan"])
def test_a_wrong_kernel_is_found_and_named(fault):
    module = Broken(20, 7)
    module.fault = fault
    layer = Layer("broken", module, ((6, 20),), terms=20)
    found = check(layer, CPU)
    assert not found.right
    assert found.error >= 2.5 * found.bound
    assert fault in found.where or fault == "nan"
    module.fault = ""
    assert check(layer, CPU).right


def test_layers_are_found_once_each_with_what_makes_them_a_kind():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 4), nn.Conv2d(4, 6, 3, stride=2, groups=2)])
            self.act = nn.GELU()

        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    names = {layer.name for layer in layers_of([Net(), nn.Linear(3, 4)])}
    assert names == {
        "Linear 3→4", "Conv2d 4→6, kernel 3×3, stride 2×2, 2 groups", "gelu", "attention", "attention with a mask",
    }  # fmt: skip


def test_every_depth_at_which_borders_meet_is_tried():
    (layer,) = layers_of([nn.Conv3d(2, 2, 3, padding=1)])
    assert {shape[2] for shape in layer.shapes} == {1, 2, 3, 4, 5, 6}
    (layer,) = layers_of([nn.Conv1d(2, 2, 5)])
    assert {shape[2] for shape in layer.shapes} == {5, 6, 7, 8, 9, 10, 32}


def by_hand(x, weight, gradient):
    """Weight gradient of a padded 3-D convolution of kernel 3 as 27 products of matrices, in float64."""
    padded = F.pad(x, (1,) * 6)
    parts = []
    for tap in np.ndindex(3, 3, 3):
        window = padded[tuple([slice(None)] * 2 + [slice(t, t + s) for t, s in zip(tap, x.shape[2:], strict=True)])]
        parts.append(torch.einsum("bidhw,bodhw->oi", window, gradient))
    return torch.stack(parts, dim=-1).reshape(weight.shape)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_float32_convolutions_agree_with_sums_by_hand(depth):
    """The referee is right itself."""
    x, weight = torch.randn(2, 8, depth, 4, 4), torch.randn(16, 8, 3, 3, 3).requires_grad_()
    y = F.conv3d(x, weight, padding=1)
    gradient = torch.randn_like(y)
    y.backward(gradient)
    expected = by_hand(x.double(), weight, gradient.double())
    torch.testing.assert_close(weight.grad.double(), expected, rtol=SINGLE, atol=SINGLE)


KNOWN_FAULT = """
import torch
from torch import nn
from theodolite.engine.precision import check, layers_of
torch.set_num_threads(1)
(layer,) = layers_of([nn.Conv3d(16, 16, 3, padding=1)])
found = check(layer, torch.device("cpu"))
print(found.error, found.bound, found.where, sep=";")
"""


@pytest.mark.skipif(
    "avx512" not in torch.backends.cpu.get_cpu_capability().lower() or not torch.__version__.startswith("2.13."),
    reason="known of torch 2.13 on processors with AVX-512",
)
def test_the_weight_gradients_that_torch_gets_wrong_are_found():
    """Two frames deep, without AMX: oneDNN reads this variable once, so it takes a process."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KNOWN_FAULT], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    error, bound, where = done.stdout.split(";")
    assert "its weight gradient for an input of" in where
    assert float(error) > 10 * float(bound)


def test_the_processor_computes_in_float32_unless_asked():
    assert choose_precision(TrainSettings(device="cpu"), LINE) == "32-true"
    assert choose_precision(TrainSettings(device="cpu", precision="bf16-mixed"), LINE) == "bf16-mixed"
    assert choose_precision(TrainSettings(device="cpu", precision="64-true"), LINE) == "64-true"


def wrongly(layer, device):
    return Check(layer.name, 0.5, layer.bound, "its output for an input of 1×3")


def test_bfloat16_asked_for_in_vain_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(precision, "check", wrongly)
    with pytest.raises(UsageError, match=r"Linear 3→1 errs by 0\.5 in its output .*take --precision 32-true") as caught:
        choose_precision(TrainSettings(device="cpu", precision="bf16-mixed"), LINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("faster", "right", "chosen"),
    [(True, True, "bf16-mixed"), (False, True, "32-true"), (True, False, "32-true")],
)
def test_a_gpu_gets_bfloat16_only_where_it_is_faster_and_right(monkeypatch, faster, right, chosen):
    """Measurements of a GPU stood in for: what is decided from them is tested here."""
    rates = {torch.bfloat16: 400.0 if faster else 40.0, torch.float32: 50.0}
    monkeypatch.setattr(precision, "choose_device", lambda training: torch.device("cuda"))
    monkeypatch.setattr(precision, "matmul_rate", lambda device, kind, size: rates[kind])
    monkeypatch.setattr(precision, "check", lambda layer, device: Check(layer.name, 0 if right else 1, 0.01, ""))
    assert choose_precision(TrainSettings(), LINE) == chosen


def test_a_run_keeps_the_precision_it_began_in(tmp_path, monkeypatch):
    run, training = make_run(tmp_path / "run", steps=4, precision="bf16-mixed")
    fit(Line(), training, run)
    assert run.read_json("environment.json")["precision"] == "bf16-mixed"
    # left to itself it would now choose float32
    automatic = training.model_copy(update={"precision": "auto"})
    assert precision.settle_precision(automatic, LINE, run) == "bf16-mixed"
    monkeypatch.setattr(precision, "check", wrongly)
    with pytest.raises(UsageError, match="bf16-mixed is wrong on this machine"):
        fit(Line(), automatic.model_copy(update={"steps": 8}), run)
    run.write_json("environment.json", {"precision": ["x"]})
    with pytest.raises(DataError, match=r"environment\.json is damaged: its precision is none of"):
        precision.settle_precision(automatic, LINE, run)


@pytest.mark.parametrize("kind", ["32-true", "64-true", "bf16-mixed"])
def test_a_resumed_run_ends_bitwise_the_same_in_every_precision(tmp_path, kind):
    fields = {"steps": 12, "checkpoint_every": 5, "precision": kind}

    class Killed(Line):
        def step(self, at):
            if at.number == 8:
                raise SystemExit
            return super().step(at)

    whole, training = make_run(tmp_path / "whole", **fields)
    fit(Line(), training, whole)
    broken, training = make_run(tmp_path / "broken", **fields)
    with pytest.raises(SystemExit):
        fit(Killed(), training, broken)
    fit(Line(), training, broken)
    assert broken.weights.read_bytes() == whole.weights.read_bytes()


def test_the_first_wrong_layer_is_found_or_none():
    assert first_wrong(LINE, CPU) is None
