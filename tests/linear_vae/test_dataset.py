import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.data.digits import digits
from theodolite.kernel.errors import DataError, UsageError
from theodolite.linear_vae.config import LinearVAEConfig
from theodolite.linear_vae.dataset import load


def test_digits_are_split_and_centred_by_what_is_trained_on():
    data = load(LinearVAEConfig(held_out_share=0.2))
    summary, images = data.summary(), digits()[0].reshape(-1, 64)
    train = np.concatenate(list(data.blocks(summary.mean)))
    held_out = np.concatenate(list(data.held_out_blocks(summary.mean)))
    assert train.shape == (1438, 64)
    assert_identity(train.mean(axis=0), 0)
    assert_identity(train + summary.mean, images[data.train_ids])
    assert_identity(held_out + summary.mean, images[data.held_out_ids])
    assert_identity(data.take(data.held_out_ids[:5], summary.mean), held_out[:5])
    assert_identity(summary.covariance, np.cov(train.T, ddof=0))
    assert_identity(summary.scale, np.sqrt(train.var(axis=0).mean()))
    assert data.image_shape == (8, 8)


@pytest.mark.parametrize("kind", ["npy", "csv", "folder"])
def test_a_source_is_read_and_the_split_follows_its_seed(tmp_path, kind):
    values = np.random.default_rng(0).standard_normal((30, 4))
    path = tmp_path / ("x" if kind == "folder" else f"x.{kind}")
    if kind == "csv":
        np.savetxt(path, values, delimiter=",")
    elif kind == "npy":
        np.save(path, values)
    else:
        path.mkdir()
        for number, part in enumerate(np.split(values, [7, 20])):
            np.save(path / f"{number}.npy", part)
    config = {"data": str(path), "latent_dim": 2}
    data, other = load(LinearVAEConfig(**config)), load(LinearVAEConfig(**config, split_seed=1))
    assert_identity(np.concatenate(list(data.blocks(np.zeros(4)))), values[data.train_ids])
    assert data.image_shape is None
    assert len(data.held_out_ids) == 3
    assert data.sha256 == other.sha256
    assert not np.array_equal(data.held_out_ids, other.held_out_ids)
    assert not len(load(LinearVAEConfig(**config, held_out_share=0)).held_out_ids)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_shares_of_the_processes_merge_into_the_whole(tmp_path, parts):
    rows = np.random.default_rng(0).standard_normal((100, 20_000 // 8))
    np.save(tmp_path / "x.npy", rows)
    data = load(LinearVAEConfig(data=str(tmp_path / "x.npy")))
    shares = [data.moments(part, parts) for part in range(parts)]
    whole = shares[0]
    for share in shares[1:]:
        whole.merge(share)
    assert whole.count == 90
    assert_identity(whole.mean, rows[data.train_ids].mean(axis=0))


@pytest.mark.parametrize(
    ("values", "latent_dim", "error", "message"),
    [
        (np.ones((1, 3)), 1, DataError, "has 1 rows"),
        (np.eye(2, 9000), 1, DataError, "at most 8192 columns"),
        (np.ones((5, 3)), 1, DataError, "all equal"),
        (np.full((5, 3), 0.1), 1, DataError, "all equal"),
        (np.eye(5) * 1e-200, 1, DataError, "leave the range of float64; rescale"),
        (np.eye(5) * 1e300, 1, DataError, "scale the data"),
        (np.array([[0.0, 1.0], [2.0, np.nan]]), 1, DataError, "NaN or infinity in column 1"),
        (np.array([[0.0, -np.inf], [2.0, 0.0]]), 1, DataError, "NaN or infinity in column 1"),
        (np.eye(5), 6, UsageError, "latent_dim=6 exceeds the 5 columns"),
    ],
)
def test_data_that_cannot_be_modelled_are_refused(tmp_path, values, latent_dim, error, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(error, match=message):
        load(LinearVAEConfig(data=str(tmp_path / "x.npy"), latent_dim=latent_dim)).summary()


def test_a_huge_constant_column_does_not_make_all_rows_equal(tmp_path):
    samples = np.random.default_rng(0).standard_normal((50, 3))
    samples[:, 0] = 1e17 / 3
    np.save(tmp_path / "x.npy", samples)
    covariance = load(LinearVAEConfig(data=str(tmp_path / "x.npy"), latent_dim=1)).summary().covariance
    assert_identity(covariance[0], np.zeros(3))
    assert np.all(np.diag(covariance)[1:] > 0)
