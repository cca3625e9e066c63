"""FI-14 and FI-15: clients that reset or break off; the application is told, and never sees half as whole."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import h2.connection

from bench.faults.content import fill
from bench.faults.outcome import Attempt, Outcome
from bench.faults.rig import Rig, Site, wait_until
from bench.faults.truth import GONE, START, WHOLE
from bench.faults.wire import Target, Wire, connect, make_context

#: Within so long the application has to hear that its client is gone.
NOTICE_S = 0.1
#: What a broken-off request may wait for an answer or an end.
ANSWER_S = 8.0
#: Bodies that must not come out of an orderly server.
NOISE = ("was never retrieved", "Traceback (most recent call last)")


async def reset_clients(rig: Rig) -> None:
    """FI-14: RST in the middle of a request's body, and of an answer, many times."""
    rounds = 3 if rig.quick else 20
    async with rig.serve(access_log="-") as site:
        notices: list[float] = []
        for path, send in (("/upload", _send_half), ("/watch", _send_watch)):
            missed = 0
            for _ in range(rounds):
                notice_s = await _reset_one(site, path, send)
                missed += notice_s == math.inf
                notices += [notice_s] if notice_s < math.inf else []
            rig.verdict.check(
                not missed, f"{missed} of {rounds} resets in {path} were not told within 3 s", f"deaf in {path}"
            )
        if notices:
            rig.verdict.figures |= {
                "resets": 2 * rounds,
                "told after, median ms": round(1000 * sorted(notices)[len(notices) // 2], 1),
                "slowest, ms": round(1000 * max(notices), 1),
            }
            median_s = sorted(notices)[len(notices) // 2]
            rig.verdict.check(
                median_s <= rig.allow(NOTICE_S), f"the application learns of a reset after {median_s:.1f} s"
            )
        attempt = await site.ask()
        rig.verdict.check(attempt.outcome is Outcome.OK, f"afterwards: {attempt.describe()}")
        log = site.process.read_log()
        found = [text for text in NOISE if text in log]
        rig.verdict.check(not found, f"the log has {found[:1]}", "tracebacks in the log")
        rig.verdict.figures["marked 499"] = log.count(" 499 ")


async def _reset_one(site: Site, path: str, send: Callable[[Wire, str], Awaitable[None]]) -> float:
    """Seconds until the application was told: infinitely many where it was not, not a number where it never began."""
    attempt = site.open_book().open(path)
    wire = await connect(site.plain)
    await send(wire, attempt.ident)
    if not await wait_until(lambda: site.testify().find(START, attempt.ident) is not None, 3.0, 0.005):
        wire.abort()
        return math.nan
    await asyncio.sleep(0.02)
    moment = time.monotonic()
    wire.abort()
    await wait_until(lambda: site.testify().find(GONE, attempt.ident) is not None, 3.0, 0.01)
    gone = site.testify().find(GONE, attempt.ident)
    return max(0.0, gone.at - moment) if gone is not None else math.inf


async def _send_half(wire: Wire, ident: str) -> None:
    head = f"POST /upload?id={ident} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    await wire.write(head.encode() + fill(ident, 50000))


async def _send_watch(wire: Wire, ident: str) -> None:
    await wire.write(f"GET /watch?id={ident} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())


@dataclass(frozen=True, slots=True)
class _Break:
    """A request that ends too early: ``make`` gives its bytes."""

    name: str
    make: Callable[[str], bytes]
    wire: str = "h1"


def _post(fields: str, body: bytes) -> Callable[[str], bytes]:
    return lambda ident: f"POST /upload?id={ident} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n".encode() + body


def _begin_h2(ident: str, half_frame: bool) -> bytes:
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    path = f"/upload?id={ident}"
    connection.send_headers(
        1, [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    )
    connection.send_data(1, b"x" * 100)
    data = connection.data_to_send()
    return data[:-50] if half_frame else data


_UPGRADE = (
    "GET /ws?id={} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

BREAKS = (
    _Break("in the head", lambda ident: f"POST /upload?id={ident} HTTP/1.1\r\nhost: lo".encode()),
    _Break("in a body of known length", _post("content-length: 1000", b"x" * 500)),
    _Break("in a chunk", _post("transfer-encoding: chunked", b"100\r\n" + b"x" * 100)),
    _Break("in a chunk's size", _post("transfer-encoding: chunked", b"5\r\nhello\r\n1")),
    _Break("before the last chunk", _post("transfer-encoding: chunked", b"5\r\nhello\r\n")),
    _Break("in the last chunk", _post("transfer-encoding: chunked", b"5\r\nhello\r\n0\r\n")),
    _Break("in a WebSocket frame", lambda ident: _UPGRADE.format(ident).encode() + b"\x81\x8a\x00\x00", "ws"),
    _Break("in an HTTP/2 stream", lambda ident: _begin_h2(ident, False), "h2"),
    _Break("in an HTTP/2 frame", lambda ident: _begin_h2(ident, True), "h2"),
)


async def break_off(rig: Rig) -> None:
    """FI-15: FIN in the middle of anything; what has come by then must not be told as a whole body."""
    front = rig.widest
    async with rig.serve(front) as site:
        for each in BREAKS:
            if each.wire == "h2" and "h2" not in (site.server.tls if site.wants.tls_port else site.server.plain):
                continue
            if each.wire not in ("h2", *site.server.plain):
                continue
            target = site.tls if each.wire == "h2" or not site.wants.port else site.plain
            for _ in range(1 if rig.quick else 5):
                attempt = site.open_book().open(each.name)
                await _break_one(rig, site, target, attempt, each)
        await asyncio.sleep(0.2)
        testimony = site.testify()
        whole = [a for book in site.books for a in book.attempts if testimony.count(WHOLE, a.ident)]
        rig.verdict.check(
            not whole,
            f"the application was given a whole body, broken off {whole[:1] and whole[0].kind}",
            "half as whole",
        )
        open_ = [a for book in site.books for a in book.attempts if _is_waiting(site, a)]
        rig.verdict.check(
            not open_, f"the application still waits for what was broken off {open_[:1] and open_[0].kind}", "not told"
        )
        attempt = await site.ask(tls=not site.wants.port)
        rig.verdict.check(attempt.outcome is Outcome.OK, f"afterwards: {attempt.describe()}")
        log = site.process.read_log()
        rig.verdict.check(NOISE[0] not in log and NOISE[1] not in log, "tracebacks in the log")


def _is_waiting(site: Site, attempt: Attempt) -> bool:
    testimony = site.testify()
    sightings = testimony.requests.get(attempt.ident, [])
    return bool(sightings) and attempt.kind != "single" and sightings[-1].event == START


async def _break_one(rig: Rig, site: Site, target: Target, attempt: Attempt, each: _Break) -> None:
    context = make_context("h2" if each.wire == "h2" else "http/1.1") if target.tls else None
    wire = await connect(target, context)
    await wire.write(each.make(attempt.ident))
    await asyncio.sleep(0.05)
    if target.tls:
        wire.close()  # TLS has no half-close in asyncio
        return
    wire.half_close()
    deadline = time.monotonic() + ANSWER_S
    while wire.end is None and time.monotonic() < deadline:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wire.wait(), max(0.01, deadline - time.monotonic()))
    answer = bytes(wire.received)
    rig.verdict.add(**{"broken off": 1})
    rig.verdict.check(
        wire.end is not None, f"broken off {each.name}: still open after {ANSWER_S:.0f} s", "keeps dead connections"
    )
    rig.verdict.check(
        not answer.startswith(b"HTTP/1.1 2"),
        f"broken off {each.name}: answered {answer[:15]!r}",
        "answers half a request",
    )
    wire.close()
