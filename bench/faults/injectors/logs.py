"""FI-16: what takes the logs is full, closed or stuck."""

import asyncio
import contextlib
import os
import signal
import statistics
import threading
import time
from dataclasses import dataclass

from bench.faults.load import LIGHT
from bench.faults.outcome import Book
from bench.faults.rig import NotStarted, Rig, Site, wait_until
from bench.faults.server import Lacking

LOAD_S = 2.5
#: How much slower the slow requests may be than with a log that works, and what is always allowed.
SLOWER, ALLOWED_S = 2.0, 0.1


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """What stands in the way: ``path`` opens as standard output and error, or these are closed or stuck."""

    name: str
    path: str = ""
    closed: bool = False
    stuck: bool = False


OBSTACLES = (
    _Obstacle("full disk", "/dev/full"),
    _Obstacle("closed stderr", closed=True),
    _Obstacle("stuck pipe", stuck=True),
)


async def obstruct_logs(rig: Rig) -> None:
    """Zero failed, and not slower than twice; the log goes on when it can; SIGUSR1 opens files anew."""
    usual_s = await _serve_logged(rig, None)
    for obstacle in OBSTACLES:
        try:
            slow_s = await _serve_logged(rig, obstacle)
        except NotStarted as error:
            rig.verdict.check(False, f"{obstacle.name}: it does not start: {error}", f"{obstacle.name}: no start")
            continue
        rig.verdict.figures[f"p99 with a {obstacle.name}, ms"] = round(1000 * slow_s, 1)
        rig.verdict.check(
            slow_s <= max(SLOWER * usual_s, usual_s + rig.allow(ALLOWED_S)),
            f"{obstacle.name}: p99 is {1000 * slow_s:.0f} ms, else {1000 * usual_s:.0f} ms",
        )
    rig.verdict.figures["p99, ms"] = round(1000 * usual_s, 1)
    failed, requests = rig.verdict.figures.get("failed", 0), rig.verdict.figures.get("requests", 0)
    if failed:
        rig.verdict.brief = f"{failed:,} of {requests:,}"
    try:
        await _reopen(rig)
    except Lacking as error:
        rig.verdict.figures["lacking"] = str(error)


async def _serve_logged(rig: Rig, obstacle: _Obstacle | None) -> float:
    """A load with an access log; the ninety-ninth percentile of its requests in seconds."""
    output: int | None = None
    reader = -1
    if obstacle is not None and obstacle.path:
        output = os.open(obstacle.path, os.O_WRONLY)
    if obstacle is not None and obstacle.stuck:
        reader, output = os.pipe()
    try:
        closed = obstacle is not None and obstacle.closed
        async with rig.serve(access_log="-", output=output, stderr_closed=closed) as site:
            if output is not None and reader >= 0:
                _stuff(output)
            loads = site.load(LIGHT, rig.scale)
            await asyncio.sleep(LOAD_S)
            book = await loads.finish(8.0)
            what = f"with a {obstacle.name}" if obstacle is not None else "with a log that works"
            rig.judge(site, book, what=what)
            rig.verdict.check(site.is_alive(), f"{what} the server ended: {site.last_words()}", f"{what} it ends")
            if reader >= 0:
                await _check_resumes(rig, site, reader)
            return find_p99(book)
    finally:
        if output is not None:
            os.close(output)
        if reader >= 0:
            os.close(reader)


def _stuff(pipe: int) -> None:
    """Fill ``pipe``, as a log collector does that has stopped to read."""
    path = f"/proc/self/fd/{pipe}"
    own = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a description of its own: the server's stays as it is
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b"-" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b"-")
    os.close(own)


async def _check_resumes(rig: Rig, site: Site, reader: int) -> None:
    """Once the pipe is read the lines of new requests arrive."""
    received = bytearray()

    def drain() -> None:
        deadline = time.monotonic() + 3.0
        os.set_blocking(reader, False)
        while time.monotonic() < deadline and b"/get?id=" not in received:
            try:
                received.extend(os.read(reader, 65536))
            except BlockingIOError:
                time.sleep(0.02)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    while thread.is_alive():
        await site.ask()
        await asyncio.sleep(0.05)
    thread.join()
    rig.verdict.check(b"/get?id=" in received, "the log does not go on once the pipe is read", "the log stays stuck")


def find_p99(book: Book) -> float:
    """Of the short requests on kept connections, in seconds."""
    times = [a.ended - a.sent for a in book.attempts if a.sent and a.kind.endswith("kept")]
    return statistics.quantiles(times, n=100)[-1] if len(times) > 1 else 0.0


async def _reopen(rig: Rig) -> None:
    """The access log is moved away; after SIGUSR1 there is a new one.  ``Lacking`` where it has no log files."""
    path = rig.directory / "access.log"
    async with rig.serve(access_log=str(path)) as site:
        loads = site.load(LIGHT, rig.scale)
        await wait_until(lambda: path.exists() and path.stat().st_size > 0, 5.0)
        if not path.exists():
            raise Lacking("log files")
        path.rename(path.with_suffix(".old"))
        site.process.signal(signal.SIGUSR1)
        came = await wait_until(lambda: (path.exists() and path.stat().st_size > 0) or not site.is_alive(), 5.0)
        came = came and path.exists()
        if site.is_alive():
            await asyncio.sleep(0.3)
        book = await loads.finish(8.0)
        alive = site.is_alive()
        rig.verdict.check(alive, "SIGUSR1 ended the server", "SIGUSR1 ends it")
        rig.verdict.check(came, "SIGUSR1 does not open the access log anew", "no new log file")
        rig.judge(site, book, what="at SIGUSR1")
