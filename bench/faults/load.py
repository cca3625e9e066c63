"""The mixed load: lanes that each do one thing over and over, at a pace, until they are told to end.

A lane that is refused waits a moment and tries again; once ``closing`` is set, or
the server is no more ``alive``, the refusal is its end.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.faults.h1 import H1Client, Request
from bench.faults.h2 import H2Client
from bench.faults.outcome import Attempt, Book, Outcome
from bench.faults.wire import Target, make_context
from bench.faults.ws import WSClient, run_session

#: What a refused lane waits.
RETRY_S = 0.02
#: Streams of one HTTP/2 connection that are under way at once.
STREAMS = 10
#: A client that keeps its connection and seldom asks: just when an idle connection may be given up.
SELDOM_S = 1.2
#: Within so long a lane that pauses notices that the load is over.
_NOTICE_S = 0.2
SLOW_UPLOAD = Request("/upload", upload=262144, chunked=True, parts=4, pause_s=0.03)
#: How long the "late" client says nothing after its connect.
LATE_S = 0.2


@dataclass(frozen=True, slots=True)
class Mix:
    """How many lanes of each kind a load has; ``h2`` counts connections of ``STREAMS`` lanes."""

    kept: int = 12
    fresh: int = 4
    seldom: int = 6
    late: int = 2
    large: int = 1
    upload: int = 2
    slow_upload: int = 2
    stream: int = 2
    pipelined: int = 1
    ws: int = 3
    h2: int = 1

    def scale(self, factor: float) -> "Mix":
        """More or less of each that there is, at least one."""
        values = {name: max(1, round(getattr(self, name) * factor)) if getattr(self, name) else 0 for name in _LANES}
        return Mix(**values)


_LANES = ("kept", "fresh", "seldom", "late", "large", "upload", "slow_upload", "stream", "pipelined", "ws", "h2")

#: For faults that need some traffic, and not all of its kinds.
LIGHT = Mix(kept=6, fresh=2, seldom=2, late=0, large=0, upload=1, slow_upload=0, stream=1, pipelined=0, ws=1, h2=0)


@dataclass(slots=True)
class Load:
    """Lanes against one listener.  ``speaks`` is what the server under test knows on it: ``h1``, ``h2``, ``ws``."""

    target: Target
    book: Book
    mix: Mix
    speaks: frozenset[str] = frozenset({"h1", "ws"})
    closing: bool = False
    answer_s: float = 30.0
    alive: Callable[[], bool] = lambda: True
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _clients: list[H1Client | H2Client | WSClient] = field(default_factory=list)
    _over: bool = False
    _context: ssl.SSLContext | None = None
    _random: random.Random = field(default_factory=random.Random)

    def start(self) -> "Load":
        """Begin; in a running loop."""
        tls = self.target.tls
        self._context = make_context("http/1.1") if tls else None
        mark = "s" if tls else ""
        mix, ms = self.mix, self._latency
        for _ in range(mix.kept):
            self._lane(f"http{mark} kept", 0.03, lambda: Request("/get", {"ms": ms(), "size": 1024}))
        for _ in range(mix.fresh):
            self._lane(f"http{mark} fresh", 0.03, lambda: Request("/get", {"ms": ms(), "size": 1024}), fresh=True)
        for _ in range(mix.seldom):
            self._lane(f"http{mark} seldom", SELDOM_S, lambda: Request("/get", {"ms": ms()}))
        for _ in range(mix.late):
            self._add(self._run_late(f"http{mark} late"))
        for _ in range(mix.large):
            self._lane(f"http{mark} large", 0.1, lambda: Request("/get", {"size": 1 << 20}))
        for _ in range(mix.upload):
            self._lane(f"http{mark} upload", 0.05, lambda: Request("/upload", upload=65536))
        for _ in range(mix.slow_upload):
            self._lane(f"http{mark} slow upload", 0.05, lambda: SLOW_UPLOAD)
        for _ in range(mix.stream):
            self._lane(f"http{mark} stream", 0.05, lambda: Request("/stream", {"ms": 20, "size": 8192}))
        for _ in range(mix.pipelined):
            self._add(self._run_pipelined(f"http{mark} pipelined"))
        if "ws" in self.speaks:
            for _ in range(mix.ws):
                self._add(self._run_ws(f"ws{mark}"))
        if "h2" in self.speaks:
            for _ in range(mix.h2):
                self._start_h2()
        return self

    async def finish(self, limit_s: float = 35.0) -> None:
        """Let each lane end with the request it has under way; one that does not is ended, and so is its request."""
        self._over = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=limit_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            client.close()
        faults = [task.exception() for task in self._tasks if not task.cancelled() and task.exception() is not None]
        if faults and faults[0] is not None:
            raise faults[0]

    @property
    def idle(self) -> bool:
        """Whether every lane has ended."""
        return all(task.done() for task in self._tasks)

    def _ends_refused(self) -> bool:
        """Whether no connection is to be had any more."""
        return self.closing or not self.alive()

    def _latency(self) -> int:
        return self._random.randint(5, 50)

    def _add(self, lane: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(lane))

    def _lane(self, kind: str, pace_s: float, make: Callable[[], Request], fresh: bool = False) -> None:
        self._add(self._run(kind, pace_s, make, fresh))

    async def _rest(self, attempt: Attempt, pace_s: float) -> bool:
        """Wait for the lane's next turn; ``False`` where there is none."""
        refused = attempt.outcome is Outcome.REFUSED
        if self._over or (refused and self._ends_refused()):
            return False
        pause_s = RETRY_S if refused else self._random.uniform(0, 2 * pace_s)
        while pause_s > 0 and not self._over:
            await asyncio.sleep(min(pause_s, _NOTICE_S))
            pause_s -= _NOTICE_S
        return not self._over

    async def _run(self, kind: str, pace_s: float, make: Callable[[], Request], fresh: bool) -> None:
        client = H1Client(self.target, self._context, self.answer_s)
        self._clients.append(client)
        await asyncio.sleep(min(0.3, self._random.uniform(0, pace_s)))
        while True:
            attempt = await client.perform(self.book.open(kind), make())
            if fresh:
                client.close()
            if not await self._rest(attempt, pace_s):
                return

    async def _run_late(self, kind: str) -> None:
        """Connect, say nothing for a while, then ask: the server has accepted, and knows of no request."""
        client = H1Client(self.target, self._context, self.answer_s)
        self._clients.append(client)
        while True:
            attempt = await perform_late(client, self.book.open(kind))
            client.close()
            if not await self._rest(attempt, 0.02):
                return

    async def _run_pipelined(self, kind: str) -> None:
        client = H1Client(self.target, self._context, self.answer_s)
        self._clients.append(client)
        requests = [Request("/get", {"ms": 10}), Request("/get", {"ms": 5, "size": 512}), Request("/get", {"ms": 5})]
        while True:
            attempts = [self.book.open(kind) for _ in requests]
            await client.perform_pipelined(attempts, requests)
            if not await self._rest(attempts[0], 0.05):
                return

    async def _run_ws(self, kind: str) -> None:
        client = WSClient(self.target, self._context, self.answer_s)
        self._clients.append(client)
        while not self._over:
            if not await run_session(client, self.book, self._random.uniform(0, 0.08), kind):
                if self._ends_refused():
                    return
                await asyncio.sleep(RETRY_S)

    def _start_h2(self) -> None:
        """One connection, and the lanes that share it."""
        client = H2Client(self.target, make_context("h2"), self.answer_s)
        self._clients.append(client)
        for number in range(STREAMS):
            if number == 0:
                request = Request("/upload", upload=65536, parts=4, pause_s=0.02)
            elif number == 1:
                request = Request("/get", {"size": 1 << 18})
            elif number == 2:
                request = Request("/stream", {"ms": 20, "size": 8192})
            else:
                request = Request("/get", {"ms": 5 * number, "size": 1024})
            self._add(self._run_h2(client, request))

    async def _run_h2(self, client: H2Client, request: Request) -> None:
        while True:
            attempt = await client.perform(self.book.open("h2"), request)
            if not await self._rest(attempt, 0.05):
                return


async def perform_late(client: H1Client, attempt: Attempt, wait_s: float = LATE_S) -> Attempt:
    """Connect, wait, ask.  A connection that the server ends before a byte was sent is a failure as well."""
    wire = await client.prepare(attempt)
    if wire is None:
        return attempt
    await asyncio.sleep(wait_s)
    if not await wire.is_open():
        return attempt.judge(Outcome.ENDED, "closed before it said anything")
    await client.perform(attempt, Request("/get", {"ms": 5}))
    attempt.reused = False
    return attempt
