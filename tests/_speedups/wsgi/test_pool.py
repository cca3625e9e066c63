"""The threads of WSGI: who runs what, in which order it comes back, and that no job waits while threads sleep."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fastserver._speedups.clock import Clock
from fastserver._speedups.contract import Host, Limits
from fastserver._speedups.wsgi.pool import Job, ThreadPool
from tests.fakes import DEFAULT_LIMITS, make_log

TIMEOUT_S = 20.0


class Work(Job):
    """Runs ``work`` in a thread and posts what it gives."""

    def __init__(self, pool: ThreadPool, work: Callable[[], object] = lambda: None) -> None:
        self.pool = pool
        self.work = work
        self.results: list[object] = []
        self.turns = 0
        self.expired = False
        self.queued_at = 0.0

    def run(self) -> None:
        self.result = self.work()
        self.pool.post(self, 1, None, b"", False)
        self.pool.post(self, 2, None, b"", True)

    def begin_turn(self) -> None:
        self.turns += 1

    def end_turn(self) -> None:
        self.turns += 1

    def deliver(self, step: int, head: Any, body: bytes, ended: bool) -> None:
        self.results.append(step)

    def expire(self) -> None:
        self.expired = True


def with_pool(
    main: Callable[[ThreadPool, list[Any]], Any], threads: int = 2, limit: int = 0, timeout_s: float = 0
) -> None:
    """Run ``main`` with a pool in a loop of its own; all of its threads must end."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        log, records = make_log()
        host = Host(loop=loop, clock=Clock(0.0, 0.0), limits=Limits(**DEFAULT_LIMITS), error_log=log)
        pool = ThreadPool(host, threads, limit, timeout_s)
        try:
            await asyncio.wait_for(main(pool, records), TIMEOUT_S)
        finally:
            pool.close()
            await until(lambda: not pool.alive)

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_every_job_is_run_once_and_comes_back_in_order() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        jobs = [Work(pool, threading.get_ident) for _ in range(500)]
        for turn in range(0, 500, 7):
            for job in jobs[turn : turn + 7]:
                assert pool.submit(job)
            await asyncio.sleep(0)
        await until(lambda: all(len(job.results) == 2 for job in jobs))
        assert all(job.results == [1, 2] for job in jobs)
        assert all(job.turns % 2 == 0 for job in jobs)
        assert threading.get_ident() not in {job.result for job in jobs}
        assert 1 <= pool.started <= 3

    with_pool(main, threads=3)


def test_a_job_that_blocks_lets_others_through() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        gate = threading.Event()
        blocked = Work(pool, lambda: gate.wait(TIMEOUT_S))
        others = [Work(pool) for _ in range(20)]
        for job in (blocked, *others):
            pool.submit(job)
        await until(lambda: all(job.results for job in others))
        assert (blocked.results, pool.busy >= 1, pool.started) == ([], True, 2)
        gate.set()
        await until(lambda: blocked.results)
        await until(lambda: pool.busy == 0)

    with_pool(main)


def test_as_many_block_at_once_as_there_are_threads() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        barrier = threading.Barrier(5)
        jobs = [Work(pool, lambda: barrier.wait(TIMEOUT_S)) for _ in range(5)]
        for job in jobs:
            pool.submit(job)
        await until(lambda: all(job.results for job in jobs))
        assert pool.started == 5

    with_pool(main, threads=5)


@pytest.mark.parametrize(("limit", "taken"), [(0, 20), (1, 2), (3, 4)])
def test_the_queue_has_a_limit(limit: int, taken: int) -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        gate = threading.Event()
        pool.submit(Work(pool, lambda: gate.wait(TIMEOUT_S)))
        await until(lambda: pool.started == 1 and pool.waiting == 0)
        jobs = [Work(pool) for _ in range(20)]
        assert sum([pool.submit(job) for job in jobs]) == min(taken - (limit > 0), 20)
        gate.set()
        await until(lambda: pool.waiting == 0)

    with_pool(main, threads=1, limit=limit)


def test_a_job_can_be_taken_back_while_it_waits() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        gate = threading.Event()
        running, waiting = Work(pool, lambda: gate.wait(TIMEOUT_S)), Work(pool)
        pool.submit(running)
        await until(lambda: pool.started == 1 and pool.waiting == 0)
        pool.submit(waiting)
        assert pool.discard(waiting)
        assert not pool.discard(waiting)
        assert not pool.discard(running)
        gate.set()
        await until(lambda: running.results)
        assert waiting.results == []

    with_pool(main, threads=1)


def test_a_job_that_waits_too_long_expires() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        gate = threading.Event()
        pool.submit(Work(pool, lambda: gate.wait(TIMEOUT_S)))
        await until(lambda: pool.started == 1 and pool.waiting == 0)
        first, second = Work(pool), Work(pool)
        pool.submit(first)
        pool.submit(second)
        second.queued_at = 1.0
        pool.sweep(4.9)
        assert (first.expired, second.expired) == (False, False)
        pool.sweep(5.1)
        assert (first.expired, second.expired, pool.waiting) == (True, False, 1)
        pool.note_full(5.2)
        assert [record.getMessage() for record in records] == [
            "no thread was free for 1 requests: all 1 are busy (--threads)"
        ]
        gate.set()
        await until(lambda: second.results)

    with_pool(main, threads=1, timeout_s=5.0)


def test_threads_have_names_and_do_not_hold_up_the_process() -> None:
    async def main(pool: ThreadPool, records: Any) -> None:
        job = Work(pool, threading.current_thread)
        pool.submit(job)
        await until(lambda: job.results)
        thread: Any = job.result
        assert (thread.name, thread.daemon) == ("fastserver-wsgi-1", True)

    with_pool(main)


def test_what_is_posted_when_the_loop_is_closed_is_lost_in_silence() -> None:
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(TIMEOUT_S)

    async def main() -> Work:
        loop = asyncio.get_running_loop()
        host = Host(loop=loop, clock=Clock(0.0, 0.0), limits=Limits(**DEFAULT_LIMITS), error_log=make_log()[0])
        pool = ThreadPool(host, 1, 0, 0)
        job = Work(pool, work)
        pool.submit(job)
        await until(lambda: pool.started == 1 and pool.waiting == 0)
        pool.close()
        return job

    job = asyncio.run(main())
    gate.set()
    for thread in job.pool.alive:
        thread.join(TIMEOUT_S)
    done.set()
    assert (job.results, job.pool.alive) == ([], [])
