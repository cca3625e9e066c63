"""The time of a body: what the application is slow for is not the client's fault."""

import pytest

from fastserver._speedups.contract import H2Limits
from tests.fakes import Gate, Message, Receive, Send, ignore, read_body, respond
from tests.h2wire import H2Wire

WINDOW = 65535


class Uploads:
    """Uploads to an application that begins to read when the gate opens, `/now` at once."""

    def __init__(self, stream_window: int = WINDOW, connection_window: int = WINDOW) -> None:
        self.gate = Gate()
        self.held = 0
        limits = H2Limits(stream_window=stream_window, connection_window=connection_window)
        self.wire = H2Wire(self.app, h2=limits, timeout_request_body_idle=5.0, request_body_rate=0).greet()

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] != "/now":
            self.held += 1
            await self.gate.wait()
        await respond(send, b"%d" % len(await read_body(receive) or b""))

    def begin(self, size: int, path: bytes = b"/") -> int:
        stream = self.wire.request(path, method=b"POST", ends=False)
        if size:
            self.wire.send(*self.wire.data(stream, bytes(size)))
        return stream

    def release(self) -> None:
        """Let every application read."""
        for _ in range(self.held):
            self.gate.open(self.wire)
        self.held = 0

    def end(self) -> None:
        self.release()
        self.wire.hang_up()

    def wait(self, seconds: int) -> None:
        """As the worker does: a tick a second."""
        for _ in range(seconds):
            self.wire.advance(1)


@pytest.mark.parametrize("own", [0, 1000])
def test_neighbours_have_the_window_of_the_connection(own: int) -> None:
    uploads = Uploads()
    waiting = uploads.begin(own, b"/now")
    uploads.begin(WINDOW - own)
    uploads.wait(20)
    assert uploads.wire.answer(waiting).status == 0
    uploads.release()
    uploads.wait(3)
    uploads.wire.send(*uploads.wire.data(waiting, bytes(500), ends=True))
    assert uploads.wire.answer(waiting).body == b"%d" % (own + 500)
    uploads.end()


def test_time_runs_on_when_the_window_is_back() -> None:
    uploads = Uploads()
    waiting = uploads.begin(0, b"/now")
    uploads.begin(WINDOW)
    uploads.wait(20)
    uploads.release()
    uploads.wait(5)
    assert uploads.wire.answer(waiting).status == 0
    uploads.wait(2)
    assert uploads.wire.answer(waiting).status == 408
    uploads.end()


def test_a_window_that_many_share() -> None:
    """No stream has half of its own window, and together they have the connection's."""
    uploads = Uploads(4 * WINDOW, 4 * WINDOW)
    streams = [uploads.begin(4 * WINDOW // 20) for _ in range(20)]
    uploads.wait(20)
    assert not any(uploads.wire.answer(stream).status for stream in streams)
    uploads.end()


def test_a_stream_has_used_its_own_window() -> None:
    uploads = Uploads(WINDOW, 8 * WINDOW)
    full = uploads.begin(WINDOW)
    slow = uploads.begin(1000)
    uploads.wait(7)
    assert uploads.wire.answer(full).status == 0
    assert uploads.wire.answer(slow).status == 408
    uploads.release()
    uploads.wire.send(*uploads.wire.data(full, b"", ends=True))
    assert uploads.wire.answer(full).body == b"%d" % WINDOW
    uploads.end()


@pytest.mark.parametrize("window", [1, 100, WINDOW])
def test_a_small_window_does_not_stop_time(window: int) -> None:
    wire = H2Wire(ignore_late, h2=H2Limits(stream_window=window), timeout_request_body_idle=5.0).greet()
    stream = wire.request(method=b"POST", ends=False)
    for _ in range(7):
        wire.advance(1)
    assert wire.answer(stream).status == 408
    wire.hang_up()


async def ignore_late(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await ignore(scope, receive, send)
