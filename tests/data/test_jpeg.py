from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from theodolite.data.jpeg import interchangeable, jpeg_structure
from theodolite.kernel.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def _jpeg(pixels=PIXELS, **how):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **how)
    return file.getvalue()


def _refused(content, *words):
    with pytest.raises(DataError) as error:
        jpeg_structure(content, "a.jpg")
    message = str(error.value)
    assert message.isprintable()
    assert message.startswith("a.jpg")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("how", "scans"),
    [({}, 1), ({"progressive": True}, 10), ({"restart_marker_rows": 1}, 1), ({"comment": b"\xff\xd9\xff\xda" * 9}, 1)],
)
def test_frame_and_scans_are_found(how, scans):
    found = jpeg_structure(_jpeg(**how), "a.jpg")
    assert (found.width, found.height, found.components, found.bits, found.scans) == (56, 40, 3, 8, scans)
    assert jpeg_structure(_jpeg(PIXELS[..., 0]), "a.jpg").components == 1


def test_what_follows_the_end_is_passed_over():
    assert jpeg_structure(_jpeg() + b"a film", "a.jpg") == jpeg_structure(_jpeg(), "a.jpg")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 20, 300, 1000, -2, -1])
def test_a_stream_without_its_end_is_refused(length):
    _refused(_jpeg()[:length])


def test_streams_that_ask_for_too_much_are_refused():
    content = _jpeg(progressive=True)
    last = content.rindex(b"\xff\xda")
    scan = content[last:-2]
    assert jpeg_structure(content[:-2] + scan * 90 + b"\xff\xd9", "a.jpg").scans == 100
    _refused(content[:-2] + scan * 91 + b"\xff\xd9", "101 scans", "56 × 40")
    frame = content.index(b"\xff\xc2")
    huge = content[: frame + 5] + b"\xff\xff\xff\xff" + content[frame + 9 :]
    _refused(huge, "65535 × 65535", "more work")
    _refused(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 20_000 + content[2:], "segments")


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA, 0xCB])
def test_other_kinds_of_coding_are_refused(marker):
    content = _jpeg()
    frame = content.index(b"\xff\xc0")
    _refused(content[: frame + 1] + bytes([marker]) + content[frame + 2 :], "not read")


def test_two_frames_no_frame_and_odd_samples_are_refused():
    content = _jpeg()
    frame = content.index(b"\xff\xc0")
    segment = content[frame : frame + 2 + int.from_bytes(content[frame + 2 : frame + 4], "big")]
    _refused(content[:frame] + segment + content[frame:], "not read")
    _refused(content[:frame] + content[frame + len(segment) :], "no picture")
    _refused(content[: frame + 4] + b"\x0c" + content[frame + 5 :], "12 bits")
    _refused(content[: frame + 9] + b"\x02" + content[frame + 10 :], "2 components")
    _refused(content[: frame + 5] + b"\0\0" + content[frame + 7 :], "no picture")
    _refused(b"\xff\xd8\xff\xd9", "no picture")
    _refused(content[:frame] + b"junk" + content[frame:], "no marker")


def test_a_mark_of_colours_replaces_the_stream_s_own():
    """The same samples are shown as luminance and chrominance, or as they are."""
    content = _jpeg(quality=95)
    structure = jpeg_structure(content, "a.jpg")
    with Image.open(BytesIO(content)) as image:
        shown = np.asarray(image)
        image_ycc = Image.open(BytesIO(content))
        image_ycc.draft("YCbCr", None)
        raw = np.asarray(image_ycc)
    for ycc, expected in [(True, shown), (False, raw)]:
        with Image.open(BytesIO(interchangeable(b"", content, structure, ycc))) as image:
            np.testing.assert_array_equal(np.asarray(image), expected)
