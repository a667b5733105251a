"""What a repair leaves behind is read back whole, or refused in one line."""

import json

import pytest

from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.plan import plan
from theodolite.gan.repaired import Component, Repair, RepairSettings, Round, repair_of, sha256_of
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the hash of no bytes


@pytest.fixture
def run(tmp_path):
    config = GANConfig(data="line")
    return RunFolder.create(tmp_path / "run", "gan", config, GANTraining(), plan(config))


def repair(run, shares=(0.75, 0.25), **fields):
    folders = ["", *(f"repair/round-{number}" for number in range(1, len(shares)))]
    return Repair(
        **{
            "seal": run.plan.digest(),
            "settings": RepairSettings(),
            "accepted": len(shares) > 1,
            "why": "it helps",
            "rounds": (
                Round(
                    number=1, seen_by="D̂", reals=9, reals_inside=3, fakes=9, before_inside=0,
                    made_at_most=float("inf"), why="no",
                ),
            ),
            "components": tuple(
                Component(folder=folder, share=share, sha256=NOTHING)
                for folder, share in zip(folders, shares, strict=True)
            ),
        }
        | fields
    )  # fmt: skip


@pytest.mark.parametrize("shares", [(1.0,), (0.75, 0.25), (0.5, 0.25, 0.25)])
def test_it_comes_back_equal(run, shares):
    assert repair_of(run) is None
    run.write_record("repair.json", repair(run, shares))
    assert repair_of(run) == repair(run, shares)


def damaged(run, **changes):
    content = json.loads(repair(run).model_dump_json())
    content.update(changes)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accepted": False}, "there must be a further component if and only if"),
        ({"seal": "0" * 64}, "was written under another plan"),
        ({"components": []}, "at least 1 item"),
        ({"components": [{"folder": "", "share": 0.9, "sha256": NOTHING}]}, "must sum to 1"),
        ({"components": [{"folder": "../../etc", "share": 1, "sha256": NOTHING}]}, "should match pattern"),
        ({"components": [{"folder": "repair/round-1", "share": 1, "sha256": NOTHING}]}, "is the run's own generator"),
        ({"judge": "/etc"}, "should match pattern"),
        ({"judge": "repair/round-1/judge", "judge_sha256": "0" * 64}, "is not what the repair certified"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_damage_is_said_in_one_line(run, changes, says):
    (run.path / "repair.json").write_text(damaged(run, **changes))
    with pytest.raises(DataError, match=says) as found:
        repair_of(run)
    assert "\n" not in str(found.value)
    assert "repair.json" in str(found.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b'{"share": NaN}', b"[" * 100_000])
def test_what_is_no_record_is_refused(run, content):
    (run.path / "repair.json").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        repair_of(run)


def test_a_folder_or_a_huge_file_in_its_place_is_refused(run):
    path = run.path / "repair.json"
    path.mkdir()
    with pytest.raises(DataError, match="is not a file of at most"):
        repair_of(run)
    path.rmdir()
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(DataError, match="is not a file of at most"):
        repair_of(run)


def test_a_generator_that_was_trained_on_after_its_repair_is_refused(run):
    run.write_record("repair.json", repair(run))
    run.weights.write_bytes(b"other weights")
    assert sha256_of(run.weights) != NOTHING
    with pytest.raises(DataError, match="with --force"):
        repair_of(run)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="rounds=0 must be"):
        RepairSettings.build(rounds=0)
