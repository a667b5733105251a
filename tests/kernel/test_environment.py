import json
import os
import subprocess
import sys

import numpy as np
import pytest

from theodolite.kernel.environment import Rates, describe, keep_rates, known_rates, rates_file
from theodolite.kernel.errors import ResourceError

RATES = Rates(**{name: number + 0.5 for number, name in enumerate(Rates.model_fields)})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_environment_is_plain_json():
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["numpy"] == np.__version__


def test_rates_come_back_as_they_were_kept(tmp_path):
    assert known_rates() is None
    assert keep_rates(RATES) == tmp_path / "cache" / "theodolite" / "doctor.json"
    assert known_rates() == RATES


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "{}", '{"machine": {}, "rates": 3}', "[" * 100_000, "\0"])
def test_damaged_rates_are_none(damage):
    keep_rates(RATES)
    rates_file().write_text(damage)
    assert known_rates() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["machine"].update(processors=4096),
        lambda content: content["machine"].update(processor="another"),
        lambda content: content["rates"].pop("read"),
        lambda content: content["rates"].update(read=-1.0),
        lambda content: content["rates"].update(read="fast"),
        lambda content: content["rates"].update(read=float("inf")),
        lambda content: content["rates"].update(extra=1.0),
    ],
)
def test_rates_of_another_machine_or_that_cannot_be_are_none(change):
    content = json.loads(keep_rates(RATES).read_text())
    change(content)
    rates_file().write_text(json.dumps(content))
    assert known_rates() is None


def test_what_is_no_file_or_too_large_is_none():
    keep_rates(RATES)
    rates_file().write_text(" " * 2**21)
    assert known_rates() is None
    rates_file().unlink()
    os.mkfifo(rates_file())
    assert known_rates() is None


def test_the_cache_folder_is_the_one_the_standard_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert rates_file() == tmp_path / ".cache" / "theodolite" / "doctor.json"


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write .*doctor\.json: .*a file stands where a folder should"):
        keep_rates(RATES)
    assert known_rates() is None


def test_rates_are_read_without_torch():
    code = (
        "import sys; from theodolite.kernel.environment import known_rates; known_rates(); "
        "sys.exit(bool({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
