"""What images look like piece by piece: responses to patches of their own, where in the image they occur.

One layer of convolution without any fitting by gradients, after Coates, Lee and Ng (2011) and Coates and Ng (2011), who
found dictionaries of random patches hardly worse than learned ones: it costs seconds, needs no torch, and sees a
missing class of small images better than networks trained on so few samples of unknown class.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

Floats = NDArray[np.floating[Any]]

SMALLEST_SIDE = 6  # pixels; anything smaller is a vector
LARGEST_SIDE = 32  # pixels; larger images are averaged down
MOST_CHANNELS = 4
PATCHES = 200  # in the dictionary
EXAMPLES = 20_000  # patches that set the whitening
THRESHOLD = 0.5  # below which a response counts as none
AXES = 150
BLOCK = 128  # images at once


def are_images(shape: tuple[int, ...]) -> bool:
    """Whether samples (n, height, width) or (n, height, width, channels) are images of a sensible size."""
    if len(shape) not in (3, 4) or min(shape[1:3]) < SMALLEST_SIDE:
        return False
    return len(shape) == 3 or shape[3] <= MOST_CHANNELS


class Convolution:
    """Turns images into the principal axes of their pooled responses; fitted on training images only.

    Patches are brought to mean 0 and one contrast, whitened, compared with `PATCHES` patches drawn from the training
    images, and the responses above a threshold are averaged in 3 × 3 regions (2 × 2 of images below 16 pixels).

    Parameters
    ----------
    images : array (n, height, width) or (n, height, width, channels)
        Training images, real and generated alike.
    seed : int
        Of the patches drawn.
    """

    def __init__(self, images: NDArray[Any], seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        self.unit = float(np.abs(images).max()) or 1.0
        side = min(images.shape[1:3]) // _shrinkage(images.shape)
        self.patch = int(np.clip(side // 4, 3, 7))
        self.stride, self.regions = (2, 3) if side >= 16 else (1, 2)
        some = images[np.sort(rng.permutation(len(images))[:1500])]
        examples = self._windows(some).reshape(-1, self._windows(some[:1]).shape[-1])
        contrast = examples.var(axis=1)
        examples = examples[contrast > 0.01 * contrast.max(initial=0.0)]
        examples = examples[rng.permutation(len(examples))[:EXAMPLES]]
        # images of one grey value have no patch that differs from its mean, and no response either
        self.axes: PCA | None = None
        if len(examples) <= examples.shape[1]:
            return
        self.least = 0.1 * float(examples.var(axis=1).mean())
        normal = self._normalised(examples)
        values, vectors = np.linalg.eigh(np.cov(normal.T))
        whitening = (vectors / np.sqrt(np.maximum(values, 0.0) + 0.1)) @ vectors.T
        dictionary = normal[:PATCHES] @ whitening
        dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True) + 1e-12
        self.filters = (whitening @ dictionary.T).astype(np.float32)
        responses = self._responses(images)
        self.axes = PCA(
            min(AXES, len(images) - 1, responses.shape[1]), svd_solver="randomized", random_state=seed % 2**32
        )
        with np.errstate(invalid="ignore"):  # the shares of the variance, not used here, where there is none
            self.axes.fit(responses)

    def __call__(self, images: NDArray[Any]) -> Floats:
        """Return (n, axes) of images (n, height, width, …)."""
        if self.axes is None:
            return np.zeros((len(images), 1))
        parts = [
            self.axes.transform(self._responses(images[start : start + 8 * BLOCK]))
            for start in range(0, len(images), 8 * BLOCK)
        ]
        return np.concatenate(parts).astype(np.float64)

    def _windows(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Every patch at the stride, flat: (n, down, across, values)."""
        pad = self.patch // 3
        # as no training value is above 1 in these units, 10 is far out, and float32 holds all
        x = np.clip(np.asarray(_shrunk(images), dtype=np.float64) / self.unit, -10.0, 10.0).astype(np.float32)
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        cut = np.lib.stride_tricks.sliding_window_view(x, (self.patch, self.patch), axis=(1, 2))
        cut = cut[:, :: self.stride, :: self.stride]
        return cut.reshape(*cut.shape[:3], -1)

    def _normalised(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = patches - patches.mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.least), dtype=np.float32)

    def _responses(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Square roots of the mean responses, (n, regions·patches); the root tames a few that are strong."""
        parts = []
        for start in range(0, len(images), BLOCK):
            windows = self._windows(images[start : start + BLOCK])
            maps = np.maximum(self._normalised(windows) @ self.filters - np.float32(THRESHOLD), 0)
            rows, columns = (np.linspace(0, size, self.regions + 1).astype(int) for size in maps.shape[1:3])
            parts.append(
                np.concatenate(
                    [
                        maps[:, top:bottom, left:right].mean(axis=(1, 2))
                        for top, bottom in itertools.pairwise(rows)
                        for left, right in itertools.pairwise(columns)
                    ],
                    axis=1,
                )
            )
        return np.asarray(np.sqrt(np.concatenate(parts)), dtype=np.float32)


def _shrinkage(shape: tuple[int, ...]) -> int:
    """Side of the squares of pixels that are averaged so that no more than about `LARGEST_SIDE` remain."""
    return max(1, min(round(max(shape[1:3]) / LARGEST_SIDE), min(shape[1:3]) // SMALLEST_SIDE))


def _shrunk(images: NDArray[Any]) -> NDArray[Any]:
    """Images (n, height, width, channels), averaged over squares of pixels where they are large."""
    x = images if images.ndim == 4 else images[..., None]
    by = _shrinkage(x.shape)
    if by == 1:
        return x
    height, width = x.shape[1] // by, x.shape[2] // by
    squares = x[:, : height * by, : width * by].reshape(len(x), height, by, width, by, x.shape[3])
    return np.asarray(squares.mean(axis=(2, 4)))
