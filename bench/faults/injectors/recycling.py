"""FI-8: workers are replaced for their age, their number of requests or their size."""

import asyncio

from bench.faults.h1 import Request
from bench.faults.load import Mix
from bench.faults.rig import Rig, wait_until
from bench.faults.server import Lacking
from bench.faults.truth import READY

#: For each kind: the setting's value, and how many workers more than two have to have come.
KINDS: dict[str, tuple[int, int]] = {"requests": (300, 4), "lifetime": (2, 4), "rss": (220, 2)}


async def recycle_under_load(rig: Rig) -> None:
    """Zero failed, whatever the reason; "n/a" where the server knows none of them."""
    lacking: list[str] = []
    kinds = ["requests", "rss"] if rig.quick else list(KINDS)
    for kind in kinds:
        try:
            await _recycle(rig, kind)
        except Lacking as error:
            lacking.append(str(error))
    if len(lacking) == len(kinds):
        rig.verdict.lack("; ".join(lacking))
    elif lacking:
        rig.verdict.figures["lacking"] = ", ".join(lacking)
    failed, requests = rig.verdict.figures.get("failed", 0), rig.verdict.figures.get("requests", 0)
    if failed:
        rig.verdict.brief = f"{failed:,} of {requests:,}"


async def _recycle(rig: Rig, kind: str) -> None:
    value, wanted = KINDS[kind]
    wanted = 1 if rig.quick else wanted
    async with rig.serve(rig.widest, recycle=(kind, value)) as site:
        before = len(site.testify().pids(READY))
        loads = site.load(Mix(), rig.scale)
        growing = asyncio.ensure_future(_grow(site.ask)) if kind == "rss" else None
        came = await wait_until(lambda: len(site.testify().pids(READY)) - before >= wanted or not site.is_alive(), 20.0)
        if growing is not None:
            growing.cancel()
        await asyncio.sleep(1.0)
        rig.verdict.check(
            site.is_alive(), f"recycling by {kind} ended the server: {site.last_words()}", "ends the server"
        )
        book = await loads.finish(15.0)
        count = len(site.testify().pids(READY)) - before
        rig.verdict.figures[f"recycled by {kind}"] = count
        rig.verdict.check(came, f"only {count} workers were recycled by {kind}", f"not recycled by {kind}")
        rig.judge(site, book, what=f"at recycling by {kind}")
        rig.say(f"recycling by {kind}: {count} workers, {len(book.attempts)} requests")


async def _grow(ask: object) -> None:
    assert callable(ask)
    while True:
        await ask(Request("/grow", {"mb": 20}))
        await asyncio.sleep(0.1)
