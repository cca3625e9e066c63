"""Real sockets: an application under test behind a listener on 127.0.0.1, under asyncio's loop and uvloop's.

What `tests.fakes.Wire` is for bytes, `Live` is for sockets: no worker, no sweep, nothing that reads the time.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import uvloop

from fastserver._speedups.connection import abort
from fastserver._speedups.contract import Host
from fastserver._speedups.tcp import TCPConnection
from fastserver.server.pipeline import Pipeline
from tests.fakes import App, Message, Receive, Send, make_host, make_log
from tests.responses import MalformedResponse, Response, split_responses

MakeLoop = Callable[[], asyncio.AbstractEventLoop]

#: Runs a test under each loop.
each_loop = pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)

#: No test of this kind takes so long; one that hangs ends here.
TIMEOUT_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def run(make_loop: MakeLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in a loop of its own, and see that it leaves no task and no fault of the loop behind."""
    loop = make_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: faults.append(context))
    try:
        loop.run_until_complete(asyncio.wait_for(main, TIMEOUT_S))
        leftovers = asyncio.all_tasks(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert leftovers == set()
    assert faults == []


async def turn_until(condition: Callable[[], object]) -> None:
    """Turn the loop until `condition` holds; the timeout of `run` bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


class Client:
    """One connection to a `Live` server, that reads strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, payload: bytes = GET, method: str = "GET") -> Response:
        """Send one request and read its response, which must be whole."""
        self.send(payload)
        return (await self.read(method))[-1]

    async def read(self, *methods: str) -> list[Response]:
        """Read until one final response for each of `methods` is whole; interim ones come back with them."""
        while True:
            try:
                responses = split_responses(self.received, methods)
            except MalformedResponse as error:
                if not str(error).startswith("unfinished head"):
                    raise
                responses = []
            if sum(response.status >= 200 and response.complete for response in responses) >= len(methods):
                self.received = b""
                return responses
            await self.read_some()

    async def read_some(self) -> bytes:
        """The next bytes.  Raises `ConnectionError` at the end."""
        data = await self.reader.read(65536)
        if not data:
            raise ConnectionError(f"the server closed after {self.received!r}")
        self.received += data
        return data

    async def read_rest(self) -> bytes:
        """Everything up to the end of the connection.  Raises `ConnectionResetError` where it is a reset."""
        return self.received + await self.reader.read()

    def half_close(self) -> None:
        """Send FIN and read on."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Close with RST, as a client that crashes."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):  # a reset by the server is for the test to look at
            await self.writer.wait_closed()


class Live:
    """A server of one application in the running loop; a context manager that leaves nothing behind."""

    def __init__(self, app: App, **limits: float) -> None:
        self.app = app
        self.limits = limits
        self.records: list[logging.LogRecord] = []
        self.clients: list[Client] = []
        self.host: Host

    async def __aenter__(self) -> "Live":
        loop = asyncio.get_running_loop()
        error_log, self.records = make_log()
        self.host = make_host(self.app, loop, error_log, **self.limits)
        # TCPConnection has what a loop calls, and cannot inherit from asyncio.Protocol: it is compiled.
        make_connection: Any = TCPConnection
        self._server = await loop.create_server(lambda: make_connection(self.host, Pipeline()), "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        for client in self.clients:
            await client.close()
        self._server.close()
        abort(self.host)
        await turn_until(lambda: not self.host.connections)
        if kind is None:
            await turn_until(lambda: not self.host.tasks)
        for task in self.host.tasks:
            task.cancel()
        await self._server.wait_closed()

    async def connect(self) -> Client:
        address = self._server.sockets[0].getsockname()
        client = Client(*await asyncio.open_connection(*address))
        self.clients.append(client)
        return client

    @property
    def errors(self) -> list[logging.LogRecord]:
        """What an operator would see."""
        return [record for record in self.records if record.levelno > logging.DEBUG]


class Faithful:
    """An application around `app` whose failures are the test's: `check` raises the first."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.calls = 0
        self.failures: list[BaseException] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.calls += 1
        try:
            await self.app(scope, receive, send)
        except BaseException as failure:
            self.failures.append(failure)
            raise

    def check(self) -> None:
        if self.failures:
            raise self.failures[0]


def serve(make_loop: MakeLoop, app: App, requests: Sequence[bytes] = (GET, GET, GET, GET)) -> list[bytes]:
    """The bodies of the answers to `requests`, sent one after another on one connection; nothing may go wrong."""
    faithful = Faithful(app)
    bodies: list[bytes] = []

    async def main() -> None:
        async with Live(faithful) as live:
            client = await live.connect()
            for payload in requests:
                response = await client.ask(payload)
                if response.status != 200:
                    break
                bodies.append(response.body)
        faithful.check()
        assert live.errors == []

    run(make_loop, main())
    assert faithful.calls == len(bodies) == len(requests)
    return bodies
