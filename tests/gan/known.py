"""Generators that are known: they turn standard normal draws into draws of a mixture of Gaussians."""

import torch
from torch import nn


class Known(nn.Module):
    """Draws of a mixture from standard normal ones: the first says which mode, the others where in it."""

    def __init__(self, mixture, units):
        super().__init__()
        self.register_buffer("edges", torch.tensor(mixture.weights).cumsum(0)[:-1].float())
        centres = units.standardise(mixture.centres)
        self.register_buffer("centres", torch.tensor(centres).float())
        self.spread = mixture.spread / units.scale
        self.latent_dim = 1 + mixture.dimensions

    def forward(self, normal):
        mode = (torch.special.ndtr(normal[:, :1]) >= self.edges).sum(dim=1)
        return self.centres[mode] + self.spread * normal[:, 1:]
