"""FI-24 and FI-25: time jumps, or stands still."""

import asyncio
import email.utils
import os
import signal
import time
from pathlib import Path

from bench.faults.h1 import AnswerReader, Request
from bench.faults.load import LIGHT
from bench.faults.outcome import Outcome
from bench.faults.rig import NotStarted, Rig, Site
from bench.faults.truth import READY
from bench.faults.verdict import Skip
from bench.faults.wire import connect

JUMPS_S = (3600, -3600, 0)


async def jump_clock(rig: Rig) -> None:
    """FI-24: the clock of the day goes forth and back; only the date of answers follows."""
    if not rig.faketime:
        raise Skip("libfaketime is not installed (Debian: apt install libfaketime)")
    stamp = rig.directory / "faketime"
    stamp.write_text("+0s\n")
    env = {
        "LD_PRELOAD": rig.faketime,
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # the times of files are the kernel's, and stay so
    }
    try:
        await _jump(rig, env, stamp)
    except NotStarted as error:  # nothing has jumped yet: gunicorn's heartbeat file, for one, is not to be had so
        rig.verdict.reasons.append(str(error))
        raise Skip("it does not start below libfaketime") from error


async def _jump(rig: Rig, env: dict[str, str], stamp: Path) -> None:
    async with rig.serve(env=env) as site:
        before = site.workers()
        loads = site.load(LIGHT, rig.scale)
        for jump_s in JUMPS_S:
            _write(stamp, f"{jump_s:+d}s\n")
            await asyncio.sleep(2.2)
            date_s = await _read_date(site)
            if date_s is None:
                rig.verdict.figures["date"] = "none"
                continue
            off_s = date_s - (time.time() + jump_s)
            text = f"2 s after a jump by {jump_s:+d} s the date is off by {off_s:.0f} s"
            rig.verdict.check(abs(off_s) <= 2.0, text, "stale date")
        book = await loads.finish(10.0)
        rig.judge(site, book, what="while the clock jumped")
        rig.verdict.check(site.workers() == before, "workers were replaced", "workers are replaced")
        rig.verdict.check("Traceback" not in site.process.read_log(), "a traceback in the log")


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


async def _read_date(site: Site) -> float | None:
    """The date of an answer, as seconds since the epoch; ``None`` where it has none."""
    attempt = site.open_book().open("date")
    wire = await connect(site.plain)
    for part in Request(close=True).render(attempt.ident):
        await wire.write(part)
    reader = AnswerReader()
    while not reader.done and wire.end is None:
        await asyncio.wait_for(wire.wait(), 5.0)
        reader.take(wire.received)
    wire.close()
    date = reader.headers.get("date")
    return email.utils.parsedate_to_datetime(date).timestamp() if date else None


async def suspend(rig: Rig) -> None:
    """FI-25: all processes stand still, as when a machine sleeps, with requests under way; then the main one alone."""
    pause_s = 4.0 if rig.quick else 20.0
    async with rig.serve() as site:
        before = site.workers()
        loads = site.load(LIGHT, rig.scale)
        await asyncio.sleep(0.5)
        site.process.signal_all(signal.SIGSTOP)
        await asyncio.sleep(pause_s)
        site.process.signal_all(signal.SIGCONT)
        await asyncio.sleep(2.0)
        _check_same(rig, site, before, f"after {pause_s:.0f} s of sleep")
        os.kill(site.process.pid, signal.SIGSTOP)
        await asyncio.sleep(pause_s / 2)
        os.kill(site.process.pid, signal.SIGCONT)
        await asyncio.sleep(1.0)
        book = await loads.finish(10.0)
        rig.judge(site, book, what=f"over {pause_s:.0f} s of sleep")
        _check_same(rig, site, before, "after the main process slept")
        attempt = await site.ask()
        rig.verdict.check(attempt.outcome is Outcome.OK, f"afterwards: {attempt.describe()}")


def _check_same(rig: Rig, site: Site, before: list[int], when: str) -> None:
    rig.verdict.check(site.is_alive(), f"{when} the server has ended: {site.last_words()}", "ends the server")
    rig.verdict.check(
        site.workers() == before and len(set(site.testify().pids(READY))) == len(before),
        f"{when} healthy workers were replaced",
        "healthy workers are killed",
    )
