from itertools import islice

import numpy as np
import torch
from tests.tolerances import assert_identity

from theodolite.linear_vae import adam
from theodolite.linear_vae.model import LinearVAE

ROUNDINGS = 2**12 * np.finfo(float).eps  # of the largest entry: 9e-13


def start(d=6, k=3):
    rng = np.random.default_rng(0)
    entries = rng.standard_normal((d, k)), rng.standard_normal((k, d)), rng.standard_normal((k, k)) / 3
    return rng.standard_normal((9, d)), adam.Parameters(*entries, np.asarray(-0.4))


def test_the_gradient_is_autograds():
    R, at = start()
    vae = LinearVAE(6, 3, data_scale=1.0, prior_scale=1.0, noise_variance=None).double()
    parameters = (vae.unit_decoder, vae.unit_encoder, vae.unit_factor, vae.unit_log_noise)
    with torch.no_grad():
        for parameter, value in zip(parameters, at, strict=True):
            parameter.copy_(torch.from_numpy(value))
    # of rows R the covariance Rᵀ R is n times the mean square
    loss = vae(torch.from_numpy(R) * len(R) ** 0.5).mean()
    loss.backward()
    value, gradient = adam.value_and_gradient(R, at)
    assert abs(value - loss.item()) <= ROUNDINGS * abs(value)
    for mine, parameter in zip(gradient, parameters, strict=True):
        expected = parameter.grad.numpy()
        assert np.abs(mine - expected).max() <= ROUNDINGS * np.abs(expected).max()


def test_a_step_is_the_mean_gradient_in_units_of_its_greatest_mean_square():
    R, at = start()
    slopes, lengths = [], []
    expected = at.decoder
    for (_, mine), step in zip(adam.ascend(R, at, least_noise=1e-8), range(12), strict=False):
        assert_identity(mine.decoder, expected)
        slopes.append(adam.value_and_gradient(R, mine)[1].decoder)
        # averages over all gradients so far, the older the lighter
        age = np.arange(step, -1, -1)
        mean = np.average(slopes, axis=0, weights=adam.MEAN_DECAY**age)
        lengths.append(np.sqrt(np.average(np.square(slopes), axis=0, weights=adam.SQUARE_DECAY**age)))
        expected = mine.decoder + adam.LEARNING_RATE * mean / np.max(lengths, axis=0)


def test_the_noise_is_held_still_or_not_below_its_floor():
    R, at = start()
    held = [step.log_noise for _, step in islice(adam.ascend(R, at, least_noise=None), 20)]
    floored = [step.log_noise for _, step in islice(adam.ascend(R / 100, at, least_noise=0.5), 100)]
    assert set(map(float, held)) == {-0.4}
    assert floored[-1] == np.log(0.5)
