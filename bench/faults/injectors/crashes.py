"""FI-1, FI-2 and FI-9: processes of the server are killed."""

import asyncio
import os
import signal
import statistics
import time
from dataclasses import dataclass

from bench.faults.h1 import Request
from bench.faults.load import LIGHT, Mix
from bench.faults.outcome import Attempt, Book, Outcome, find_executor
from bench.faults.rig import NotStarted, Rig, Site, wait_until
from bench.faults.truth import READY, Truth

#: Kills of one server before the next is started: a supervisor may wait ever longer for a worker that keeps dying.
KILLS_PER_SITE = 4
#: Requests that are sent while the kernel takes a killed process apart.
TEARDOWN_S = 0.25
#: Within so long a new worker has to answer.
REPLACE_S = 1.0
#: Within so long workers have to go whose main process was killed.
GONE_S = 5.0


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker that did not do its work from ``since`` on, and was no more at ``until`` (monotonic seconds)."""

    pid: int
    since: float
    until: float


async def kill_workers(rig: Rig) -> None:
    """FI-1: a kill costs no more than what that worker was doing."""
    await _kill_many(rig, [signal.SIGKILL] * rig.cycles)


async def crash_workers(rig: Rig) -> None:
    """FI-2: the same by signals that a fault of a C extension would raise, and a trace in the log."""
    logs = await _kill_many(rig, [signal.SIGSEGV, signal.SIGABRT] * (1 if rig.quick else 2))
    traced = all("Fatal Python error" in log for log in logs)
    rig.verdict.check(traced, "no trace of the crash in the log", "no trace")


async def _kill_many(rig: Rig, numbers: list[signal.Signals]) -> list[str]:
    """Kill one worker after the other; the logs of the servers."""
    delays: list[float] = []
    excused = 0
    logs: list[str] = []
    for start in range(0, len(numbers), KILLS_PER_SITE):
        front = rig.fronts[(start // KILLS_PER_SITE) % len(rig.fronts)]
        async with rig.serve(front) as site:
            loads = site.load(Mix(), rig.scale)
            await asyncio.sleep(0.5)
            killed: list[Kill] = []
            for number in numbers[start : start + KILLS_PER_SITE]:
                if not await _kill_one(rig, site, number, killed, delays):
                    break
                rig.say(f"kill {len(delays)}/{len(numbers)}: a new worker after {delays[-1]:.2f} s")
                await asyncio.sleep(0.4)
            book = await loads.finish(10.0)
            excused += _judge(rig, site, book, killed)
            logs.append(site.process.read_log())
            if not site.is_alive():
                break
    rig.verdict.figures |= {"kills": len(delays), "cut with the killed": excused}
    if delays:
        rig.verdict.figures |= {
            "new worker, median s": round(statistics.median(delays), 2),
            "slowest, s": round(max(delays), 2),
        }
        median_s = statistics.median(delays)
        rig.verdict.check(median_s <= rig.allow(REPLACE_S), f"a new worker takes {median_s:.1f} s")
    return logs


async def _kill_one(rig: Rig, site: Site, number: signal.Signals, killed: list[Kill], delays: list[float]) -> bool:
    """Kill a worker and wait for another; ``False`` where none comes."""
    victim = site.workers()[0]
    known = set(site.testify().pids(READY))
    moment = time.monotonic()
    killed.append(Kill(victim, moment, moment + TEARDOWN_S))
    os.kill(victim, number)
    came = await wait_until(lambda: bool(set(site.workers()) - known) or not site.is_alive(), 15.0, 0.01)
    delays.append(time.monotonic() - moment)
    alive = site.is_alive()
    rig.verdict.check(alive, f"the death of a worker ended the server: {site.last_words()}", "ends the server")
    if alive:
        rig.verdict.check(came, "no new worker within 15 s", "no new worker")
    return alive and came


def _judge(rig: Rig, site: Site, book: Book, killed: list[Kill]) -> int:
    """Set aside what a killed worker may have had under way; the rest must not have failed."""
    testimony = site.testify()
    book.settle(testimony)
    failed = rig.find_failed(book)
    excused = [attempt for attempt in failed if is_excused(testimony, attempt, killed)]
    wrong = [attempt for attempt in failed if attempt not in excused]
    rig.verdict.add(requests=len(book.attempts), failed=len(wrong))
    example = wrong[0].describe() if wrong else ""
    rig.verdict.check(
        not wrong, f"{len(wrong)} failed that no killed worker had: {example}", f"{len(wrong)} failed elsewhere"
    )
    rig.verdict.show([attempt.describe() for attempt in wrong])
    return len(excused)


def is_excused(testimony: Truth, attempt: Attempt, killed: list[Kill]) -> bool:
    """Whether ``attempt`` may have been in the hands of a worker when it was killed.

    It was under way then, and neither the application's word nor the connection's past says that another had it.
    """
    if attempt.outcome not in (Outcome.RESET, Outcome.ENDED, Outcome.CUT, Outcome.STALE, Outcome.HANDSHAKE):
        return False
    owners = {attempt.owner, find_executor(testimony, attempt)} - {0}
    return any(
        (not owners or owners == {kill.pid}) and attempt.started <= kill.until and attempt.ended >= kill.since
        for kill in killed
    )


async def kill_main(rig: Rig) -> None:
    """FI-9: workers notice, finish what is open and go; the port is free at once."""
    async with rig.serve() as site:
        loads = site.load(LIGHT, rig.scale)
        await asyncio.sleep(0.3)
        slow = asyncio.ensure_future(site.ask(Request("/get", {"ms": 600})))
        await asyncio.sleep(0.1)
        moment = time.monotonic()
        loads.close()
        site.process.signal(signal.SIGKILL)
        left = await site.process.wait_empty(8.0)
        took_s = time.monotonic() - moment
        rig.verdict.check(
            not left, f"{len(left)} orphans go on 8 s after the main process was killed", "leaves orphans"
        )
        rig.verdict.check(bool(left) or took_s <= rig.allow(GONE_S), f"the workers took {took_s:.1f} s to go")
        rig.verdict.figures["workers gone after, s"] = round(took_s, 2) if not left else None
        if left:
            attempt = await site.ask()
            rig.verdict.figures["orphans answer"] = attempt.outcome is Outcome.OK
        else:
            attempt = await slow
            rig.verdict.figures["an open request was"] = attempt.outcome.value
            rig.verdict.check(attempt.outcome is Outcome.OK, f"an open request was {attempt.outcome.value}")
        port = site.wants.port
        try:
            async with rig.serve(port=port) as again:
                await rig.stop(again)
        except NotStarted as error:
            rig.verdict.check(False, f"a new server on the same port does not start: {error}", "the port stays taken")
        site.process.destroy()
        slow.cancel()
        await loads.finish(5.0)
