"""One whole request through ``H1Connection.handle`` with ``bench.macro``'s application and no transport.

From the event that brings the bytes to the event that takes the answer away: head, parser, exchange, eager start,
application, rendering; no socket, no system call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bench.macro.app import app
from bench.micro.requests import BROWSER, ECHO, MINIMAL, STREAM
from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver.config.model import Config

REQUESTS = {
    "plaintext": MINIMAL,
    "plaintext, browser": BROWSER,
    "echo 4 KiB": ECHO,
    "stream 10 x 1 KiB": STREAM,
    "8 pipelined plaintext": MINIMAL * 8,
}


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop loop where it is installed, as the server chooses it; else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def make_connection(room: Room, loop: asyncio.AbstractEventLoop) -> tuple[Any, list[bytes]]:
    """An ``H1Connection`` of ``room`` that serves the application, and the list that its last answer goes to."""
    contract, events = room.module("contract"), room.module("events")
    raw_data = events.RawData
    answer: list[bytes] = []

    class Nowhere(contract.Connection):  # type: ignore[misc, name-defined]
        """Keeps the last bytes sent and drops the rest."""

        def send(self, event: Any) -> None:
            if type(event) is raw_data:
                answer[:] = (event.data,)

        def pause_reading(self) -> None:
            return None

        resume_reading = pause_reading

        def get_peer(self) -> Any:
            return contract.Peer(("127.0.0.1", 50000), ("127.0.0.1", 8000), "http")

    host = contract.Host(
        loop=loop,
        clock=room.module("clock").Clock(loop.time(), 1_767_225_600.0),
        limits=contract.Limits.from_config(Config(), 1024),
        error_log=logging.getLogger("bench"),
    )
    host.application = room.module("http").HTTPApplication(app, host)
    connection = Nowhere()
    connection.requests = 0
    connection.tally = host.metrics.get_tally("http/1.1")
    return room.module("h1.connection").H1Connection(connection, host), answer


def _measure_in_loop(room: Room, loop: asyncio.AbstractEventLoop, effort: Effort) -> dict[str, float]:
    """Nanoseconds per ``handle`` of each request; ``RuntimeError`` where one is not answered with 200."""
    raw_data = room.module("kernels").raw_data
    figures = {}
    for name, data in REQUESTS.items():
        connection, answer = make_connection(room, loop)
        connection.handle(raw_data(data))
        if not answer or not answer[0].startswith((b"HTTP/1.1 200 OK\r\n", b"0\r\n")):
            raise RuntimeError(f"{name} was answered with {answer}")
        statement = "handle(raw_data(data))"
        names = {"handle": connection.handle, "raw_data": raw_data, "data": data}
        figures[name] = time_ns(statement, names, effort)
    return figures


def run_in_callback(work: Callable[[asyncio.AbstractEventLoop], dict[str, float]]) -> dict[str, float]:
    """Call ``work`` from a loop's callback, which is where a transport calls a protocol: no task is current there."""
    loop = new_event_loop()
    done: asyncio.Future[dict[str, float]] = loop.create_future()

    def call() -> None:
        try:
            done.set_result(work(loop))
        except Exception as error:
            done.set_exception(error)

    try:
        loop.call_soon(call)
        return loop.run_until_complete(done)
    finally:
        loop.close()


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each request, a variant for each room."""
    figures = {}
    for room in rooms:
        figures[room.name] = run_in_callback(lambda loop, room=room: _measure_in_loop(room, loop, effort))  # type: ignore[misc]
    return [Row(name, {room: ns[name] for room, ns in figures.items()}) for name in REQUESTS]
