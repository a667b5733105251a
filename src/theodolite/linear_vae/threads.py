"""How many threads a step of training is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORTH_SHARING = 2**24  # multiplications a step; below it two threads wait for each other longer than they work


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Compute in one thread where a step has too little to do for more."""
    before = torch.get_num_threads()
    if multiplications < WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
