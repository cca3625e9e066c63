"""FI-10 and FI-11: what the kernel gives runs out."""

import asyncio
import contextlib
import shutil
import subprocess
import time

from bench.faults.h1 import H1Client, Request
from bench.faults.load import LIGHT
from bench.faults.outcome import Book, Outcome, tell_counts
from bench.faults.rig import Rig, Site
from bench.faults.verdict import Skip
from bench.faults.wire import BrokenHandshake, Refused, Wire, connect

FILES = 256
CONNECTIONS = 400
HOLD_S = 3.0
#: Share of a core that a server without descriptors may use while it waits for some.
SPIN = 0.5
ERRORS = ("ENFILE", "ENOMEM", "ECONNABORTED", "EMFILE")


async def run_out_of_files(rig: Rig) -> None:
    """FI-10: those that are in go on; the others wait or are turned away; it recovers when descriptors are free."""
    async with rig.serve(workers=1, files=FILES) as site:
        book = site.open_book()
        kept = [H1Client(site.plain) for _ in range(10)]
        for client in kept:
            await client.perform(book.open("kept"), Request())
        over = asyncio.Event()
        jobs = [asyncio.ensure_future(_ask_on(client, book, over)) for client in kept]
        wires = await _occupy(site)
        cpu_s, lines = site.process.cpu_s(), site.process.read_log().count("\n")
        await asyncio.sleep(HOLD_S)
        spent = (site.process.cpu_s() - cpu_s) / HOLD_S
        said = site.process.read_log().count("\n") - lines
        closed = sum(wire.end is not None for wire in wires)
        for wire in wires:
            wire.abort()
        freed = time.monotonic()
        back = await _wait_service(site, 10.0)
        recovered_s = time.monotonic() - freed
        over.set()
        await asyncio.gather(*jobs)
        verdict = rig.verdict
        verdict.figures |= {
            "connections": len(wires),
            "turned away": closed,
            "share of a core": round(spent, 2),
            "log lines": said,
            "recovered after, s": round(recovered_s, 2) if back else None,
        }
        verdict.check(site.is_alive(), f"the server ended: {site.last_words()}", "ends the server")
        rig.judge(site, book, what="of clients that were in before")
        verdict.check(spent < SPIN, f"uses {spent:.0%} of a core while it has no descriptor", "spins")
        verdict.check(said <= 3 * HOLD_S, f"{said} log lines in {HOLD_S:.0f} s", "floods the log")
        verdict.check(back, "no service within 10 s of free descriptors", "does not recover")
        verdict.check(not back or recovered_s <= rig.allow(2.0), f"service came back after {recovered_s:.1f} s")


async def _ask_on(client: H1Client, book: Book, over: asyncio.Event) -> None:
    while not over.is_set():
        await client.perform(book.open("kept"), Request("/get", {"ms": 5}))
        await asyncio.sleep(0.1)
    client.close()


async def _occupy(site: Site) -> list[Wire]:
    """Connections that say nothing, as many as there are to be had."""

    async def occupy() -> Wire | None:
        with contextlib.suppress(Refused, BrokenHandshake):
            return await connect(site.plain, timeout_s=5.0)
        return None

    wires: list[Wire] = []
    for _ in range(0, CONNECTIONS, 50):
        found = await asyncio.gather(*(occupy() for _ in range(50)))
        wires += [wire for wire in found if wire is not None]
    return wires


async def _wait_service(site: Site, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (await site.ask(answer_s=1.0)).outcome is Outcome.OK:
            return True
        await asyncio.sleep(0.02)
    return False


async def fail_accepts(rig: Rig) -> None:
    """FI-11: ``accept`` fails for a while, by strace; the listener survives, and service resumes."""
    if shutil.which("strace") is None:
        raise Skip("strace is not installed (Debian: apt install strace)")
    for error in ERRORS[:2] if rig.quick else ERRORS:
        async with rig.serve() as site:
            with _inject(rig, site, error) as tracer:
                await asyncio.sleep(0.3)
                if tracer.poll() is not None:
                    raise Skip("strace may not trace processes here")
                asking = [asyncio.ensure_future(site.ask(answer_s=8.0)) for _ in range(10)]
                spent = await _measure(site)
            during = await asyncio.gather(*asking)
            lost = [attempt for attempt in during if attempt.outcome is not Outcome.OK]
            back = await _wait_service(site, 5.0)
            alive = site.is_alive()
            rig.verdict.figures[error] = f"{tell_counts(lost)} of {len(during)}" if lost else "none lost"
            rig.verdict.check(alive, f"{error} ended the server: {site.last_words()}", f"{error} ends the server")
            if not rig.verdict.check(back, f"no service within 5 s after {error}", f"{error} ends service"):
                continue
            rig.verdict.check(spent < 0.9, f"uses {spent:.0%} of a core during {error}", "spins")
            loads = site.load(LIGHT, rig.scale)
            await asyncio.sleep(1.0)
            rig.judge(site, await loads.finish(10.0), what=f"after {error}")


async def _measure(site: Site) -> float:
    cpu_s, began = site.process.cpu_s(), time.monotonic()
    await asyncio.sleep(1.0)
    return (site.process.cpu_s() - cpu_s) / (time.monotonic() - began)


@contextlib.contextmanager
def _inject(rig: Rig, site: Site, error: str):  # type: ignore[no-untyped-def]
    """While this lasts each accept fails."""
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept,accept4"]
    argv += ["-e", f"inject=accept,accept4:error={error}"]
    for pid in site.workers():
        argv += ["-p", str(pid)]
    tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield tracer
    finally:
        tracer.terminate()
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
