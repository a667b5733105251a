import math
import subprocess
import sys

import numpy as np
import pytest

from theodolite.coverage.config import CoverageConfig
from theodolite.coverage.folds import training_fakes
from theodolite.coverage.plan import counts, fakes_to_draw, needed, plan
from theodolite.coverage.planning import naming_power
from theodolite.kernel.errors import DataError, UsageError


def test_counts_come_from_the_headers(tmp_path):
    np.save(tmp_path / "r.npy", np.zeros((70, 2)))
    np.save(tmp_path / "f.npy", np.zeros((90, 2)))
    real, fake = str(tmp_path / "r.npy"), str(tmp_path / "f.npy")
    assert counts(CoverageConfig(real=real, fake=fake)) == (70, 90)
    assert counts(CoverageConfig(real=real, fake="module:function", fakes=123)) == (70, 123)
    assert counts(CoverageConfig(reals=500)) == (500, fakes_to_draw(500, 0.1, 0.1))
    with pytest.raises(DataError, match="nothing at"):
        counts(CoverageConfig(real=str(tmp_path / "no.npy")))


def test_what_is_said_to_be_needed_is_enough():
    """Planning for the needed number of fakes, the smallest nameable mass is below the mass that was asked for."""
    for reals in (200, 1000, 20_000):
        for row in needed(reals, 0.1, 0.1, 0.95):
            planned = plan(CoverageConfig(reals=reals, fakes=row.fakes))
            smallest = next(p for p in planned.predictions if p.name == "smallest_nameable_mass")
            assert smallest.value <= max(row.mass, 1 / (reals // 2))  # one real of a half is the least there is
            assert row.reals * row.mass >= 1


def test_more_is_needed_for_less():
    rows = needed(1000, 0.1, 0.1, 0.95)
    assert [row.mass for row in rows] == [0.005, 0.01, 0.02]
    assert rows[0].fakes > rows[1].fakes > rows[2].fakes
    assert rows[0].reals > rows[1].reals > rows[2].reals
    # half the τ costs twice the fakes, but for those that train and for rounding up to two digits
    twice = (needed(1000, 0.05, 0.1, 0.95)[0].fakes - 2000) / (rows[0].fakes - 2000)
    assert 1.8 < twice < 2.2


def test_what_is_needed_is_what_the_test_needs():
    """The rule that names decides: nine tenths of what is missed with so many fakes, and less with a fifth less.

    (Of very few reals the certificate decides, which takes more.)
    """
    for reals in (1000, 20_000):
        for row in needed(reals, 0.1, 0.1, 0.95):
            calibrating = [fakes - training_fakes(reals, fakes) for fakes in (row.fakes, row.fakes * 4 // 5)]
            power = [naming_power(row.mass, reals, m, 0.1, 0.1) for m in calibrating]
            assert power[0] >= 0.9 > power[1]


def test_too_few_fakes_are_said_before_anything_is_measured():
    planned = plan(CoverageConfig(reals=200, fakes=100))
    assert planned.predictions[0].value == math.inf
    assert "more generated samples are needed" in planned.exhibits[0].title
    assert type(planned).model_validate_json(planned.model_dump_json()) == planned


@pytest.mark.parametrize("count", [0, 1, 39])
def test_a_file_of_too_few_samples_is_refused(tmp_path, count):
    np.save(tmp_path / "few.npy", np.zeros((count, 3)))
    np.save(tmp_path / "many.npy", np.zeros((50, 3)))
    for real, fake in (("few.npy", "many.npy"), ("many.npy", "few.npy")):
        config = CoverageConfig(real=str(tmp_path / real), fake=str(tmp_path / fake))
        with pytest.raises(DataError, match=rf"few\.npy holds {count} samples; at least 40"):
            plan(config)


def test_settings_out_of_range_are_one_line():
    for field in ({"tau": 0}, {"tau": 1.1}, {"alpha": 0}, {"confidence": 1}, {"reals": 3}, {"unknown": 1}):
        with pytest.raises(UsageError, match=next(iter(field))):
            CoverageConfig.build(**field)


def test_a_plan_needs_no_torch_and_no_classifier():
    code = (
        "import sys; from theodolite.coverage.plan import plan; from theodolite.coverage.config import CoverageConfig;"
        "plan(CoverageConfig()); print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
