"""FI-17 and FI-18: the application raises, or hangs."""

import asyncio
import time

from bench.faults.content import RAISABLE
from bench.faults.h1 import Request
from bench.faults.h2 import H2Client
from bench.faults.injectors.crashes import Kill, is_excused
from bench.faults.load import LIGHT, Mix
from bench.faults.outcome import Outcome
from bench.faults.rig import Rig, Site, wait_until
from bench.faults.server import Lacking
from bench.faults.truth import LOADED
from bench.faults.wire import make_context

#: How often the application may be imported by a server that cannot start it, before it gives up.
IMPORTS = 10
#: What the failure of a start may take.
FAIL_S = 10.0
#: Requests that wait for ever: of WSGI, where each has a thread, fewer than a worker's.
ASGI_HANGS, WSGI_HANGS = 50, 4
#: Seconds of silence after which a worker is to be replaced, and what the replacement may take beyond.
SILENCE_S, MARGIN_S = 3, 8.0


async def raise_everywhere(rig: Rig) -> None:
    """FI-17."""
    await _fail_start(rig, "import", "broken", {})
    if not rig.server.wsgi:  # which has no lifespan
        await _fail_start(rig, "startup", "one", {"FAULTS_FAIL": "startup"})
    async with rig.serve(rig.widest) as site:
        for what in RAISABLE:
            for where in ("before", "started", "middle", "after"):
                if site.is_alive():
                    await _raise_one(rig, site, what, where)
        if "h2" in site.server.tls and site.wants.tls_port and site.is_alive():
            await _raise_h2(rig, site)
    if rig.server.wsgi:
        return
    async with rig.serve(env={"FAULTS_FAIL": "shutdown"}) as site:
        code = await rig.stop(site)
        rig.verdict.figures["exit code of a failed shutdown"] = code
        rig.verdict.check(code is not None, "a failing lifespan shutdown: it does not stop", "does not stop")


async def _fail_start(rig: Rig, where: str, generation: str, env: dict[str, str]) -> None:
    """It has to give up, with an exit code and after few attempts."""
    async with rig.serve(generation=generation, env=env, wait=False) as site:
        code = await site.process.wait_exit(FAIL_S)
        imports = len(site.testify().pids(LOADED))
        rig.verdict.figures[f"failing {where}"] = f"exit code {code}, {imports} imports"
        rig.verdict.check(
            code is not None,
            f"failing {where}: still running after {FAIL_S:.0f} s, {imports} imports",
            f"lives on: {where}",
        )
        rig.verdict.check(code != 0, f"failing {where}: exit code 0", f"exit code 0: {where}")
        rig.verdict.check(imports <= IMPORTS, f"failing {where}: {imports} imports", f"start storm: {where}")
        text = "this generation is broken" if where == "import" else "the startup fails as asked"
        rig.verdict.check(text in site.process.read_log(), f"failing {where}: the log does not say why")


async def _raise_one(rig: Rig, site: Site, what: str, where: str) -> None:
    before = set(site.workers())
    request = Request("/raise", {"what": what, "where": where, "size": 4096}, statuses=(500,))
    attempt = await site.ask(request, tls=not site.wants.port)
    name = f"{what} {where}"
    if where == "before":
        good = attempt.outcome is Outcome.OK
    elif where == "after" and not site.server.wsgi:  # a WSGI body has ended when its iterator says so, and it raises
        good = attempt.outcome is Outcome.WRONG and "status 200" in attempt.detail
    else:
        good = attempt.outcome in (Outcome.CUT, Outcome.ENDED, Outcome.RESET) or (
            where == "started" and attempt.outcome is Outcome.OK  # nothing was sent yet: 500 is as good
        )
    brief = "half an answer looks whole" if "status 200" in attempt.detail else "wrong answer to an error"
    rig.verdict.add(raised=1)
    rig.verdict.check(good, f"{name}: {attempt.describe()}", brief)
    await asyncio.sleep(0.02)
    lost = before - set(site.workers())
    if not rig.verdict.check(not lost, f"{name}: ends the worker", f"{what} ends the worker"):
        await site.wait_workers(site.wants.workers, limit_s=10.0)


