import subprocess
import sys

import pytest

import theodolite


def test_the_public_names_are_these():
    assert theodolite.__all__ == [
        "LinearVAE", "NestedViT", "VideoUNet", "audit", "audit_coverage", "plan", "resume", "train", "write_report",
    ]  # fmt: skip


@pytest.mark.parametrize("name", theodolite.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(theodolite, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Diffusion'"):
        _ = theodolite.Diffusion


def test_importing_theodolite_loads_nothing_heavy():
    code = "import sys, theodolite; sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
