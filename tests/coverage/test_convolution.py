import numpy as np
import pytest
from tests.tolerances import assert_identity, assert_single

from theodolite.coverage.convolution import Convolution, are_images
from theodolite.data.digits import digits


@pytest.fixture(scope="module")
def seen():
    images, labels = digits()
    return images, labels, Convolution(images[:600], 0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 8, 8), True),
        ((9, 28, 28, 1), True),
        ((9, 64, 48, 3), True),
        ((9, 64), False),
        ((9, 5, 40), False),
        ((9, 8, 8, 8), False),
        ((9, 2, 8, 8, 3), False),
    ],
)
def test_what_counts_as_an_image(shape, expected):
    assert are_images(shape) is expected


def test_a_shift_by_one_pixel_moves_an_image_less_than_it_moves_its_pixels(seen):
    """In units of the usual distance between two images: what is averaged over regions hardly sees a shift."""
    images, _, convolution = seen
    shifted = np.roll(images, 1, axis=2)

    def moved(x, y):
        return np.median(np.linalg.norm(x - y, axis=1)) / np.median(np.linalg.norm(x - np.roll(x, 1, axis=0), axis=1))

    rows = images.reshape(len(images), -1)
    assert moved(convolution(images), convolution(shifted)) < 0.8 * moved(rows, shifted.reshape(rows.shape))


def test_brightness_and_unit_of_the_pixels_do_not_matter(seen):
    images, _, convolution = seen
    again = Convolution(images[:600] * 255, 0)
    assert_single(np.abs(again(images[:50] * 255)), np.abs(convolution(images[:50])))


def test_a_sample_is_seen_alike_in_any_company(seen):
    images, _, convolution = seen
    assert_single(convolution(images[:300])[7:9], convolution(images[7:9]))


def test_colour_is_seen():
    rng = np.random.default_rng(0)
    grey = rng.random((200, 12, 12, 1))
    red, blue = (grey * np.array(tint) for tint in ([1.0, 0.2, 0.2], [0.2, 0.2, 1.0]))
    convolution = Convolution(np.concatenate([red, blue]), 0)
    apart = convolution(red).mean(axis=0) - convolution(blue).mean(axis=0)
    assert np.linalg.norm(apart) > convolution(red).std(axis=0).max()


def test_large_images_are_averaged_down():
    rng = np.random.default_rng(1)
    small = rng.random((80, 30, 30))
    large = np.repeat(np.repeat(small, 4, axis=1), 4, axis=2)
    assert_identity(np.abs(Convolution(large, 0)(large)), np.abs(Convolution(small, 0)(small)))


@pytest.mark.parametrize(
    "images", [np.zeros((50, 8, 8)), np.full((50, 9, 7, 3), 4.0), np.eye(8)[None] * np.ones((50, 1, 1))]
)
def test_images_that_do_not_vary_are_fine(images):
    assert np.isfinite(Convolution(images, 0)(images)).all()


def test_values_far_beyond_the_training_ones_stay_finite(seen):
    images, _, convolution = seen
    assert np.isfinite(convolution(images[:3] * 1e90)).all()
