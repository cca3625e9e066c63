"""One whole request through ``H3Connection`` with ``bench.macro``'s application, above an engine that does nothing.

From the bytes of a stream to those of its answer, with the turn's end that takes them away: frames, QPACK, exchange,
eager start, application; no QUIC, no socket, no system call.  What the engine and the transport cost themselves, by the
same calls without a connection, is the row ``engine alone``: subtract it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bench.macro.app import app
from bench.macro.workload import BROWSER_FIELDS
from bench.micro.exchange import run_in_callback
from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver.config.model import Config

PEER = ("127.0.0.1", 50000)
PSEUDO = [(b":scheme", b"https"), (b":authority", b"127.0.0.1:8000")]
BROWSER = [(name.lower().encode(), value.encode()) for name, value in BROWSER_FIELDS if name != "Connection"]
BODY = b"x" * 1024


def render_varint(value: int) -> bytes:
    """An integer of RFC 9000 section 16, below 16,384."""
    return bytes((value,)) if value < 64 else (value | 0x4000).to_bytes(2, "big")


def render_frame(kind: int, payload: bytes) -> bytes:
    return render_varint(kind) + render_varint(len(payload)) + payload


def make_requests(room: Room) -> dict[str, bytes]:
    """What a client says on one stream, by name."""
    encode = room.module("qpack.encoder").encode_fields
    get = [(b":method", b"GET"), *PSEUDO, (b":path", b"/plaintext")]
    post = [(b":method", b"POST"), *PSEUDO, (b":path", b"/echo"), (b"content-length", b"%d" % len(BODY))]
    return {
        "plaintext": render_frame(1, encode(get)),
        "plaintext, browser": render_frame(1, encode([*get, *BROWSER])),
        "echo 1 KiB": render_frame(1, encode(post)) + render_frame(0, BODY),
    }


class Engine:
    """Takes all that it is given, at once and for good."""

    unsent = 0

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def open_stream(self) -> int:
        return 3

    def send(self, stream_id: int, data: bytes, ends: bool) -> None:
        self.said.append(data)

    def take_datagrams(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        self.said = []
        return [(b"", PEER)]

    def get_deadline(self) -> float:
        return 1e300

    def get_unsent(self, stream_id: int) -> int:
        return 0

    def receive(self, data: bytes, address: tuple[str, int], now: float) -> None:
        return None

    def consume(self, stream_id: int, size: int) -> None:
        return None


def make_connection(room: Room, loop: asyncio.AbstractEventLoop) -> tuple[Any, Any]:
    """An open ``H3Connection`` of ``room`` that serves the application, and its transport's side."""
    contract = room.module("contract")

    class Nowhere(contract.Connection):  # type: ignore[misc, name-defined]
        """Drops what is sent."""

        def send(self, event: Any) -> None:
            return None

        def set_timer(self, when: float) -> None:
            return None

        def note_handshake(self) -> None:
            return None

        def get_peer(self) -> Any:
            return self.peer

    host = contract.Host(
        loop=loop,
        clock=room.module("clock").Clock(loop.time(), 1_767_225_600.0),
        limits=contract.Limits.from_config(Config(), 1024),
        error_log=logging.getLogger("bench"),
    )
    host.application = room.module("http").HTTPApplication(app, host)
    connection = Nowhere()
    connection.requests = 0
    connection.peer = contract.Peer(PEER, ("127.0.0.1", 8000), "https", "h3")
    connection.tally = host.metrics.get_tally("h3")
    wire = room.module("h3.connection").H3Connection(connection, host, lambda listener: Engine())
    wire.on_handshake()
    wire.on_timer(0.0)
    return wire, connection


def make_call(wire: Any, data: bytes) -> Callable[[], None]:
    """One request from its bytes to the end of its turn; each is a stream of its own."""
    stream = 0
    tell, end_turn, forget = wire.on_stream_data, wire.on_timer, wire.on_stream_closed

    def call() -> None:
        nonlocal stream
        tell(stream, data, True)
        end_turn(0.0)
        forget(stream)
        stream += 4

    return call


def make_engine_call(connection: Any) -> Callable[[], None]:
    """What the engine and the transport are asked for one request, asked by nobody."""
    engine, stream = Engine(), 0
    set_timer, send = connection.set_timer, connection.send

    def call() -> None:
        nonlocal stream
        engine.consume(stream, 100)
        engine.send(stream, b"", True)
        set_timer(0.0)
        engine.get_deadline()
        for data, _ in engine.take_datagrams(0.0):
            send(data)
        engine.unsent  # noqa: B018  (read, as the connection reads it)
        set_timer(engine.get_deadline())
        stream += 4

    return call


def _measure_in_loop(room: Room, loop: asyncio.AbstractEventLoop, effort: Effort) -> dict[str, float]:
    """Nanoseconds per request; ``RuntimeError`` where one leaves its stream open."""
    figures = {}
    for name, data in make_requests(room).items():
        wire, _ = make_connection(room, loop)
        call = make_call(wire, data)
        call()
        if wire.streams or wire.tails or wire.connection.tally.snapshot_requests()["2xx"] != 1:
            raise RuntimeError(f"{name} was not answered with 200")
        figures[name] = time_ns("call()", {"call": call}, effort)
    _, connection = make_connection(room, loop)
    figures["engine alone"] = time_ns("call()", {"call": make_engine_call(connection)}, effort)
    return figures


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each request and one for the engine, a variant for each room."""
    figures = {}
    for room in rooms:
        figures[room.name] = run_in_callback(lambda loop, room=room: _measure_in_loop(room, loop, effort))  # type: ignore[misc]
    names = next(iter(figures.values()))
    return [Row(name, {room: ns[name] for room, ns in figures.items()}) for name in names]
