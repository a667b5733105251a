from pathlib import Path
from typing import Any

import pytest
from tests.report.example import example_run

from theodolite.report.provenance import LONGEST, command, facts, settings


def test_what_a_reader_needs_to_repeat_the_run(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", audited=False)
    environment = run.read_json("environment.json")
    known = dict(facts(run, environment))
    assert known["Data"] == "digits"
    assert known["Seed"] == "0"
    assert known["Time"] == "3 min 12 s"
    assert known["Device"] == "cpu, 32-true"
    assert known["Versions"].startswith("Python 3.")
    assert "processors" in known["Machine"]
    assert command(environment).startswith("theodolite linear-vae train")
    assert ("latent_size", "8") in settings(run)


def test_data_of_the_user_is_named_with_its_hash(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", audited=False)
    run.write_json("data.json", {"path": "faces/", "sha256": "ab" * 32, "held_out": [1]})
    assert dict(facts(run, {}))["Data"] == "faces/ (SHA-256 abababababababab…)"


@pytest.mark.parametrize("odd", [None, "x" * 10_000, -1, float("nan"), 10**400, [1, [2]], {"a": {}}, True])
def test_an_environment_may_hold_anything(tmp_path: Path, odd: Any) -> None:
    run = example_run(tmp_path / "run", audited=False)
    keys = (
        "command",
        "started",
        "seconds",
        "device",
        "precision",
        "python",
        "system",
        "processors",
        "memory_bytes",
        "versions",
    )
    environment = dict.fromkeys(keys, odd)
    assert all(len(text) <= 2 * LONGEST + 200 for _, text in facts(run, environment))
    assert len(command(environment)) <= LONGEST


def test_what_was_not_recorded_is_left_out(tmp_path: Path) -> None:
    run = example_run(tmp_path / "run", audited=False)
    assert "Machine" not in dict(facts(run, {}))
    assert command({}) == ""
    assert command({"command": ["theodolite", "gan", "train"]}) == "theodolite gan train"
