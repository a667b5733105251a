import errno
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from theodolite.kernel.errors import DataError, InterruptedRun, ResourceError, TheodoliteError, UsageError
from theodolite.kernel.records import Audit, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import Settings, TrainSettings


class Config(Settings):
    data: str = Field("digits", description="data")
    noise: float | None = Field(None, description="noise")
    kernel: tuple[int, int, int] = Field((3, 3, 3), description="kernel")


PLAN = Plan(family="gan", config={"data": "line"})


def make(path, force=False, config=None):
    return RunFolder.create(path, "gan", config or Config(), TrainSettings(steps=7), PLAN, force=force)


def test_settings_come_back_as_they_were_stored(tmp_path):
    config = Config(data='a "quoted" \\ naïve path', kernel=(1, 2, 3))
    run = make(tmp_path / "run", config=config)
    assert run.settings(Config) == config
    assert run.settings(TrainSettings).steps == 7
    assert run.family == "gan"
    assert run.plan == PLAN


def test_an_existing_folder_is_not_overwritten_unless_forced(tmp_path):
    run = make(tmp_path / "run")
    run.append_metrics({"step": 0, "loss": 1.0})
    with pytest.raises(UsageError, match="--resume"):
        make(tmp_path / "run")
    assert make(tmp_path / "run", force=True).metrics() == []


def test_force_deletes_only_run_folders(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not a run folder"):
        make(tmp_path, force=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("name", ["config.toml", "plan.json"])
def test_a_folder_that_cannot_be_begun_is_not_left_in_the_way(tmp_path, monkeypatch, name):
    replace = os.replace

    def fail(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(ResourceError, match=rf"disk full while writing .*{name}: make room"):
            make(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert make(tmp_path / "run").plan == PLAN


def test_what_a_run_killed_at_its_start_leaves_is_no_obstacle(tmp_path):
    (tmp_path / "run" / "exhibits").mkdir(parents=True)
    (tmp_path / "run" / "config.toml.part").write_text("half")
    assert make(tmp_path / "run").plan == PLAN
    (tmp_path / "other" / "exhibits").mkdir(parents=True)
    (tmp_path / "other" / "exhibits" / "mine.npy").write_text("kept")
    with pytest.raises(UsageError, match="exists"):
        make(tmp_path / "other")


def test_a_file_in_the_way_is_a_usage_error(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="exists"):
        make(tmp_path / "run")


@pytest.mark.parametrize(("build", "complaint"), [(lambda path: None, "no run folder"), (os.mkdir, "no config.toml")])
def test_opening_what_is_no_run_says_why(tmp_path, build, complaint):
    build(tmp_path / "run")
    with pytest.raises(DataError, match=complaint):
        RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize("content", ["", "{", '{"family": "gan"}', "[]", '{"family": 1, "config": {}, "x": 1}'])
def test_a_damaged_plan_is_one_line(tmp_path, content):
    run = make(tmp_path / "run")
    (run.path / "plan.json").write_text(content)
    with pytest.raises(DataError, match=r"plan\.json is damaged") as caught:
        _ = run.plan
    assert "\n" not in str(caught.value)


def test_a_missing_audit_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match="theodolite gan audit"):
        _ = make(tmp_path / "run").audit


def test_an_audit_comes_back_equal(tmp_path):
    run, audit = make(tmp_path / "run"), Audit(family="gan", title="t", sentences=("one",))
    run.write_record("audit.json", audit)
    assert run.audit == audit


def test_metrics_survive_a_line_cut_short_and_a_resume(tmp_path):
    run = make(tmp_path / "run")
    for step in range(5):
        run.append_metrics({"step": step, "loss": 1 / (step + 1)})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    assert [row["step"] for row in run.metrics()] == [0, 1, 2, 3, 4]
    run.keep_metrics_before(3)
    assert [row["step"] for row in run.metrics()] == [0, 1, 2]


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"[1, 2]", b"3", b'{"loss": 1.0}', b'{"step": "1"}', b"[" * 100_000])
def test_a_line_of_metrics_that_is_none_ends_them(tmp_path, damage):
    run = make(tmp_path / "run")
    run.append_metrics({"step": 0, "loss": 1.0})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(damage + b"\n")
    assert [row["step"] for row in run.metrics()] == [0]


@pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_document_is_one_line(tmp_path, damage):
    run = make(tmp_path / "run")
    (run.path / "environment.json").write_bytes(damage)
    with pytest.raises(DataError, match=r"environment\.json is damaged"):
        run.read_json("environment.json")
    assert run.read_json("absent.json") == {}


def test_a_pipe_or_a_device_is_no_record(tmp_path):
    run = make(tmp_path / "run")
    os.mkfifo(run.path / "audit.json")
    with pytest.raises(DataError, match=r"audit\.json is not a file"):
        _ = run.audit
    (run.path / "plan.json").unlink()
    (run.path / "plan.json").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"plan\.json is not a file"):
        _ = run.plan


def test_force_deletes_nothing_behind_a_link(tmp_path):
    run = make(tmp_path / "run")
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(ResourceError, match=r"cannot replace .*link"):
        make(tmp_path / "link", force=True)
    assert run.plan


def test_only_one_writer_at_a_time(tmp_path):
    run = make(tmp_path / "run")
    with run.lock(), pytest.raises(ResourceError, match="another process"), RunFolder.open(run.path).lock():
        pass
    with run.lock():
        pass


def test_arrays_of_exhibits_hold_no_pickle(tmp_path):
    run = make(tmp_path / "run")
    name = run.save_array("missed", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(np.load(run.exhibits / name, allow_pickle=False), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="Object arrays"):
        run.save_array("bad", np.array([object()]))


def test_exit_codes_are_those_of_the_manual():
    codes = {kind.__name__: kind.exit_code for kind in TheodoliteError.__subclasses__() if kind is not InterruptedRun}
    assert codes == {"UsageError": 2, "DataError": 3, "DivergedError": 4, "ResourceError": 5}
    assert InterruptedRun("", 2).exit_code == 130
    assert InterruptedRun("", 15).exit_code == 143
