"""Several tasks at a time, each of which computes in one thread.

Products of a few thousand rows are too small to be shared out, and threads that wait for each other at every one of
them spend more than they save, all the more on a busy machine. Whole tasks are not; and as each runs in one thread, its
answer is the same however many run beside it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it says nothing of its types

Task = TypeVar("Task")
Done = TypeVar("Done")


def in_threads(work: Callable[[Task], Done], tasks: Iterable[Task]) -> Iterator[Done]:
    """Do the tasks, as many at a time as a matrix product would use threads; what they return comes in their order."""
    controller = ThreadpoolController()
    workers = max((library["num_threads"] for library in controller.select(user_api="blas").info()), default=1)

    def alone() -> None:
        # how many threads OpenMP opens is for each thread to say
        controller.limit(limits=1, user_api="openmp")

    with (
        controller.limit(limits=1, user_api="blas"),
        ThreadPoolExecutor(workers, initializer=alone) as pool,
    ):
        waiting: deque[Future[Done]] = deque()
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