async def _raise_h2(rig: Rig, site: Site) -> None:
    client = H2Client(site.tls, make_context("h2"), 5.0)
    book = site.open_book()
    attempt = await client.perform(book.open("h2"), Request("/raise", {"where": "middle"}))
    rig.verdict.check(
        attempt.outcome is Outcome.CUT and "RST_STREAM" in attempt.detail,
        f"HTTP/2, Exception middle: {attempt.describe()}",
    )
    other = await client.perform(book.open("h2"), Request())
    rig.verdict.check(other.outcome is Outcome.OK, f"HTTP/2, the next stream: {other.describe()}")
    client.close()


async def hang_everywhere(rig: Rig) -> None:
    """FI-18: one that waits for ever is nobody's concern; one that blocks the loop is found, dumped and replaced."""
    async with rig.serve() as site:
        count = WSGI_HANGS if rig.server.wsgi else ASGI_HANGS
        waiting = [asyncio.ensure_future(site.ask(Request("/hang"), answer_s=20)) for _ in range(count)]
        await asyncio.sleep(0.2)
        loads = site.load(LIGHT, rig.scale)
        await asyncio.sleep(1.5)
        rig.judge(site, await loads.finish(10.0), what="beside requests that wait for ever")
        for job in waiting:
            job.cancel()
        site.process.destroy()
        await asyncio.gather(*waiting, return_exceptions=True)
    for path, name in (("/block", "block_the_loop"), ("/spin", "hold_the_gil")):
        if path == "/block" and rig.server.wsgi:
            continue  # a thread that sleeps blocks no loop
        try:
            await _block(rig, path, name)
        except Lacking as error:
            rig.verdict.check(False, f"a blocked loop is never found: {error}", "no watch on hung workers")
            return


async def _block(rig: Rig, path: str, name: str) -> None:
    async with rig.serve(silence_s=SILENCE_S) as site:
        before = set(site.workers())
        loads = site.load(Mix(h2=0), rig.scale)
        await asyncio.sleep(0.3)
        moment = time.monotonic()
        blocked = asyncio.ensure_future(site.ask(Request(path, {"s": 60}), answer_s=40))
        replaced = await wait_until(
            lambda: len(set(site.workers()) - before) >= 1 or not site.is_alive(), SILENCE_S + MARGIN_S + 6
        )
        took_s = time.monotonic() - moment
        await wait_until(lambda: bool(before - set(site.workers())) or not site.is_alive(), MARGIN_S)
        gone = before - set(site.workers())
        until = time.monotonic() + 0.3
        rig.verdict.figures[f"{path[1:]}: gone after, s"] = round(time.monotonic() - moment, 1) if gone else None
        await asyncio.sleep(0.3)
        book = await loads.finish(SILENCE_S + MARGIN_S)
        rig.verdict.figures[f"{path[1:]}: replaced after, s"] = round(took_s, 1) if replaced else None
        rig.verdict.check(site.is_alive(), f"{path}: the server ended: {site.last_words()}", "ends the server")
        rig.verdict.check(
            replaced and len(gone) == 1,
            f"{path}: {len(gone)} of {len(before)} workers replaced within {took_s:.0f} s",
            "a hung worker is not replaced" if not replaced else "healthy workers are replaced",
        )
        rig.verdict.check(took_s <= SILENCE_S + MARGIN_S, f"{path}: replaced after {took_s:.1f} s")
        rig.verdict.check(
            name in site.process.read_log(), f"{path}: no stack of the hung worker in the log", "no stack dump"
        )
        testimony = site.testify()
        book.settle(testimony)
        killed = [Kill(pid, moment, until) for pid in gone]
        wrong = [attempt for attempt in rig.find_failed(book) if not is_excused(testimony, attempt, killed)]
        rig.verdict.add(requests=len(book.attempts), failed=len(wrong))
        if gone:
            rig.verdict.check(not wrong, f"{path}: {len(wrong)} failed beside the hung worker")
            rig.verdict.show([attempt.describe() for attempt in wrong])
        site.process.destroy()
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)
