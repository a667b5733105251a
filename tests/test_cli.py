"""The door: every command as a newcomer types it, right and wrong."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from theodolite import families
from theodolite.cli import main
from theodolite.families import FAMILIES
from theodolite.kernel.records import Audit, Figure, Finding, Measurement, Plan, Prediction


def call(*words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["gann"], 2, 'Unknown command "gann"'),
        (["gan", "trane"], 2, 'Unknown command "trane"'),
        (["gan", "plan", "--colour", "red"], 2, "Unknown option: --colour"),
        (["gan", "train", "--steps", "0"], 2, "steps='0' must be greater than or equal to 1"),
        (["gan", "train", "--steps", "many"], 2, "steps='many' must be a valid integer"),
        (["gan", "train", "--config", "absent.toml"], 3, "no settings file at absent.toml"),
        (["gan", "audit", "absent"], 3, "no run folder at absent"),
        (["gan", "report", "absent"], 3, "no run folder at absent"),
        (["gan", "train", "--resume", "--out", "absent"], 3, "no run folder at absent"),
        (["video-unet", "plan", "--frames", "0"], 2, "frames='0'"),
        (["gan", "plan", "ring8"], 2, "nothing takes the argument 'ring8'"),
        (["gan", "train", "--resume", "--force"], 2, "give one of them"),
        (["gan", "report", "x" * 300], 5, "xxx: File name too long"),
        (["linear-vae", "plan", "--data", "a\nb\x1b[31m.npy"], 3, r"no file at a\nb\x1b[31m.npy"),
        (["nested-vit", "plan", "--data", "absent"], 3, "no set of images at absent; give a folder for each class"),
        (["nested-vit", "predict", "absent", "a.png", "--out", "b.csv"], 3, "no run folder at absent"),
        (["demo", "--fast"], 2, "Unknown option: --fast"),
    ],
)
def test_bad_input_is_one_line_and_the_right_code(words, code, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*words) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("theodolite: ")
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys, time; from theodolite.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'altair', 'lightning_fabric'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_lists_its_verbs(family, capsys):
    assert call(family, "--help") == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("plan", "audit", "report"))


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.training_class])
def test_a_plan_as_json_is_one_document(family, capsys):
    assert call(family, "plan", "--json") == 0
    assert Plan.model_validate_json(capsys.readouterr().out) == families.plan(family)


def test_the_line_overrides_the_file(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('family = "linear-vae"\nlatent_dim = 7\nprior_scale = 2.0\n')
    assert call("linear-vae", "plan", "--config", recipe, "--latent-dim", "3", "--json") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["latent_dim"] == 3
    assert config["prior_scale"] == 2.0


def test_train_audit_and_report_end_to_end(tmp_path, capsys):
    run = tmp_path / "run"
    assert call("linear-vae", "train", "--out", run, "--steps", "20", "--json") == 0
    assert json.loads(capsys.readouterr().out)["step"] == 19
    assert call("linear-vae", "train", "--out", run) == 2
    assert "--resume" in capsys.readouterr().err
    assert call("linear-vae", "train", "--out", run, "--resume", "--steps", "30") == 0
    assert call("linear-vae", "train", "--out", run, "--resume", "--latent-dim", "3") == 2
    assert "leave out latent_dim" in capsys.readouterr().err
    assert call("linear-vae", "audit", run, "--json") in (0, 1)
    assert Audit.model_validate_json(capsys.readouterr().out).family == "linear-vae"
    assert call("linear-vae", "report", run) == 0
    assert (run / "report.html").is_file()
    assert call("gan", "audit", run) == 3
    assert "is a run of linear-vae, not of gan" in capsys.readouterr().err


def test_a_failed_prediction_is_exit_code_1(tmp_path, capsys, monkeypatch):
    prediction = Prediction(name="x", label="X", value=1, unit="", claim="exact", source="s")
    measurement = Measurement(name="x", value=2, unit="", method="m")
    audit = Audit(
        family="linear-vae",
        title="t",
        sentences=("X is 2, not 1.",),
        figures=(Figure(value="2", meaning="x"),),
        findings=(Finding(prediction=prediction, measurement=measurement, verdict="fails"),),
    )
    families.train("linear-vae", tmp_path / "run", steps=1)
    monkeypatch.setattr(families, "audit", lambda run: audit)
    assert call("linear-vae", "audit", tmp_path / "run") == 1
    shown = capsys.readouterr().out
    assert "X is 2, not 1." in shown
    assert "✗ fails" in shown


def test_a_defect_is_one_line_unless_debugged(capsys, monkeypatch):
    def broken(name, **fields):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(families, "plan", broken)
    assert call("gan", "plan") == 1
    assert capsys.readouterr().err == (
        "theodolite: a defect of theodolite, ZeroDivisionError: division by zero (--debug shows where)\n"
    )
    assert call("gan", "plan", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_is_one_line_and_the_code_of_the_signal(capsys, monkeypatch):
    def interrupted(name, **fields):
        raise KeyboardInterrupt

    monkeypatch.setattr(families, "plan", interrupted)
    assert call("gan", "plan") == 130
    assert capsys.readouterr().err == "theodolite: interrupted\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA out of memory."),
    ],
)
def test_too_little_memory_is_no_defect(error, capsys, monkeypatch):
    def large(name, **fields):
        raise error

    monkeypatch.setattr(families, "plan", large)
    assert call("gan", "plan") == 5
    assert capsys.readouterr().err.startswith("theodolite: out of memory; use a smaller")


def test_the_next_command_can_be_pasted(tmp_path, capsys):
    assert call("linear-vae", "train", "--steps", "1", "--out", tmp_path / "my run") == 0
    assert f"next: theodolite linear-vae audit '{tmp_path / 'my run'}'" in capsys.readouterr().out


def test_a_finished_run_without_metrics_can_be_resumed(tmp_path, capsys):
    families.train("linear-vae", tmp_path / "run", steps=1)
    (tmp_path / "run" / "metrics.jsonl").unlink()
    assert call("linear-vae", "train", "--resume", "--out", tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"run": str(tmp_path / "run")}


def test_the_version_is_the_packages(capsys):
    assert call("version", "--json") == 0
    assert json.loads(capsys.readouterr().out)["version"] == families.version()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vid", {"video-unet"}),
        ("video-unet re", {"report", "reconstruct"}),
        ("video-unet train --kern", {"--kernel"}),
        ("linear-vae train --reduction ", {"plain", "fixed"}),
    ],
)
def test_bash_completes_commands_settings_and_choices(typed, offered, capsys):
    assert call("completion", "bash") == 0
    words = ["theodolite", *typed.split(" ")]
    asked = f"COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}"
    script = f'{capsys.readouterr().out}\n{asked}\n_theodolite; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == offered, done.stderr


def test_completion_is_for_shells_that_are_known(capsys):
    assert call("completion", "tcsh") == 2
    assert "Choose from" in capsys.readouterr().err


def test_torchrun_can_start_it():
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "theodolite", "version"],
        capture_output=True, text=True, check=True, timeout=60, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == families.version()


def test_doctor_reports_rates(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert call("doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["gflop_per_second"]["float32"] > 0
    assert call("doctor") == 0
    assert "GFLOP/s" in capsys.readouterr().out


def test_data_that_cannot_be_used_leave_no_folder_in_the_way(tmp_path, capsys):
    samples = tmp_path / "samples.npy"
    np.save(samples, np.full((50, 3), np.nan))
    out = tmp_path / "run"
    assert call("coverage", "audit", "--real", samples, "--fake", samples, "--out", out) == 3
    assert call("linear-vae", "train", "--data", samples, "--latent-dim", "2", "--out", out) == 3
    assert not out.exists()
    np.save(samples, np.random.default_rng(0).normal(size=(400, 3)))
    assert call("coverage", "audit", "--real", samples, "--fake", samples, "--out", out, "--json") in (0, 1)
    capsys.readouterr()
    assert call("coverage", "audit", "--real", samples, "--fake", samples, "--out", out) == 2
    assert "--resume" not in capsys.readouterr().err
