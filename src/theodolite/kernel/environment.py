"""On what a run was made: versions and machine. Reads package metadata only, so nothing heavy is imported."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("theodolite", "torch", "lightning-fabric", "numpy", "scipy", "scikit-learn", "av", "pillow", "altair")


def describe() -> dict[str, Any]:
    """Return Python, platform, processor count, memory (bytes) and the versions of the packages that matter."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "versions": versions,
    }
