import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.data.digits import digits
from theodolite.kernel.errors import DataError, UsageError
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import load


def test_digits_are_split_and_centred_by_what_is_trained_on():
    data = load(LinearVAEConfig(held_out_share=0.2))
    images = digits()[0].reshape(-1, 64)
    assert data.train.shape == (1438, 64)
    assert data.held_out.shape == (359, 64)
    assert_identity(data.train.mean(axis=0), 0)
    assert_identity(data.held_out + data.mean, images[data.held_out_ids])
    assert_identity(data.scale, np.sqrt(data.train.var(axis=0).mean()))
    assert data.image_shape == (8, 8)


def test_a_file_is_read_and_the_split_follows_its_seed(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((30, 4)))
    config = {"data": str(tmp_path / "x.npy"), "latent_dim": 2}
    data, other = load(LinearVAEConfig(**config)), load(LinearVAEConfig(**config, split_seed=1))
    assert data.image_shape is None
    assert len(data.held_out) == 3
    assert data.sha256 == other.sha256
    assert not np.array_equal(data.held_out_ids, other.held_out_ids)
    assert len(load(LinearVAEConfig(**config, held_out_share=0)).held_out) == 0


@pytest.mark.parametrize(
    ("values", "latent_dim", "error", "message"),
    [
        (np.ones((1, 3)), 1, DataError, "has 1 rows"),
        (np.eye(2, 9000), 1, DataError, "at most 8192 columns"),
        (np.ones((5, 3)), 1, DataError, "all equal"),
        (np.full((5, 3), 0.1), 1, DataError, "all equal"),
        (np.eye(5) * 1e-200, 1, DataError, "all equal"),
        (np.eye(5) * 1e300, 1, DataError, "scale the data"),
        (np.eye(5), 6, UsageError, "latent_dim=6 exceeds the 5 columns"),
    ],
)
def test_data_that_cannot_be_modelled_are_refused(tmp_path, values, latent_dim, error, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(error, match=message):
        load(LinearVAEConfig(data=str(tmp_path / "x.npy"), latent_dim=latent_dim))
