"""Settings of a GAN, its data and its audit, and its defaults for training."""

from typing import Literal

from pydantic import Field, model_validator

from theodolite.kernel.settings import Settings, TrainSettings

Objective = Literal["relativistic", "minimax", "non-saturating"]


class GANConfig(Settings):
    """Generator G: Z → X and discriminator D: X → ℝ, both residual networks, and the data they play for."""

    data: str = Field(
        "ring8", min_length=1, description="line, ring8, grid25, digits, stacked-digits, or a file or folder of samples"
    )
    objective: Objective = Field(
        "relativistic",
        description="relativistic pairs with two gradient penalties; the minimax game to the letter; or that one with "
        "the non-saturating loss of G",
    )
    withhold: int | None = Field(
        None, ge=0, description="a mode, or a digit, kept from training: what is then missed is known"
    )
    reals: int = Field(10_000, ge=200, le=10**6, description="real samples to draw of a mixture or stacked digits")
    held_out_share: float = Field(0.3, gt=0, le=0.9, description="share of the real samples that training never sees")
    split_seed: int = Field(0, ge=0, lt=2**32, description="which samples those are, and which a mixture gives")
    latent_dim: int = Field(16, ge=1, le=4096, description="dimensions of z")
    bits: int = Field(8, ge=0, description="how many of them are ±1 by the toss of a coin; the rest are normal")
    spread: float | None = Field(
        None,
        gt=0,
        le=100,
        description="standard deviation of the normal ones; by itself 0.5 for vectors, less for narrow modes, else 1",
    )
    network: Literal["auto", "fully-connected", "convolutional"] = Field(
        "auto", description="auto: convolutional for images of 12 to 128 pixels a side"
    )
    width: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="features inside both networks; by itself 128, of convolutional ones 16 at the finest map",
    )
    depth: int | None = Field(
        None,
        ge=0,
        le=64,
        description="residual blocks of each; by itself 2, of convolutional ones 1 at each coarser map",
    )
    penalty: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="weight γ of R1 + R2, where relativistic; by itself 0.1 times the noise's variance for vectors, "
        "0.3 for small images, 5 for others",
    )
    penalise_every: int | None = Field(
        None, ge=1, le=1000, description="steps between penalties, then as much stronger; by itself 1, of images 4"
    )
    pace: float | None = Field(
        None,
        gt=0,
        le=100,
        description="step size of D as a multiple of that of G; by itself 4 for vectors under noise, else 1",
    )
    average: float = Field(0.995, ge=0, lt=1, description="decay of the running average of G, which is what is audited")
    fakes: int = Field(0, ge=0, le=10**7, description="generated samples of the audit; 0: as many as it needs")
    tau: float = Field(0.1, gt=0, le=1, description="a point is missed where p_fake ≤ tau · p_real")
    alpha: float = Field(0.1, gt=0, lt=1, description="share of the samples named missed that may be wrong")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="of each certified bound")

    @model_validator(mode="after")
    def _bits_fit(self) -> "GANConfig":
        if self.bits > self.latent_dim:
            raise ValueError(f"bits={self.bits} exceeds latent_dim={self.latent_dim}; take {self.latent_dim} or fewer")
        return self


class GANTraining(TrainSettings):
    """Training of the GAN: Adam for both networks, one step each in turn, step sizes to zero along half a cosine."""

    steps: int = Field(6000, ge=1, description="steps of each network in all")
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False, description="step size of G at the start")
    batch_size: int = Field(256, ge=2, description="real samples a step, over all processes, and as many generated")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="bf16-mixed takes half the time for images, where the machine computes it right"
    )
