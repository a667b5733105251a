import pytest

from theodolite.kernel.errors import UsageError
from theodolite.linear_vae.config import LinearVAEConfig, LinearVAETraining


def test_the_settings_are_these():
    assert list(LinearVAEConfig.model_fields) == [
        "data",
        "latent_dim",
        "noise_variance",
        "prior_scale",
        "method",
        "draws",
        "tolerance",
        "race",
        "held_out_share",
        "split_seed",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"latent_dim": 0},
        {"noise_variance": 0.0},
        {"noise_variance": float("inf")},
        {"noise_variance": 1e-300},
        {"prior_scale": -1.0},
        {"prior_scale": 1e200},
        {"prior_scale": 1e-200},
        {"prior_scale": float("nan")},
        {"method": "sgd"},
        {"draws": -1},
        {"tolerance": 0.0},
        {"held_out_share": 1.0},
        {"data": ""},
    ],
)
def test_what_is_out_of_range_is_named(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        LinearVAEConfig.build(**wrong)


def test_half_precision_is_not_offered():
    with pytest.raises(UsageError, match="precision"):
        LinearVAETraining.build(precision="bf16-mixed")
