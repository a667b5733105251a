import io
import os
import struct
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from theodolite.data import arrays
from theodolite.data.arrays import (
    check_pair,
    check_samples,
    count_samples,
    fingerprint,
    load_function,
    load_samples,
)
from theodolite.kernel.errors import DataError, UsageError

VALUES = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float32)


def _one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.fixture
def kept(tmp_path):
    """The same samples in every format."""
    np.save(tmp_path / "a.npy", VALUES)
    np.savez(tmp_path / "b.npz", labels=np.arange(50), samples=VALUES)
    np.savez_compressed(tmp_path / "c.npz", whatever=VALUES)
    save_file({"samples": VALUES, "other": np.zeros(3, np.float32)}, tmp_path / "d.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["a.npy", "b.npz", "c.npz", "d.safetensors"])
def test_every_format_gives_the_same_samples(kept, name):
    np.testing.assert_array_equal(load_samples(kept / name), VALUES)
    assert count_samples(str(kept / name)) == 50


def test_text_is_read_as_a_table(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    assert load_samples(tmp_path / "x.csv").tolist() == [[1, 2], [3, 4]]
    assert count_samples(tmp_path / "x.csv") == 2


def test_a_folder_of_images_is_read(tmp_path):
    for number in range(3):
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(tmp_path / f"{number}.png")
    assert load_samples(tmp_path).shape == (3, 4, 5)
    assert count_samples(tmp_path) == 3
    before = fingerprint(tmp_path)
    (tmp_path / "2.png").unlink()
    assert fingerprint(tmp_path) != before


def test_a_changed_file_has_another_fingerprint(kept):
    before = fingerprint(kept / "a.npy")
    np.save(kept / "a.npy", VALUES + 1)
    assert fingerprint(kept / "a.npy") != before


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["not a NumPy array"]),
        (b"hello", ["not a NumPy array"]),
        (_npy(VALUES)[:-1], ["damaged", "bytes"]),
        (_npy(VALUES) + b"x", ["damaged"]),
        (_npy(VALUES).replace(b"(50, 4, 3)", b"(99, 99, 9"), ["not a NumPy array"]),
        (_npy(VALUES).replace(b"50, 4, 3", b"90, 4, 3"), ["damaged"]),
        (_npy(VALUES).replace(b"(50, 4", b"(True, 200", 1).replace(b" " * 4 + b"\n", b"\n"), ["damaged"]),
        (_npy(np.array(3.0)), ["single number"]),
        (_npy(np.array(["a", "b"])), ["<U1"]),
        (_npy(np.zeros(3, complex)), ["complex"]),
    ],
)
def test_a_bad_numpy_file_is_told_in_one_line(tmp_path, content, words):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError) as error:
        load_samples(tmp_path / "x.npy")
    _one_line(error, "x.npy", *words)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the file was executed",))

    np.save(tmp_path / "x.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", samples=np.array([Trap()], dtype=object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError) as error:
            load_samples(tmp_path / name)
        _one_line(error, name, "object")


def test_what_is_too_large_is_refused_from_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_BYTES", 1000)
    np.save(tmp_path / "x.npy", VALUES)
    np.savez_compressed(tmp_path / "x.npz", np.zeros(10**6))  # a thousand times smaller on disk
    save_file({"x": VALUES}, tmp_path / "x.safetensors")
    for name in ("x.npy", "x.npz", "x.safetensors"):
        with pytest.raises(DataError) as error:
            load_samples(tmp_path / name)
        _one_line(error, name, "GiB")


def test_damaged_archives_are_told_in_one_line(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("samples.npy", b"no array")
    for name in ("x.npz", "x.safetensors", "y.npz"):
        with pytest.raises(DataError) as error:
            load_samples(tmp_path / name)
        _one_line(error, name)


def test_an_archive_with_a_corrupt_member_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", samples=np.random.default_rng(0).normal(size=(100, 3)))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(bytes(content))
    with pytest.raises(DataError) as error:
        load_samples(tmp_path / "x.npz")
    _one_line(error, "x.npz")


def test_an_archive_that_does_not_say_which_array_is_meant(tmp_path):
    np.savez(tmp_path / "x.npz", first=VALUES, second=VALUES)
    with pytest.raises(DataError) as error:
        load_samples(tmp_path / "x.npz")
    _one_line(error, "first, second", "samples")


def test_what_is_not_there_or_of_no_known_kind(tmp_path):
    (tmp_path / "x.pickle").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.npy")
    for path, words in (
        (tmp_path / "no.npy", ["nothing at"]),
        (tmp_path / "x.pickle", ["no known kind"]),
        (tmp_path / "pipe.npy", ["no known kind"]),
    ):
        with pytest.raises(DataError) as error:
            load_samples(path)
        _one_line(error, path.name, ".safetensors", *words)


def test_functions_are_found_by_name():
    assert load_function("math:sqrt")(9.0) == 3
    for name, word in (
        ("sqrt", "module:function"),
        ("no_such_module:f", "cannot import"),
        ("math:no", "has no"),
        ("math:pi", "float"),
    ):
        with pytest.raises(UsageError) as error:
            load_function(name)
        _one_line(error, name, word)


def test_what_a_function_does_wrong_is_its_own_fault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "no_python.py").write_text("def f(:")
    (tmp_path / "leaves.py").write_text("raise SystemExit(7)")
    (tmp_path / "fails.py").write_text(
        "def f(count):\n    raise RuntimeError('first\\nsecond')\ndef g(count):\n    raise SystemExit(7)\n"
    )
    for name, word in (("no_python:f", "invalid syntax"), ("leaves:f", "cannot import leaves: 7"), ("..:f", "import")):
        with pytest.raises(UsageError) as error:
            load_function(name)
        _one_line(error, name, word)
    for name, word in (("fails:f", "RuntimeError: first"), ("fails:g", "SystemExit: 7"), ("math:sqrt", "TypeError")):
        with pytest.raises(DataError) as error:
            load_function(name)("no number")
        _one_line(error, name, word)


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((50, 0)), "empty"),
        (np.float64(1), "empty"),
        (np.zeros((1, 3)), "at least 40"),
        (np.array(["a"] * 50), "plain numbers"),
        (np.full((50, 2), -1e200), "rescale"),
        (np.where(np.arange(150).reshape(50, 3) == 20, np.nan, 1.0), "number 6"),
        (np.where(np.arange(150).reshape(50, 3) == 20, np.inf, 1.0), "1 of 50"),
    ],
)
def test_samples_that_cannot_be_audited(samples, word):
    with pytest.raises(DataError) as error:
        check_samples(samples, "the real samples")
    _one_line(error, "the real samples", word)


def test_samples_of_different_shapes_are_refused():
    with pytest.raises(DataError) as error:
        check_pair(np.zeros((50, 3)), np.zeros((50, 4)))
    _one_line(error, "(3,)", "(4,)")


def test_what_a_reader_must_know_is_warned_of():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(50, 3)), rng.normal(size=(100, 3))
    assert check_pair(real, fake) == []
    assert "repeat" in check_pair(np.r_[real, real[:2]], np.r_[fake, fake])[0]
    assert "mixed up" in check_pair(real, np.r_[fake, real[:1]])[0]
    assert "generate more" in check_pair(real, fake[:60])[0]
    assert "only the generated samples hold fractions" in check_pair(np.round(real * 50), fake)[0]
    assert "only the real samples hold fractions" in check_pair(real, np.round(fake * 50))[0]
    # −0 and 0, and another type, are still the same samples
    assert "mixed up" in check_pair(real.astype(np.float32), np.r_[fake, real[:1].astype(np.float32)])[0]
