"""SIGKILL at random moments, 25 times a family: every run ends bitwise as one that nobody killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from theodolite.families import FAMILIES

KILLS = 25
ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.training_class])
def test_kills_at_random_change_nothing(family, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.killing", family, tmp_path, str(KILLS)],
        capture_output=True, text=True, check=False, timeout=290, cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == KILLS
    # they fell on both: on runs at work, and in the middle of writing
    assert any(phase.startswith("writing") for phase in found["phases"])
    assert any(not phase.startswith("writing") for phase in found["phases"])
    assert found["lives"] >= 2
