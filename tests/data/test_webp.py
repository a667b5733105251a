from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from theodolite.data.webp import encode


def decoded(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        assert image.format == "WEBP"
        return np.asarray(image)


@pytest.mark.parametrize("shape", [(28, 28, 3), (1, 1, 3), (17, 5, 3)])
def test_without_a_quality_every_pixel_comes_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(decoded(encode(pixels)), pixels)


def test_grey_comes_back_as_three_equal_channels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    assert np.array_equal(decoded(encode(pixels)), np.repeat(pixels[..., None], 3, axis=2))


def test_opacity_is_kept() -> None:
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[1:3, 1:3] = (10, 20, 30, 255)
    assert np.array_equal(decoded(encode(pixels))[..., 3], pixels[..., 3])


def test_quality_saves_weight_and_size_is_capped() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 100, 3)).astype(np.uint8)
    assert len(encode(noise, quality=30)) < len(encode(noise)) / 4
    assert decoded(encode(noise, largest_side=50)).shape == (50, 25, 3)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 3), np.uint8)])
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an image is uint8"):
        encode(pixels)
