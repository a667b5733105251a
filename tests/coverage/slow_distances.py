"""Distances by loops over differences in double precision: what the fast ones are held against."""

import numpy as np


def slow_squares(a, b):
    """Every squared distance, (a, b)."""
    return np.array([((x - b) ** 2).sum(axis=1) for x in a])


def slow_prdc(real, fake, k):
    """The definitions of Kynkäänniemi et al. (2019) and Naeem et al. (2020), a point at a time."""
    between = slow_squares(real, fake)
    reach_real = [np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(slow_squares(real, real))]
    reach_fake = [np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(slow_squares(fake, fake))]
    between = between * (1 + 1e-11)  # equal but for rounding is not nearer
    in_real = np.array([[between[i, j] < reach_real[i] for j in range(len(fake))] for i in range(len(real))])
    in_fake = np.array([[between[i, j] < reach_fake[j] for j in range(len(fake))] for i in range(len(real))])
    return {
        "precision": np.mean([in_real[:, j].any() for j in range(len(fake))]),
        "recall": np.mean([in_fake[i].any() for i in range(len(real))]),
        "density": in_real.sum() / (k * len(fake)),
        "coverage": np.mean([in_real[i].any() for i in range(len(real))]),
    }
