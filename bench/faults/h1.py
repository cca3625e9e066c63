"""HTTP/1.1 of the client: an answer is read by the RFC's framing, and judged."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from bench.faults.content import fill, summarise
from bench.faults.outcome import Attempt, Outcome
from bench.faults.wire import BrokenHandshake, End, Refused, Target, Wire, connect

#: How long an answer may take from the request's last byte.
ANSWER_S = 30.0


class _State(Enum):
    HEAD = "head"
    LENGTH = "length"  # a body of known length
    SIZE = "size"  # a chunk's first line
    CHUNK = "chunk"
    TRAILER = "trailer"
    CLOSE = "close"  # a body that the end of the connection ends
    DONE = "done"
    BROKEN = "broken"


class AnswerReader:
    """One answer out of bytes (RFC 9112 sections 6 and 7).  ``fault`` says why it is not HTTP, where it is not."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.fault = ""
        self.begun = False
        self._state = _State.HEAD
        self._left = 0

    @property
    def done(self) -> bool:
        return self._state in (_State.DONE, _State.BROKEN)

    @property
    def whole(self) -> bool:
        return self._state is _State.DONE

    @property
    def closing(self) -> bool:
        return "close" in self.headers.get("connection", "").lower()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection (RFC 9112 section 9.3)."""
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        return self.whole and framed and not self.closing

    def take(self, received: bytearray) -> None:
        """Consume from ``received`` what belongs to this answer; what is left belongs to the next."""
        self.begun = self.begun or bool(received)
        try:
            while not self.done and self._step(received):
                pass
        except ValueError as error:
            self._state, self.fault = _State.BROKEN, str(error)

    def finish(self) -> None:
        """The connection has ended in order."""
        if self._state is _State.CLOSE:
            self._state = _State.DONE

    def _step(self, received: bytearray) -> bool:
        """One element; ``False`` where more has to arrive first."""
        if self._state is _State.CLOSE:
            self.body += received
            received.clear()
            return False
        if self._state in (_State.LENGTH, _State.CHUNK):
            part = received[: self._left]
            del received[: len(part)]
            self.body += part
            self._left -= len(part)
            if self._left:
                return False
            if self._state is _State.LENGTH:
                self._state = _State.DONE
                return True
            return self._take_line(received, expect=b"") is not None and self._enter(_State.SIZE)
        if self._state is _State.HEAD:
            return self._take_head(received)
        line = self._take_line(received)
        if line is None:
            return False
        if self._state is _State.SIZE:
            self._left = int(line.split(b";")[0], 16)
            return self._enter(_State.CHUNK if self._left else _State.TRAILER)
        return self._enter(_State.TRAILER if line else _State.DONE)

    def _enter(self, state: _State) -> bool:
        self._state = state
        return True

    def _take_line(self, received: bytearray, expect: bytes | None = None) -> bytes | None:
        index = received.find(b"\r\n")
        if index < 0:
            return None
        line = bytes(received[:index])
        del received[: index + 2]
        if expect is not None and line != expect:
            raise ValueError(f"a chunk ends with {line[:20]!r}")
        return line

    def _take_head(self, received: bytearray) -> bool:
        index = received.find(b"\r\n\r\n")
        if index < 0:
            if len(received) > 65536:
                raise ValueError("a head without end")
            return False
        first, *lines = bytes(received[:index]).decode("latin-1").split("\r\n")
        del received[: index + 4]
        version, _, rest = first.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise ValueError(f"not a status line: {first[:40]!r}")
        self.status = int(rest[:3])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if 100 <= self.status < 200 and self.status != 101:
            return True
        if self.status in (101, 204, 304):
            return self._enter(_State.DONE)
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return self._enter(_State.SIZE)
        if "content-length" not in self.headers:
            return self._enter(_State.CLOSE)
        self._left = int(self.headers["content-length"])
        return self._enter(_State.LENGTH if self._left else _State.DONE)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the bytes of an upload go out in ``parts`` with ``pause_s`` between them, chunked or not."""

    path: str = "/get"
    query: dict[str, int | str] = field(default_factory=dict)
    upload: int = 0
    chunked: bool = False
    parts: int = 1
    pause_s: float = 0.0
    #: Statuses that are right beside 200, for faults that ask for them.
    statuses: tuple[int, ...] = (200,)
    close: bool = False

    def target(self, ident: str) -> str:
        words = [f"id={ident}", *(f"{name}={value}" for name, value in self.query.items())]
        return f"{self.path}?{'&'.join(words)}"

    def expect(self, ident: str) -> bytes | None:
        """The right body; ``None`` where there is no formula for it."""
        if self.path in ("/get", "/stream"):
            return fill(ident, int(self.query.get("size", 64 if self.path == "/get" else 4096)))
        if self.path == "/upload":
            return summarise(fill(ident, self.upload))
        return None

    def split(self, ident: str) -> list[bytes]:
        """The body in its parts."""
        body = fill(ident, self.upload)
        step = -(-len(body) // self.parts)
        return [body[start : start + step] for start in range(0, len(body), step)]

    def render(self, ident: str) -> list[bytes]:
        """The bytes of the request, in the parts in which they go out."""
        method = "POST" if self.path == "/upload" else "GET"
        lines = [f"{method} {self.target(ident)} HTTP/1.1", "host: 127.0.0.1"]
        if self.close:
            lines.append("connection: close")
        parts = self.split(ident) if self.upload else []
        if self.chunked:
            lines.append("transfer-encoding: chunked")
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
            parts[-1] += b"0\r\n\r\n"
        elif self.upload:
            lines.append(f"content-length: {self.upload}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        return [head + (parts[0] if parts else b""), *parts[1:]]


def judge_answer(attempt: Attempt, request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
    """Whether a whole answer is the right one, and this request's own."""
    attempt.pid = int(headers.get("x-pid", "0"))
    attempt.generation = headers.get("x-generation", "")
    expected = request.expect(attempt.ident)
    if status not in request.statuses:
        attempt.judge(Outcome.WRONG, f"status {status}: {body[:60]!r}")
    elif status == 200 and headers.get("x-id") != attempt.ident:
        attempt.judge(Outcome.WRONG, f"the answer of {headers.get('x-id')}")
    elif status == 200 and expected is not None and body != expected:
        attempt.judge(Outcome.WRONG, f"{len(body)} bytes that are not the {len(expected)} expected")
    else:
        attempt.judge(Outcome.OK, "" if status == 200 else f"status {status}")


def judge_end(attempt: Attempt, reader: AnswerReader, end: End | None) -> None:
    """Of an answer that did not come to its end: ``end`` is how the connection ended, ``None`` for the deadline."""
    if end is None:
        attempt.judge(Outcome.TIMEOUT, "in mid-answer" if reader.begun else "")
    elif reader.begun:
        attempt.judge(Outcome.CUT, f"{end.value} after {len(reader.body)} bytes of the body, status {reader.status}")
    elif attempt.reused:
        attempt.judge(Outcome.STALE, end.value)
    else:
        attempt.judge(Outcome.RESET if end is End.RST else Outcome.ENDED)


class H1Client:
    """One connection at a time, kept alive where both sides want it."""

    def __init__(self, target: Target, context: ssl.SSLContext | None = None, answer_s: float = ANSWER_S) -> None:
        self._target = target
        self._context = context
        self._answer_s = answer_s
        self._wire: Wire | None = None
        self._owner = 0

    async def perform(self, attempt: Attempt, request: Request) -> Attempt:
        """Send ``request`` and judge what comes of it; never raises for anything that a server does."""
        wire = await self.prepare(attempt)
        if wire is not None:
            await self._exchange(wire, [attempt], [request])
        return attempt

    async def perform_pipelined(self, attempts: Sequence[Attempt], requests: Sequence[Request]) -> None:
        """Send several at once; those behind an answer that announces the connection's end were told not taken."""
        wire = await self.prepare(attempts[0])
        for attempt in attempts[1:]:
            attempt.owner, attempt.reused = attempts[0].owner, attempts[0].reused
            if wire is None:
                attempt.judge(attempts[0].outcome, attempts[0].detail)
        if wire is not None:
            await self._exchange(wire, attempts, requests)

    async def prepare(self, attempt: Attempt) -> Wire | None:
        """A connection on which a request may go out now, or ``None``: then the attempt is judged."""
        wire = self._wire
        if wire is not None:
            if await wire.is_open():
                attempt.reused, attempt.owner, attempt.serial = True, self._owner, wire.serial
                return wire
            self.close()
        try:
            self._wire = wire = await connect(self._target, self._context)
        except Refused as error:
            attempt.judge(Outcome.REFUSED, str(error))
            return None
        except BrokenHandshake as error:
            attempt.judge(Outcome.HANDSHAKE, str(error))
            return None
        self._owner = 0
        attempt.serial = wire.serial
        return wire

    async def _exchange(self, wire: Wire, attempts: Sequence[Attempt], requests: Sequence[Request]) -> None:
        loop = asyncio.get_running_loop()
        readers = [AnswerReader() for _ in attempts]
        for attempt in attempts:
            attempt.sent = loop.time()
        complete = told = False
        try:
            complete = await asyncio.wait_for(self._send(wire, attempts, requests), self._answer_s)
            await asyncio.wait_for(_read(wire, readers), self._answer_s)
        except asyncio.TimeoutError:
            pass
        for attempt, request, reader in zip(attempts, requests, readers, strict=True):
            attempt.closing = reader.closing
            if told and not reader.begun:
                attempt.judge(Outcome.TOLD, "behind an answer with connection: close")
            elif reader.whole:
                judge_answer(attempt, request, reader.status, reader.headers, bytes(reader.body))
                self._owner = attempt.pid or self._owner
            elif reader.fault:
                attempt.judge(Outcome.WRONG, reader.fault)
            else:
                judge_end(attempt, reader, wire.end)
            told = told or (reader.whole and reader.closing)
        if not complete or not readers[-1].reusable:
            self.close()

    async def _send(self, wire: Wire, attempts: Sequence[Attempt], requests: Sequence[Request]) -> bool:
        """Whether all of it went out; not where the answer came before."""
        if len(requests) > 1:
            await wire.write(b"".join(b"".join(r.render(a.ident)) for a, r in zip(attempts, requests, strict=True)))
            return True
        request = requests[0]
        for index, part in enumerate(request.render(attempts[0].ident)):
            if index and request.pause_s:
                await asyncio.sleep(request.pause_s)
            if wire.end is not None or wire.received:
                return False
            await wire.write(part)
        return True

    def close(self) -> None:
        """Give the connection up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


async def _read(wire: Wire, readers: Sequence[AnswerReader]) -> None:
    """Until all answers are whole, or nothing more can come."""
    for reader in readers:
        while True:
            reader.take(wire.received)
            if reader.done:
                break
            if wire.end is not None:
                if wire.end is End.FIN:
                    reader.finish()
                return
            await wire.wait()
        if reader.closing:
            return
