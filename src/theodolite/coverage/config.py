"""Settings of an audit of coverage."""

from pydantic import Field

from theodolite.kernel.settings import Settings


class CoverageConfig(Settings):
    """What is compared, and how strictly. Without paths, `plan` speaks for the given counts."""

    real: str = Field("", description="held-out real samples: .npy, .npz, .safetensors, .csv or a folder of images")
    fake: str = Field("", description="generated samples: the same, or module:function, called with a count")
    train: str = Field("", description="the train set, for the gap between it and held-out samples")
    discriminator: str = Field("", description="module:function from samples to scores, one more feature of D̂")
    features: str = Field(
        "raw",
        description="where samples are compared: raw, standardised, REAL.npy,FAKE.npy[,TRAIN.npy] of features, an "
        "encoder file (.pt2, TorchScript), timm:NAME or transformers:NAME",
    )
    labels: str = Field("", description="a label for each real sample, .npy or one a line: missed mass of each")
    reals: int = Field(1000, ge=40, description="how many real samples to plan for where no path is given")
    fakes: int = Field(
        0, ge=0, description="how many to draw from module:function, or to plan for; 0: as many as needed"
    )
    tau: float = Field(0.1, gt=0, le=1, description="a point is missed where p_fake ≤ tau · p_real")
    alpha: float = Field(0.1, gt=0, lt=1, description="share of the samples named missed that may be wrong")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="of each certified bound")
    seed: int = Field(0, ge=0, lt=2**63, description="of the folds and the classifiers")
