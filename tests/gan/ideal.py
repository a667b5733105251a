"""A generator that is right by construction: it draws from a known mixture, and its discriminator is D* itself."""

import numpy as np

from theodolite.gan.dataset import load


def ideal(make=None, shift=0.0):
    """Return a stand-in for `TrainedGAN` that draws from what training is shown, or from ``make(data)``.

    Parameters
    ----------
    make : callable or None
        From the dataset to the mixture to draw from.
    shift : float
        Added to every score, as the constant that a relativistic D leaves open.
    """

    class Ideal:
        def __init__(self, run):
            from theodolite.gan.config import GANConfig

            data = load(run.settings(GANConfig))
            self.truth, self.units = data.truth, data.units
            self.drawn = make(data) if make else data.shown

        def draw(self, count, stream="samples"):
            return self.drawn.sample(count, seed=sum(stream.encode()))[0]

        def score(self, samples):
            return self.truth.log_density(np.asarray(samples)) - self.drawn.log_density(np.asarray(samples)) + shift

    return Ideal
