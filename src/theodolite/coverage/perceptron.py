"""A perceptron with one hidden layer that tells two kinds apart, trained by Adam in single precision.

Its steps are so small that most of their time would go into anything around the arithmetic; so there is nothing around.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

DECAY_MEAN, DECAY_SQUARE, TINY = 0.9, 0.999, 1e-8  # of Adam (Kingma & Ba 2015)


class Perceptron:
    """Fitted when it is built: min over W, b of the mean of log(1 + exp(∓s)) + (decay/2)·|W|²/batch, s the log-odds.

    Parameters
    ----------
    x : array (samples, columns)
    is_real : bool array (samples,)
    seed : int
        Of the first weights and the order of the samples.
    hidden : int
        Units, each max(0, ·).
    epochs, batch : int
        How often each sample is seen, and how many at a time.
    step : float
        Of Adam.
    decay : float
        Of the weights, not of the biases.
    """

    def __init__(
        self,
        x: Floats,
        is_real: NDArray[np.bool_],
        seed: int,
        *,
        hidden: int = 64,
        epochs: int = 30,
        batch: int = 64,
        step: float = 1e-3,
        decay: float = 1e-2,
    ) -> None:
        rng = np.random.default_rng([seed, 0x3E9])
        n, columns = x.shape
        size = min(batch, n)
        # W, b, v, c one behind the other: one step moves all
        shapes = [(columns, hidden), (hidden,), (hidden,), (1,)]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        self.weights, slope = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.float32)
        self.parts = [p.reshape(s) for p, s in zip(np.split(self.weights, ends[:-1]), shapes, strict=True)]
        W, b, v, c = self.parts
        dW, db, dv, dc = (p.reshape(s) for p, s in zip(np.split(slope, ends[:-1]), shapes, strict=True))
        inner, outer = np.sqrt(6 / (columns + hidden)), np.sqrt(2 / (hidden + 1))
        for part, bound in ((W, inner), (b, inner), (v, outer), (c, outer)):
            part[:] = rng.uniform(-bound, bound, part.shape)
        mean, square, moved = np.zeros_like(slope), np.zeros_like(slope), np.empty_like(slope)
        samples, target = x.astype(np.float32), is_real.astype(np.float32)
        taken = 0
        for _ in range(epochs):
            order = rng.permutation(n)
            for start in range(0, n - size + 1, size):
                chosen = order[start : start + size]
                here = samples[chosen]
                h = here @ W
                h += b
                np.maximum(h, 0.0, out=h)
                s = h @ v
                s += c
                # d loss/d s = (σ(s) − y)/size; σ by tanh, which does not overflow
                s = (np.tanh(0.5 * s) * 0.5 + 0.5 - target[chosen]) / size
                np.matmul(s, h, out=dv)
                dc[0] = s.sum()
                back = s[:, None] * v
                back *= h > 0
                np.matmul(here.T, back, out=dW)
                back.sum(axis=0, out=db)
                dW += (decay / size) * W
                dv += (decay / size) * v
                taken += 1
                mean += (1 - DECAY_MEAN) * (slope - mean)
                np.multiply(slope, slope, out=moved)
                moved -= square
                moved *= 1 - DECAY_SQUARE
                square += moved
                rate = step * np.sqrt(1 - DECAY_SQUARE**taken) / (1 - DECAY_MEAN**taken)
                np.sqrt(square, out=moved)
                moved += TINY
                np.divide(mean, moved, out=moved)
                moved *= np.float32(rate)
                self.weights -= moved

    def log_odds(self, x: Floats) -> Floats:
        """Return s, (samples,)."""
        W, b, v, c = self.parts
        return np.asarray(np.maximum(x.astype(np.float32) @ W + b, 0.0) @ v + c, dtype=np.float64)
