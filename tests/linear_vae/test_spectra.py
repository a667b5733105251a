import numpy as np
import pytest
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity, assert_single

from theodolite.data.rows import open_rows
from theodolite.linear_vae import spectra
from theodolite.linear_vae.moments import Moments
from theodolite.linear_vae.spectra import from_covariance, from_rows, leading, solver_for, trusted
from theodolite.theory import ppca

RANDOM = np.random.default_rng(0)
WIDE = RANDOM.standard_normal((60, 300)) * np.linspace(1, 3, 300)


def _rows_with(singular, n, d, offset=0.0):
    """Rows whose covariance has exactly these eigenvalues and zeros."""
    left = RANDOM.standard_normal((n, len(singular)))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(RANDOM.standard_normal((d, len(singular))))[0]
    return (left * np.sqrt(n * np.asarray(singular))) @ right.T + offset


def _lanczos(rows, k, monkeypatch, **more):
    monkeypatch.setattr(spectra, "solver_for", lambda n, d, k: "lanczos")
    return from_rows(rows, k, **more)


def _same(found, rows, k, ddof=0):
    """The same eigenvalues, tail, subspace and signs as by singular values, in float64."""
    truth = ppca.spectrum(rows, ddof)
    scale = truth.eigenvalues[0] or 1.0
    d = len(truth.mean)
    assert found.spectrum.eigenvalues.shape == (d,)
    assert found.spectrum.eigenvectors.shape == (d, k)
    assert_identity(found.spectrum.eigenvalues[:k] / scale, truth.eigenvalues[:k] / scale)
    assert_identity(found.spectrum.eigenvalues.sum() / scale, truth.eigenvalues.sum() / scale)
    assert_identity(found.spectrum.eigenvectors.T @ found.spectrum.eigenvectors, np.eye(k))
    S = np.cov(np.asarray(rows, float).T, ddof=ddof) / scale
    V, lam = found.spectrum.eigenvectors, found.spectrum.eigenvalues[:k] / scale
    residual = np.linalg.norm(S @ V - V * lam, axis=0).max()
    assert residual <= 2 * found.residual + 1e-13
    assert (V[np.abs(V).argmax(axis=0), np.arange(k)] > 0).all()


@pytest.mark.parametrize("k", [1, 5, 12])
@pytest.mark.parametrize("ddof", [0, 1])
def test_three_ways_agree_with_singular_values(k, ddof, monkeypatch):
    _same(from_covariance(WIDE.mean(axis=0), np.cov(WIDE.T, ddof=ddof), k), WIDE, k, ddof)
    _same(from_rows(WIDE, k, ddof), WIDE, k, ddof)
    _same(_lanczos(WIDE, k, monkeypatch, ddof=ddof), WIDE, k, ddof)
    _same(leading(WIDE, k, ddof), WIDE, k, ddof)


@pytest.mark.parametrize("copies", [1, 3, 4, 9])
def test_repeated_eigenvalues_are_all_found(copies, monkeypatch):
    rows = _rows_with([10.0] * copies + list(np.linspace(3, 1, 50 - copies)), 80, 120)
    for found in (from_rows(rows, 7), _lanczos(rows, 7, monkeypatch), leading(rows, 7)):
        _same(found, rows, 7)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_lower_rank_leaves_nothing_over(k, monkeypatch):
    rows = _rows_with([4.0, 2.0, 1.0], 40, 90, offset=5.0)
    for found in (from_rows(rows, k), _lanczos(rows, k, monkeypatch), leading(rows, k)):
        _same(found, rows, k)
        assert (found.spectrum.eigenvalues >= 0).all()


def test_more_components_than_rows_and_as_many_as_features():
    rows = RANDOM.standard_normal((6, 20))
    for k in (6, 9, 20):
        _same(from_rows(rows, k), rows, k)
        _same(leading(rows, k), rows, k)


def test_an_offset_changes_nothing_in_wide_data(monkeypatch):
    found = _lanczos(WIDE + 1e5, 5, monkeypatch)
    truth = ppca.spectrum((WIDE + 1e5) - 1e5)
    assert_identity(found.spectrum.eigenvalues[:5] / 1e3, truth.eigenvalues[:5] / 1e3)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_single_precision_of_wide_data_states_its_residual(offset, monkeypatch):
    rows = (WIDE + offset).astype(np.float32)
    found = _lanczos(rows, 5, monkeypatch)
    assert found.residual <= 1e-6
    truth = ppca.spectrum(rows.astype(float))
    np.testing.assert_array_less(np.abs(found.spectrum.eigenvalues[:5] / truth.eigenvalues[:5] - 1), 1e-6)


