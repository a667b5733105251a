"""On what a run was made: versions, machine, and the rates last measured. Imports nothing heavy."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from theodolite.kernel.errors import ResourceError
from theodolite.kernel.files import why_not_written, write_atomically
from theodolite.kernel.records import Record

PACKAGES = ("theodolite", "torch", "lightning-fabric", "numpy", "scipy", "scikit-learn", "av", "pillow", "altair")
_LARGEST_FILE = 2**20  # bytes; the rates take some hundred


class Rates(Record):
    """What `theodolite doctor` measured of NumPy's and SciPy's linear algebra on this machine's processor.

    Attributes
    ----------
    syrk_float32_one_thread, syrk_float32_all_threads, syrk_float64_one_thread, syrk_float64_all_threads : float
        Multiply-adds per second of the symmetric product XᵀX (BLAS syrk), which takes n·d·(d + 1)/2 of them.
    eigh_float32, eigh_float64 : float
        Seconds per d³ of all eigenvalues and eigenvectors of a symmetric d × d matrix (d = 512).
    read : float
        Bytes per second of reading memory in order, on one thread.
    """

    syrk_float32_one_thread: float = Field(gt=0, allow_inf_nan=False)
    syrk_float32_all_threads: float = Field(gt=0, allow_inf_nan=False)
    syrk_float64_one_thread: float = Field(gt=0, allow_inf_nan=False)
    syrk_float64_all_threads: float = Field(gt=0, allow_inf_nan=False)
    eigh_float32: float = Field(gt=0, allow_inf_nan=False)
    eigh_float64: float = Field(gt=0, allow_inf_nan=False)
    read: float = Field(gt=0, allow_inf_nan=False)


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
        "memory_bytes": memory_bytes(),
        "versions": versions,
    }


def memory_bytes() -> int:
    """Bytes of memory that this machine has, or very many where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 2**62


def rates_file() -> Path:
    """Where the rates are kept: ``theodolite/doctor.json`` in the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    # the standard says that a relative path there is to be ignored
    return (Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache") / "theodolite" / "doctor.json"


def keep_rates(rates: Rates) -> Path:
    """Write what was measured, for `known_rates` to find; return the file.

    Raises
    ------
    ResourceError
        If the cache folder cannot be written.
    """
    path = rates_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(why_not_written(path, 0, error)) from None
    write_atomically(path, json.dumps({"machine": _machine(), "rates": rates.model_dump()}, indent=1).encode())
    return path


def known_rates() -> Rates | None:
    """Read the rates measured on this machine; None where there are none, or they are damaged or another machine's."""
    try:
        path = rates_file()
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["machine"] != _machine():
            return None
        return Rates.model_validate(content["rates"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ValidationError):
        return None  # times are a service: without them a plan says less, and is right


def _machine() -> dict[str, Any]:
    """What the rates hold for: this processor, as many of it, and these libraries."""
    found = describe()
    return {
        "processor": _processor(),
        "system": found["system"],
        "processors": found["processors"],
        "numpy": found["versions"]["numpy"],
        "scipy": found["versions"]["scipy"],
    }


def _processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
