"""One small trained run that the tests of audit and reconstruction share."""

import pytest

from theodolite import families

TINY = {"frames": 5, "height": 12, "width": 10, "clips": 24, "held_out": 6, "stages": 2, "base": 3}


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    return families.train("video-unet", tmp_path_factory.mktemp("run") / "tiny", steps=40, device="cpu", **TINY)
