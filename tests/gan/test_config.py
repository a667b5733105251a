"""Settings of the GAN: what fits together, and what is refused in one line."""

import pytest

from theodolite.gan.config import GANConfig
from theodolite.kernel.errors import UsageError


def test_more_bits_than_dimensions_are_refused():
    with pytest.raises(UsageError, match="bits=5 exceeds latent_dim=4; take 4 or fewer"):
        GANConfig.build(latent_dim=4, bits=5)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"objective": "wasserstein"}, "objective"),
        ({"tau": 0.0}, "tau"),
        ({"pace": -1}, "pace"),
        ({"data": ""}, "data"),
    ],
)
def test_a_setting_out_of_range_is_named(fields, word):
    with pytest.raises(UsageError, match=word):
        GANConfig.build(**fields)
