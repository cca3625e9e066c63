"""FI-7: the configuration and the code are loaded anew while clients go on."""

import asyncio
import signal
import time
from functools import partial

from bench.faults.load import LIGHT, Mix
from bench.faults.outcome import Outcome
from bench.faults.rig import Loads, Rig, Site, wait_until
from bench.faults.truth import READY, STOPPED, Truth

#: What one reload may take until the old workers are gone.
RELOAD_S = 25.0


async def reload_under_load(rig: Rig) -> None:
    """Zero failed and zero refused; never fewer ready workers than there should be; new code is seen."""
    share = -(-rig.cycles // len(rig.fronts))
    for front in rig.fronts:
        await _reload_many(rig, front, share)
    failed, requests = rig.verdict.figures.get("failed", 0), rig.verdict.figures.get("requests", 0)
    if failed:
        rig.verdict.brief = f"{failed:,} of {requests:,}"
    await _reload_broken(rig)


async def _reload_many(rig: Rig, front: str, cycles: int) -> None:
    times: list[float] = []
    async with rig.serve(front) as site:
        loads = site.load(Mix(), rig.scale)
        await asyncio.sleep(0.5)
        for cycle in range(cycles):
            name = f"{front}-{cycle}"
            site.set_generation(name)
            began = time.monotonic()
            site.process.signal(signal.SIGHUP)
            done = await wait_until(partial(_is_reloaded, site, name), RELOAD_S)
            times.append(time.monotonic() - began)
            rig.say(f"reload {cycle + 1}/{cycles} ({front}): {'done' if done else 'not done'} in {times[-1]:.1f} s")
            if not site.is_alive():
                rig.verdict.check(False, f"SIGHUP ended the server: {site.last_words()}", "SIGHUP ends it")
                break
            if not rig.verdict.check(done, f"new code is not served {RELOAD_S:.0f} s after SIGHUP", "no reload"):
                break
            await asyncio.sleep(0.2)
        await _finish(rig, site, loads)
        _check_ready(rig, site)
        if times:
            rig.verdict.add(reloads=len(times))
            rig.verdict.figures["slowest reload, s"] = round(max(times), 2)


def _is_reloaded(site: Site, name: str) -> bool:
    """Whether only workers of this generation are left, and enough of them; or the server is no more."""
    if not site.is_alive():
        return True
    members = set(site.process.members())
    testimony = site.testify()
    new = set(testimony.pids(READY, name)) & members
    old = (set(testimony.pids(READY)) & members) - new
    return len(new) >= site.wants.workers and not old


async def _finish(rig: Rig, site: Site, loads: Loads) -> None:
    book = await loads.finish(15.0)
    refused = book.select(Outcome.REFUSED)
    rig.verdict.add(refused=len(refused))
    rig.judge(site, book, what="at SIGHUP")


def _check_ready(rig: Rig, site: Site) -> None:
    """By what the application saw: between the first full strength and the end, how few were ready at the least."""
    if site.server.wsgi:
        return
    least = count_least_ready(site.testify(), site.wants.workers)
    rig.verdict.figures["fewest ready workers"] = min(least, rig.verdict.figures.get("fewest ready workers", least))
    rig.verdict.check(
        least >= site.wants.workers, f"only {least} of {site.wants.workers} workers were ready for a while"
    )


def count_least_ready(testimony: Truth, wanted: int) -> int:
    """The fewest workers between startup and shutdown of their lifespans, once ``wanted`` have been reached."""
    ready, least = 0, wanted
    reached = False
    for sighting in testimony.life:
        ready += {READY: 1, STOPPED: -1}.get(sighting.event, 0)
        reached = reached or ready >= wanted
        if reached:
            least = min(least, ready)
    return max(0, least)


async def _reload_broken(rig: Rig) -> None:
    """New code that cannot be imported: the old workers go on, and the log says why."""
    async with rig.serve() as site:
        loads = site.load(LIGHT, rig.scale)
        await asyncio.sleep(0.3)
        site.set_generation("broken")
        before = set(site.workers())
        began = time.monotonic()
        site.process.signal(signal.SIGHUP)
        said = "this generation is broken"
        told = await wait_until(lambda: said in site.process.read_log() or not site.is_alive(), 8.0)
        told = told and said in site.process.read_log()
        if site.is_alive():
            await asyncio.sleep(0.7)
        alive = site.is_alive()
        book = await loads.finish(8.0)
        rig.verdict.check(told, "broken new code: the log does not say why", "a broken reload is silent")
        rig.verdict.check(alive, "broken new code ends the server", "a broken reload ends it")
        if alive:
            attempt = await site.ask()
            rig.verdict.check(
                attempt.outcome is Outcome.OK, f"broken new code: {attempt.describe()}", "a broken reload ends service"
            )
            kept = before <= set(site.workers())
            rig.verdict.check(kept, "broken new code: the old workers are gone", "a broken reload costs workers")
        rig.judge(site, book, what="at a SIGHUP with broken new code")
        rig.verdict.figures["broken code was told of, s"] = round(time.monotonic() - began, 1) if told else None
        if alive:
            site.set_generation("mended")
            site.process.signal(signal.SIGHUP)
            mended = await wait_until(lambda: _is_reloaded(site, "mended"), 15.0)
            rig.verdict.check(
                mended and site.is_alive(),
                "after broken new code mended code is not loaded",
                "does not recover",
            )
