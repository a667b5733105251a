import os
from pathlib import Path

import numpy as np
import pytest
from tests.report.example import example_run

from theodolite.kernel.errors import DataError
from theodolite.kernel.runs import RunFolder
from theodolite.report.arrays import LARGEST, read_images, read_numbers


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return example_run(tmp_path / "run", audited=False)


def refuses(run: RunFolder, match: str, name: str = "a.npy") -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_images(run, name, (3, 4))
    assert "\n" not in str(caught.value)


def header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_what_was_saved_is_read(run: RunFolder) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(read_images(run, run.save_array("a", images), (3, 4)), images)
    assert read_numbers(run, run.save_array("b", images > 3), 3).dtype == np.float64


def test_damage_is_one_line(run: RunFolder) -> None:
    refuses(run, "is missing, but an exhibit names it")
    for content in (
        b"",
        b"no array at all",
        b"\x93NUMPY\x01\x00\xff\xff{",
        header((3, 4, 4))[:-20],
        header((2, 2, 2)) + b"1",
    ):
        (run.exhibits / "a.npy").write_bytes(content)
        refuses(run, "is damaged")


def test_a_huge_array_is_refused_by_its_header(run: RunFolder) -> None:
    (run.exhibits / "a.npy").write_bytes(header((10**6, 10**6, 10**6)))
    refuses(run, "an exhibit may have")
    (run.exhibits / "a.npy").write_bytes(header((1, 1, LARGEST + 1)))
    refuses(run, "show less")
    (run.exhibits / "a.npy").write_bytes(header((0, 3, 3)))
    refuses(run, "is empty")


def test_objects_and_other_kinds_are_refused(run: RunFolder) -> None:
    np.save(run.exhibits / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refuses(run, "is damaged")
    run.save_array("a", np.zeros((2, 3, 3)))
    refuses(run, "wanted is uint8 in 3 or 4 dimensions")
    run.save_array("a", np.zeros((2, 2), dtype=np.uint8))
    refuses(run, "wanted is uint8")
    run.save_array("a", np.array(["x"]))
    with pytest.raises(DataError, match="wanted are numbers"):
        read_numbers(run, "a.npy", 1)


def test_nothing_outside_the_exhibits_is_read(run: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside.npy"
    np.save(outside, np.zeros((2, 3, 3), dtype=np.uint8))
    (run.exhibits / "a.npy").symlink_to(outside)
    refuses(run, "is not a plain file")
    refuses(run, "lies outside", "../../outside.npy")
    os.mkfifo(run.exhibits / "pipe.npy")
    refuses(run, "is not a plain file", "pipe.npy")
    (run.exhibits / "folder.npy").mkdir()
    refuses(run, "is not a plain file", "folder.npy")
