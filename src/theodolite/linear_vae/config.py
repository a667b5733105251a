"""Settings of the linear VAE, and its defaults for training."""

from typing import Literal

from pydantic import Field

from theodolite.kernel.settings import Settings, TrainSettings


class LinearVAEConfig(Settings):
    """The model p(z) = N(0, η_e² I), q(z|x) = N(W x, Σ), p(x|z) = N(U z, η_d² I), its data and how it is trained."""

    data: str = Field(
        "digits", min_length=1, description="digits, a .csv or .npy file of one sample a row, or a folder of .npy files"
    )
    latent_dim: int = Field(10, ge=1, description="dimensions of z")
    noise_variance: float | None = Field(
        None, ge=1e-100, le=1e100, description="variance η_d² of the decoder; learned if it is not given"
    )
    prior_scale: float = Field(1.0, ge=1e-50, le=1e50, description="standard deviation η_e of the prior")
    method: Literal["closed-form", "em", "px-em", "lbfgs", "adam", "reparametrised"] = Field(
        "reparametrised", description="from the spectrum; up the ELBO of the covariance; or minibatches and draws of z"
    )
    draws: int = Field(
        8, ge=0, le=1024, description="draws of z a sample and step, where reparametrised; 0 integrates z out"
    )
    tolerance: float = Field(1e-6, gt=0, le=1, description="nats per sample; where em, px-em, lbfgs and adam stop")
    race: bool = Field(True, description="let every other procedure run, too, to compare their gaps to the optimum")
    held_out_share: float = Field(0.1, ge=0, lt=1, description="share of the samples that training never sees")
    split_seed: int = Field(0, ge=0, lt=2**63, description="which samples those are")


class LinearVAETraining(TrainSettings):
    """Training of the linear VAE: Adam, its step size going to zero along half a cosine."""

    steps: int = Field(2000, ge=1, description="optimiser steps, or iterations at most, in all")
    # 11 × 147 are the 1,617 digits trained on: whole passes take most of the batches' noise away
    batch_size: int = Field(147, ge=1, description="samples a step, over all processes")
    learning_rate: float = Field(0.02, gt=0, allow_inf_nan=False, description="step size of the optimiser at the start")
    precision: Literal["32-true", "64-true"] = Field(
        "64-true", description="float64 follows the gap to the optimum further down"
    )
