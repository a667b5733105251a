"""Errors of linear codes, against codes that are really carried out."""

import numpy as np
import pytest
from scipy.fft import dctn, idctn
from sklearn.decomposition import PCA
from tests.tolerances import assert_identity, assert_sampling

from theodolite.theory.transform_code import cosine_code_error, principal_code_error, psnr, wiener_error


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


def test_the_wiener_filter_s_error_is_that_of_many_draws_of_noise():
    random = np.random.default_rng(0)
    fit, clips = random.random((30, 3, 4, 2)), random.random((2, 3, 4, 2))
    noise = 0.3
    energy = np.mean(dctn(fit, axes=(1, 2, 3), norm="ortho") ** 2, axis=0)
    gain = energy / (energy + noise**2)
    noisy = clips[None] + noise * random.standard_normal((4000, *clips.shape))
    made = idctn(gain * dctn(noisy, axes=(2, 3, 4), norm="ortho"), axes=(2, 3, 4), norm="ortho")
    errors = np.mean((made - clips) ** 2, axis=(2, 3, 4))
    expected, deviation = wiener_error(fit, clips, noise)
    for number in range(2):
        assert_sampling(errors[:, number], expected[number])
        # of the square's mean: the variance, by the same test
        assert_sampling((errors[:, number] - expected[number]) ** 2, deviation[number] ** 2)


def test_no_other_multipliers_do_better_on_the_clips_they_were_fitted_to():
    random = np.random.default_rng(1)
    clips = random.random((20, 3, 4, 2))
    c = dctn(clips, axes=(1, 2, 3), norm="ortho")
    least = wiener_error(clips, clips, 0.3)[0].mean()
    for _ in range(20):
        gain = random.random(c.shape[1:])
        assert np.mean((1 - gain) ** 2 * c**2 + gain**2 * 0.09) >= least
