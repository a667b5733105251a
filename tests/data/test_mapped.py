import numpy as np
import pytest

from theodolite.data.large_images import open_image
from theodolite.kernel.errors import DataError

VALUES = np.random.default_rng(0).integers(0, 2**16, (20, 30, 3), dtype=np.uint16)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_orders_come_back_native(tmp_path, dtype, order):
    stored = np.array(VALUES.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", stored)
    with open_image(tmp_path / "a.npy") as image:
        window = image.window(2, 3, 10, 20)
    assert window.dtype == image.dtype == np.dtype(dtype).newbyteorder("=")
    assert window.flags.c_contiguous
    assert window.flags.writeable
    np.testing.assert_array_equal(window, stored[2:12, 3:23])


def test_two_axes_are_grey(tmp_path):
    np.save(tmp_path / "a.npy", VALUES[..., 0])
    with open_image(tmp_path / "a.npy") as image:
        assert image.channels == 1
        np.testing.assert_array_equal(image.window(0, 0, 20, 30), VALUES[..., :1])


@pytest.mark.parametrize(
    "array",
    [
        VALUES.astype(float), VALUES.astype(np.int16), VALUES > 9, VALUES.astype(np.uint32), VALUES[0, 0],
        np.zeros((2, 2, 5), np.uint8), np.zeros((0, 2), np.uint8), np.zeros((2, 2, 2, 2), np.uint8),
    ],
)  # fmt: skip
def test_other_arrays_are_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy holds"):
        open_image(tmp_path / "a.npy")


def test_nothing_pickled_is_read_and_headers_must_be_true(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="nothing pickled"):
        open_image(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", VALUES)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(20, 30, 3)", b"(20, 90, 3)"))
    with pytest.raises(DataError, match="damaged"):
        open_image(tmp_path / "a.npy")
