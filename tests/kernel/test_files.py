"""Whole files or none, and words for whatever the disk does."""

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from theodolite.kernel.errors import ResourceError
from theodolite.kernel.files import append_line, remove_drafts, write_array, write_atomically


def failing(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch, call):
    path = tmp_path / "last.ckpt"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, call, failing(errno.ENOSPC))
    with pytest.raises(ResourceError, match=r"disk full while writing .*last\.ckpt; the old file is intact: make room"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ResourceError, match=r"new\.ckpt: make room for 2\.5 MB, then repeat the command"):
        write_atomically(tmp_path / "new.ckpt", bytes(2_500_000))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "allow writing there, or choose another --out"),
        (errno.EROFS, "the disk is mounted for reading only"),
        (errno.EIO, "the disk may be failing"),
        (errno.EDQUOT, "disk quota used up while writing"),
        (errno.EBADF, "look after the disk"),
    ],
)
def test_each_failure_has_its_remedy_in_one_line(tmp_path, monkeypatch, number, remedy):
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(ResourceError, match=remedy) as caught:
        write_atomically(tmp_path / "file", b"content")
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_folder_is_synchronised_after_the_rename(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def record_replace(*paths):
        done.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_atomically(tmp_path / "file", b"content")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synchronised_matters_only_where_it_should_be(tmp_path, monkeypatch, number, raised):
    fsync = os.fsync

    def fail_for_folders(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            failing(number)()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    if raised:
        with pytest.raises(ResourceError, match="the new file is there, but may not survive a power failure"):
            write_atomically(tmp_path / "file", b"new")
    else:
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_draft_that_cannot_be_removed_does_not_hide_the_first_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    monkeypatch.setattr(os, "replace", failing(errno.EROFS))
    unlink = os.unlink

    def keep_drafts(path, *arguments, **words):
        if Path(path).exists():
            failing(errno.EROFS)()
        unlink(path, *arguments, **words)

    monkeypatch.setattr(os, "unlink", keep_drafts)
    with pytest.raises(ResourceError, match="disk full"):
        write_atomically(tmp_path / "file", b"new")


def test_a_link_left_where_a_draft_goes_is_not_written_through(tmp_path):
    (tmp_path / "diary").write_text("private")
    (tmp_path / "file.part").symlink_to(tmp_path / "diary")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "diary").read_text() == "private"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_drafts_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    for name in ("a.part", "b.json.part", "a", "part"):
        (tmp_path / name).write_text("")
    remove_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "part"}
    remove_drafts(tmp_path / "absent")


def test_a_full_device_is_said_to_be_full(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"disk full while writing .*metrics\.jsonl; the lines before are intact"):
        append_line(tmp_path / "metrics.jsonl", "{}")


def test_a_file_where_a_folder_should_be_and_the_reverse(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="a file stands where a folder should"):
        write_atomically(tmp_path / "file" / "inner", b"x")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(ResourceError, match="a folder stands where a file should"):
        write_atomically(tmp_path / "folder", b"x")
    with pytest.raises(ResourceError, match="its folder is gone"):
        write_atomically(tmp_path / "absent" / "file", b"x")


def test_a_folder_without_permission(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    immutable = os.geteuid() == 0  # whom permissions do not stop
    try:
        if immutable and subprocess.run(["chattr", "+i", folder], capture_output=True, check=False).returncode:
            pytest.skip("this file system has no immutable folders")
        folder.chmod(0o755 if immutable else 0o555)
    except (FileNotFoundError, PermissionError):
        pass
    try:
        with pytest.raises(ResourceError, match=r"cannot write .*file: .*allow writing there, or choose another --out"):
            write_atomically(folder / "file", b"x")
    finally:
        if immutable:
            subprocess.run(["chattr", "-i", folder], check=True)
        folder.chmod(0o755)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_keeps_the_old_file(small_disk):
    path = small_disk / "last.ckpt"
    write_atomically(path, bytes(40_000))
    with pytest.raises(ResourceError, match=r"disk full .*the old file is intact: make room for 0\.1 MB"):
        write_atomically(path, bytes(60_000))
    assert path.read_bytes() == bytes(40_000)
    assert list(small_disk.iterdir()) == [path]
    write_atomically(path, bytes(20_000))


def test_arrays_are_written_whole_and_without_pickles(tmp_path):
    write_array(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(tmp_path / "b.npy", np.array([object()]))
