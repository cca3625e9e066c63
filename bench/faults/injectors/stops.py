"""FI-3 to FI-6: the server is told to stop."""

import asyncio
import signal
import time

from bench.faults.h1 import H1Client, Request
from bench.faults.load import Mix, perform_late
from bench.faults.outcome import Attempt, Outcome
from bench.faults.rig import STOP_MARGIN_S, Rig, Site
from bench.faults.truth import READY, STOPPED
from bench.faults.verdict import Verdict

#: After so long each answer on a kept connection has to announce its end.
ANNOUNCE_S = 0.5
#: Clients of FI-4.
LATE_CLIENTS = 40


async def stop_under_load(rig: Rig) -> None:
    """FI-3: each request whose connection was accepted is answered; then only refusals."""
    times: list[float] = []
    for cycle in range(rig.cycles):
        front = rig.fronts[cycle % len(rig.fronts)]
        async with rig.serve(front) as site:
            loads = site.load(Mix(), rig.scale)
            await asyncio.sleep(0.7)
            began = time.monotonic()
            loads.close()
            site.process.signal(signal.SIGTERM)
            code = await site.process.wait_exit(site.wants.grace_s + STOP_MARGIN_S)
            times.append(time.monotonic() - began)
            site.process.destroy()
            book = await loads.finish(site.wants.grace_s)
            failed = rig.judge(site, book, refused_from=began, what="at SIGTERM")
            _check_exit(rig.verdict, site, code, times[-1])
            _check_announced(rig, book.attempts, began)
            rig.say(f"stop {cycle + 1}/{rig.cycles} ({front}): {len(book.attempts)} requests, {len(failed)} failed")
        if cycle >= 2 and rig.verdict.figures["failed"] == rig.verdict.figures["requests"]:
            break
    rig.verdict.figures |= {"stops": len(times), "slowest stop, s": round(max(times), 2)}
    _summarise(rig.verdict)


def _summarise(verdict: Verdict) -> None:
    """One line for the table, and one reason for each kind of many."""
    failed, requests = verdict.figures.get("failed", 0), verdict.figures.get("requests", 0)
    if failed:
        verdict.brief = f"{failed:,} of {requests:,}"


def _check_exit(verdict: Verdict, site: Site, code: int | None, took_s: float) -> None:
    verdict.check(code is not None, f"still running {took_s:.0f} s after SIGTERM", "does not stop")
    if code is not None:
        verdict.check(code in (0, -signal.SIGTERM), f"exit code {code}")
        verdict.add(**{"exit codes other than 0": int(code != 0)})
    testimony = site.testify()
    if site.server.wsgi:
        return
    ready, stopped = testimony.pids(READY), testimony.pids(STOPPED)
    verdict.check(
        sorted(ready) == sorted(stopped),
        f"{len(ready)} workers came up, and the lifespan's shutdown ran {len(stopped)} times",
        "no lifespan shutdown",
    )


def _check_announced(rig: Rig, attempts: list[Attempt], began: float) -> None:
    """Whoever keeps a connection has to learn with an answer that it is the last one."""
    late = [
        attempt
        for attempt in attempts
        if attempt.outcome is Outcome.OK
        and attempt.sent > began + rig.allow(ANNOUNCE_S)
        and not attempt.kind.startswith("ws")
    ]
    rig.verdict.add(**{"asked later, answered": len(late)})
    silent = [
        attempt for attempt in late if not attempt.closing and attempt.kind != "h2" and "pipelined" not in attempt.kind
    ]
    rig.verdict.check(not silent, f"{len(silent)} answers during the stop without connection: close")


async def stop_with_late_clients(rig: Rig) -> None:
    """FI-4: connected before SIGTERM, asked after it."""
    for cycle in range(max(2, rig.cycles // 4)):
        front = rig.fronts[cycle % len(rig.fronts)]
        async with rig.serve(front) as site:
            book = site.open_book()
            target = site.targets[-1][0]
            clients = [H1Client(target) for _ in range(LATE_CLIENTS)]
            attempts = [book.open("late") for _ in clients]
            jobs = [asyncio.ensure_future(perform_late(c, a)) for c, a in zip(clients, attempts, strict=True)]
            await asyncio.sleep(0.08)
            began = time.monotonic()
            site.process.signal(signal.SIGTERM)
            await asyncio.gather(*jobs)
            for client in clients:
                client.close()
            early = [attempt for attempt in attempts if 0 < attempt.sent < began]
            rig.verdict.add(**{"asked before the signal": len(early)})
            await site.process.wait_exit(site.wants.grace_s + STOP_MARGIN_S)
            rig.judge(site, book, what="that had connected before SIGTERM")
    _summarise(rig.verdict)


async def stop_with_hanging_request(rig: Rig) -> None:
    """FI-5: cut at the end of the grace, and the server is gone soon after."""
    grace_s = 2
    async with rig.serve(grace_s=grace_s) as site:
        hanging = asyncio.ensure_future(site.ask(Request("/hang"), answer_s=60))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        site.process.signal(signal.SIGTERM)
        code = await site.process.wait_exit(grace_s + STOP_MARGIN_S + 3)
        took_s = time.monotonic() - began
        verdict = rig.verdict
        verdict.figures |= {"exit code": code, "stop, s": round(took_s, 2), "grace, s": grace_s}
        verdict.check(code is not None, f"still running after {took_s:.1f} s of {grace_s} s grace", "does not stop")
        verdict.check(took_s <= grace_s + STOP_MARGIN_S, f"took {took_s:.1f} s")
        if code is None:
            site.process.destroy()
        attempt = await hanging
        cut = attempt.outcome in (Outcome.RESET, Outcome.ENDED, Outcome.CUT) or "status 50" in attempt.detail
        verdict.check(cut, f"the client saw: {attempt.describe()}")
        lasted_s = attempt.ended - began
        verdict.figures["the client was cut after, s"] = round(lasted_s, 2)
        verdict.check(lasted_s >= grace_s - 0.5, f"the request was cut after {lasted_s:.1f} s of {grace_s} s grace")


async def stop_twice(rig: Rig) -> None:
    """FI-6: the second signal ends it within a second, whatever is open."""
    for number in (signal.SIGTERM, signal.SIGINT):
        async with rig.serve(grace_s=30) as site:
            hanging = asyncio.ensure_future(site.ask(Request("/hang"), answer_s=60))
            await asyncio.sleep(0.3)
            site.process.signal(number)
            await asyncio.sleep(0.5)
            began = time.monotonic()
            site.process.signal(number)
            code = await site.process.wait_exit(8)
            took_s = time.monotonic() - began
            name = signal.Signals(number).name
            limit_s = rig.allow(1.0)
            held = rig.verdict.check(
                code is not None and took_s <= limit_s,
                f"{name} twice: " + (f"took {took_s:.1f} s" if code is not None else "still running after 8 s"),
            )
            rig.verdict.figures[f"{name} twice"] = f"exit code {code} after {took_s:.2f} s" if held else "no end"
            left = await site.process.wait_empty(1.0)
            rig.verdict.check(not left, f"{name} twice: {len(left)} processes are left", "leaves orphans")
            site.process.destroy()
            await hanging
