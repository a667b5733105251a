"""Theory beside practice for deep models: plan, train, audit, report.

Names are loaded when first used, so ``import theodolite`` is immediate and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theodolite.coverage.audit import audit_coverage as audit_coverage
    from theodolite.families import audit as audit
    from theodolite.families import plan as plan
    from theodolite.families import resume as resume
    from theodolite.families import train as train
    from theodolite.families import write_report as write_report
    from theodolite.linear_vae.estimator import LinearVAE as LinearVAE
    from theodolite.nested_vit.model import NestedViT as NestedViT
    from theodolite.video_unet.model import VideoUNet as VideoUNet

_HOMES = {
    "LinearVAE": "theodolite.linear_vae.estimator",
    "NestedViT": "theodolite.nested_vit.model",
    "VideoUNet": "theodolite.video_unet.model",
    "audit": "theodolite.families",
    "audit_coverage": "theodolite.coverage.audit",
    "plan": "theodolite.families",
    "resume": "theodolite.families",
    "train": "theodolite.families",
    "write_report": "theodolite.families",
}

__all__ = [
    "LinearVAE",
    "NestedViT",
    "VideoUNet",
    "audit",
    "audit_coverage",
    "plan",
    "resume",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("theodolite")
    if name not in _HOMES:
        raise AttributeError(f"module 'theodolite' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
