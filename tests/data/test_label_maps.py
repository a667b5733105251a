import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from theodolite.data import label_maps
from theodolite.data.label_maps import LabelMap
from theodolite.data.large_images import open_image
from theodolite.kernel.errors import ResourceError, UsageError

RNG = np.random.default_rng(0)


def _written(path, values, rows=37, **how):
    with LabelMap(path, *values.shape, values.dtype, **how) as file:
        for top in range(0, len(values), rows):
            file.write(values[top : top + rows])
    return path


def _whole(path):
    with open_image(path, labels=True) as image:
        image.check()
        return image.window(0, 0, image.height, image.width)[..., 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (64, 64), (257, 129)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("big", [False, True])
def test_other_readers_find_what_was_written(tmp_path, monkeypatch, size, dtype, big):
    tifffile, pyvips = pytest.importorskip("tifffile"), pytest.importorskip("pyvips")
    if big:
        monkeypatch.setattr(label_maps, "_CLASSIC_BYTES", 0)
    values = RNG.integers(0, 256, size).astype(dtype)
    path = _written(tmp_path / "a.tif", values, tile=64)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == big
        assert file.pages[0].tile == (64, 64)
        assert file.pages[0].dtype == dtype
        np.testing.assert_array_equal(file.asarray(), values)
    image = pyvips.Image.tiffload(str(path), fail_on="warning")
    np.testing.assert_array_equal(np.frombuffer(image.write_to_memory(), dtype).reshape(size), values)
    if dtype != np.float32:
        np.testing.assert_array_equal(_whole(path), values)
    if not big:
        with Image.open(path) as opened:
            np.testing.assert_array_equal(np.asarray(opened), values)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 100])
def test_rows_may_come_in_any_number(tmp_path, rows):
    values = RNG.integers(0, 9, (100, 50), dtype=np.uint8)
    np.testing.assert_array_equal(_whole(_written(tmp_path / "a.tif", values, rows, tile=16)), values)


def test_the_same_rows_give_the_same_file(tmp_path):
    values = RNG.integers(0, 9, (100, 50), dtype=np.uint8)
    one, other = (_written(tmp_path / f"{rows}.tif", values, rows).read_bytes() for rows in (7, 100))
    assert one == other


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = _written(tmp_path / "a.tif", np.ones((20, 20), np.uint8))
    before = path.read_bytes()
    map_ = LabelMap(path, 20, 20)

    def interrupted():
        with map_:
            map_.write(np.zeros((5, 20), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(UsageError, match="only 5 were written"), LabelMap(path, 20, 20) as file:
        file.write(np.zeros((5, 20), np.uint8))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = _written(tmp_path / "a.tif", np.ones((20, 20), np.uint8))
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def begin():
        with LabelMap(path, 20, 20) as file:
            if call == "write":
                monkeypatch.setattr(file, "_file", _Full(file._file))
            elif call == "fsync":
                monkeypatch.setattr(os, "fsync", full)
            else:
                monkeypatch.setattr("pathlib.Path.replace", full)
            file.write(np.zeros((20, 20), np.uint8))

    with pytest.raises(ResourceError, match=r"disk full while writing .*a\.tif; the old file is intact"):
        begin()
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


class _Full:
    """A file on a full disk."""

    def __init__(self, file):
        self.tell, self.close = file.tell, file.close

    def write(self, _):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs limits on files")
def test_a_real_limit_on_the_file_leaves_nothing(tmp_path):
    program = (
        "import resource, signal, sys, numpy as np\n"
        "from theodolite.data.label_maps import LabelMap\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    with LabelMap(sys.argv[1], 512, 512) as file:\n"
        "        file.write(np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.tif"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ResourceError limit on the size of a file reached while writing")
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "a.tif.part").symlink_to(tmp_path / "precious")
    _written(tmp_path / "a.tif", np.ones((20, 20), np.uint8))
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ResourceError, match="folder is gone"), LabelMap(tmp_path / "no" / "a.tif", 2, 2):
        pass


@pytest.mark.parametrize(
    "how",
    [
        {"kind": np.int32},
        {"height": 0},
        {"width": 2**31},
        {"tile": 0},
        {"tile": 100},
        {"tile": 8192},
        {"path": "a.png"},
    ],
)
def test_what_cannot_be_meant_is_refused(how):
    with pytest.raises(UsageError):
        LabelMap(**({"path": "a.tif", "height": 9, "width": 9} | how))


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 8), np.uint8), np.zeros((2, 9), np.uint16), np.zeros(9, np.uint8), np.zeros((10, 9), np.uint8)],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, rows):
    with pytest.raises(UsageError), LabelMap(tmp_path / "a.tif", 9, 9) as file:
        file.write(rows)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="context"):
        LabelMap(tmp_path / "a.tif", 9, 9).write(np.zeros((1, 9), np.uint8))
