import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.threads import in_threads


def limits():
    return [library["num_threads"] for library in ThreadpoolController().info()]


def test_answers_come_in_order_and_each_task_computes_in_one_thread():
    before = limits()
    seen = list(in_threads(lambda number: (number, limits(), threading.get_ident()), range(5)))
    assert [number for number, _, _ in seen] == list(range(5))
    assert all(set(inside) <= {1} for _, inside, _ in seen)
    assert threading.get_ident() not in {thread for _, _, thread in seen}
    assert limits() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_tasks_run_at_a_time_as_a_product_would_use_threads(threads):
    """Two tasks that wait for each other end only if they run at once."""
    with threadpool_limits(threads, user_api="blas"):
        if max(library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()) != threads:
            pytest.skip("the libraries here have fewer threads")
        meeting = threading.Barrier(2)

        def meet(_):
            try:
                meeting.wait(timeout=5 if threads == 2 else 0.05)
            except threading.BrokenBarrierError:
                return False
            return True

        assert list(in_threads(meet, range(2))) == [threads == 2] * 2


def test_what_goes_wrong_in_a_task_goes_wrong_here():
    def work(number):
        return np.ones(3) / np.float64(1 / number)

    found = in_threads(work, [1, 2, 0])
    np.testing.assert_array_equal(next(found), np.ones(3))
    with pytest.raises(ZeroDivisionError):
        list(found)


def test_an_audit_says_the_same_in_one_thread_and_in_two_and_asks_a_given_discriminator_one_thing_at_a_time():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.3, 1, (200, 3)), rng.normal(0, 1, (600, 3))
    asking = threading.Lock()

    def scorer(samples):
        assert asking.acquire(blocking=False)
        found = samples.sum(axis=1)
        asking.release()
        return found

    audits = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            audits.append(audit_coverage(real, fake, discriminator=scorer))
    assert audits[0] == audits[1]
