"""Errors of linear codes, against codes that are really carried out."""

import numpy as np
import pytest
from scipy.fft import dctn, idctn
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity

from theodolite.theory.transform_code import cosine_code_error, principal_code_error, psnr


@pytest.fixture
def clips():
    random = np.random.default_rng(7)
    smooth = np.cumsum(random.normal(size=(20, 3, 4, 5, 2)), axis=2)
    return smooth[:12], smooth[12:]


def test_psnr_of_known_errors():
    assert_identity(psnr(0.01), 20.0)
    assert_identity(psnr(np.array([1.0, 255.0**2]), peak=255.0), [20 * np.log10(255.0), 0.0])
    assert psnr(0.0) == np.inf


def test_the_cosine_error_is_that_of_clips_cut_and_turned_back(clips):
    fit, judged = clips
    axes = (1, 2, 3, 4)
    order = np.argsort(-(dctn(fit, axes=axes, norm="ortho") ** 2).mean(axis=0).ravel())
    for size in (0, 7, 60, 120):
        coefficients = dctn(judged, axes=axes, norm="ortho").reshape(len(judged), -1)
        coefficients[:, order[size:]] = 0.0
        rebuilt = idctn(coefficients.reshape(judged.shape), axes=axes, norm="ortho")
        assert_identity(cosine_code_error(fit, judged, [size])[0], ((rebuilt - judged) ** 2).mean(axis=axes))


def test_the_principal_error_is_that_of_scikit_learn(clips):
    fit, judged = clips
    for size in (1, 4, 11):
        pca = PCA(size, svd_solver="full").fit(fit.reshape(len(fit), -1))
        flat = judged.reshape(len(judged), -1)
        rebuilt = pca.inverse_transform(pca.transform(flat))
        assert_identity(principal_code_error(fit, judged, [size])[0], ((rebuilt - flat) ** 2).mean(axis=1))


def test_all_components_bring_the_fitted_clips_back(clips):
    fit, _ = clips
    assert_identity(principal_code_error(fit, fit, [len(fit) - 1]), np.zeros((1, len(fit))))


def test_more_components_than_clips_are_refused(clips):
    with pytest.raises(ValueError, match="12 components were asked of 12 clips"):
        principal_code_error(*clips, [12])


def test_no_linear_code_beats_principal_components_on_what_they_were_fitted_to(clips):
    fit, _ = clips
    centred = fit - fit.mean(axis=0)
    sizes = [1, 3, 6, 10]
    assert np.all(
        principal_code_error(fit, fit, sizes).mean(axis=1) <= cosine_code_error(centred, centred, sizes).mean(axis=1)
    )


def test_clips_that_occur_twice_keep_no_noise(clips):
    fit, judged = clips
    twice = np.concatenate([fit, fit])
    once = principal_code_error(fit, judged, [11])
    assert_identity(principal_code_error(twice, judged, [11, 23]), np.concatenate([once, once]))
