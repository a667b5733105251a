import numpy as np

from theodolite.engine.gather import gather_arrays, processes
from theodolite.linear_vae.config import LinearVAETraining


def test_one_process_has_what_it_has(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes() == (0, 1)
    ((count, rows),) = gather_arrays([np.asarray(3), np.eye(2)], LinearVAETraining())
    assert count == 3
    np.testing.assert_array_equal(rows, np.eye(2))
