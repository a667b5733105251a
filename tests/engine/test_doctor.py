"""What the doctor says; how fast this machine is is nobody's business here."""

import json

import pytest
import torch
from scipy.linalg import blas

from theodolite.engine import doctor
from theodolite.engine.bfloat16 import Check
from theodolite.engine.rates import closed_form_rates, copy_rate, matmul_rate
from theodolite.kernel.environment import known_rates, rates_file
from theodolite.report.terminal import print_examination

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "closed_form_rates", lambda: closed_form_rates(64, 16, 1000))


def test_rates_are_positive():
    assert matmul_rate(CPU, torch.float32, 64) > 0
    assert copy_rate(CPU, 10_000) > 0
    assert all(rate > 0 for rate in closed_form_rates(64, 16, 1000).model_dump().values())


def test_the_product_that_is_timed_is_half_of_the_gram_matrix():
    samples = torch.randn(50, 4, dtype=torch.float64).numpy()
    gram = blas.dsyrk(1.0, samples.T)
    torch.testing.assert_close(torch.from_numpy(gram).triu(), torch.from_numpy(samples.T @ samples).triu())
    assert not gram[3, 0]


def test_the_examination_names_what_was_measured_and_keeps_the_rates():
    found = doctor.examine()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["gflop_per_second"]) == {"float64", "float32", "bfloat16"}
    assert found["device_memory_bytes"] > 0
    assert found["versions"]["torch"] == torch.__version__
    kept = known_rates()
    assert kept is not None
    assert kept.model_dump() == found["closed_form"]
    assert found["kept"] == f"rates kept in {rates_file()}"
    layers = [check["layer"] for check in found["bfloat16"]]
    assert {"Linear 64→192", "attention", "gelu", "LayerNorm of 64"} <= set(layers)
    assert len(set(layers)) == len(layers)


def test_a_wrong_layer_is_shown_as_wrong(monkeypatch, capsys):
    def half_wrong(layer, device):
        return Check(layer.name, float("inf") if "Conv3d" in layer.name else 0.001, 0.01, "its output for 1×2")

    monkeypatch.setattr(doctor, "check", half_wrong)
    found = doctor.examine()
    wrong = [check for check in found["bfloat16"] if not check["right"]]
    assert all(check["error"] is None and "Conv3d" in check["layer"] for check in wrong)
    print_examination(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "not finite" in shown
    assert "wrong: its" in shown
    assert "GFLOP/s" in shown


def test_a_cache_that_cannot_be_written_does_not_stop_the_doctor(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "standard_layers", list)
    (tmp_path / "cache").write_text("")
    assert doctor.examine()["kept"].startswith("rates not kept: cannot write")
