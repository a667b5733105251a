"""How many threads a step of training is worth."""

from contextlib import AbstractContextManager

from theodolite.engine.threads import one_thread

WORTH_SHARING = 2**24  # multiplications a step; below it two threads wait for each other longer than they work


def threads_for(multiplications: int) -> AbstractContextManager[None]:
    """Compute in one thread where a step has too little to do for more."""
    return one_thread(multiplications < WORTH_SHARING)
