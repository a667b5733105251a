import numpy as np
import pytest

from theodolite.data.photos import photos


def test_two_coloured_photographs_that_cannot_be_written_to():
    for photo in photos():
        assert photo.shape == (427, 640, 3)
        assert photo.dtype == np.uint8
        assert photo.std(axis=(0, 1)).min() > 10  # all three colours vary
        with pytest.raises(ValueError, match="read-only"):
            photo[0, 0] = 0