def test_what_lanczos_misses_is_looked_for(monkeypatch):
    """From a start at right angles to the first vector, exact Krylov spaces never meet it."""
    rows = _rows_with([9.0, 4.0, 3.0, 2.0, 1.0], 50, 100)
    first = ppca.spectrum(rows).eigenvectors[:, :1]
    genuine = spectra._krylov
    calls = []

    def blinded(products, start, locked, k, tol, most):
        calls.append(k)
        return genuine(products, start, first if len(calls) == 1 else locked, k, tol, most)

    monkeypatch.setattr(spectra, "_krylov", blinded)
    _same(_lanczos(rows, 3, monkeypatch), rows, 3)
    assert len(calls) > 2


def test_a_bad_residual_is_an_error(monkeypatch):
    monkeypatch.setattr(spectra, "ROUNDS", 1)
    rows = RANDOM.standard_normal((60, 300)).astype(np.float32)
    with pytest.raises(ValueError, match="residual of Lanczos stayed at"):
        _lanczos(rows, 3, monkeypatch, tol=1e-14)


def test_rows_in_files_give_the_same(tmp_path, monkeypatch):
    for number, part in enumerate(np.array_split(WIDE, 3)):
        np.save(tmp_path / f"{number}.npy", part)
    for found in (from_rows(open_rows(tmp_path), 4), _lanczos(open_rows(tmp_path), 4, monkeypatch)):
        _same(found, WIDE, 4)


def test_single_precision_is_trusted_where_it_holds_and_nowhere_else():
    good = RANDOM.standard_normal((5000, 30), dtype=np.float32)
    found = leading(good, 5)
    assert found.products == 1
    bad = (good * np.logspace(0, -5, 30)).astype(np.float32) @ np.linalg.qr(RANDOM.standard_normal((30, 30)))[0]
    bad = bad.astype(np.float32)
    found = leading(bad, 20)
    assert found.products == 2
    truth = ppca.spectrum(bad.astype(float))
    np.testing.assert_array_less(np.abs(found.spectrum.eigenvalues[:20] / truth.eigenvalues[:20] - 1), 1e-6)
    single = Moments(30, single=True).add(bad)
    assert not trusted(single, from_covariance(single.mean, single.covariance(), 20).spectrum, 20)


def test_it_is_scikit_learns_pca():
    rows = RANDOM.standard_normal((400, 20)).astype(np.float32)
    theirs = PCA(4, svd_solver="full").fit(rows)
    found = leading(rows, 4, ddof=1)
    assert_single(found.spectrum.eigenvalues[:4], theirs.explained_variance_)
    assert_single(np.abs(np.sum(found.spectrum.eigenvectors * theirs.components_.T, axis=0)), np.ones(4))


@pytest.mark.parametrize(
    ("n", "d", "k", "expected"),
    [
        (100_000, 784, 32, "covariance"),
        (1_000_000, 128, 16, "covariance"),
        (5000, 20_000, 16, "lanczos"),
        (500, 20_000, 16, "gram"),
        (50, 1_000_000, 10, "gram"),
        (40, 30, 30, "covariance"),
    ],
)
def test_the_way_of_least_work(n, d, k, expected):
    assert solver_for(n, d, k) == expected


@pytest.mark.parametrize("k", [0, 21])
def test_a_number_of_components_there_cannot_be(k):
    with pytest.raises(ValueError, match=f"k={k} must be"):
        from_rows(np.zeros((5, 20)), k)
    with pytest.raises(ValueError, match=f"k={k} must be"):
        from_covariance(np.zeros(20), np.eye(20), k)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("way", [from_rows, leading, "lanczos"])
def test_numbers_that_have_no_covariance(bad, way, monkeypatch):
    rows = WIDE.copy()
    rows[7, 11] = bad
    with pytest.raises(ValueError, match=r"NaN or infinit|rescale"):
        _lanczos(rows, 2, monkeypatch) if way == "lanczos" else way(rows, 2)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="1 rows were given"):
        from_rows(np.ones((1, 5)), 2)
