"""The time of a body: what the application is slow for is not the client's fault."""

import pytest

from fastserver._speedups.contract import H3Limits
from tests.fakes import Gate, Message, Receive, Send, ignore, read_body, respond
from tests.h3wire import DATA, H3Wire, frame

WINDOW = 65536


class Uploads:
    """Uploads to an application that begins to read when the gate opens, `/now` at once."""

    def __init__(self, stream_window: int = WINDOW, connection_window: int = WINDOW) -> None:
        self.gate = Gate()
        self.held = 0
        limits = H3Limits(stream_window=stream_window, connection_window=connection_window)
        self.wire = H3Wire(self.app, h3=limits, timeout_request_body_idle=5.0, request_body_rate=0)

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] != "/now":
            self.held += 1
            await self.gate.wait()
        await respond(send, b"%d" % len(await read_body(receive) or b""))

    def begin(self, size: int, path: bytes = b"/") -> int:
        return self.wire.request(path, body=bytes(size), ends=False)

    def release(self) -> None:
        """Let every application read."""
        for _ in range(self.held):
            self.gate.open(self.wire)
        self.held = 0

    def end(self) -> None:
        self.release()
        self.wire.hang_up()


@pytest.mark.parametrize("own", [0, 1000])
def test_neighbours_have_the_window_of_the_connection(own: int) -> None:
    uploads = Uploads()
    waiting = uploads.begin(own, b"/now")
    uploads.begin(WINDOW - own)
    uploads.wire.advance(20)
    assert uploads.wire.answer(waiting).status == 0
    uploads.release()
    uploads.wire.advance(3)
    uploads.wire.send(waiting, frame(DATA, bytes(500)), True)
    assert uploads.wire.answer(waiting).body == b"%d" % (own + 500)
    uploads.end()


def test_time_runs_on_when_the_window_is_back() -> None:
    uploads = Uploads()
    waiting = uploads.begin(0, b"/now")
    uploads.begin(WINDOW)
    uploads.wire.advance(20)
    uploads.release()
    uploads.wire.advance(5)
    assert uploads.wire.answer(waiting).status == 0
    uploads.wire.advance(2)
    assert uploads.wire.answer(waiting).status == 408
    uploads.end()


def test_a_window_that_many_share() -> None:
    """No stream has half of its own window, and together they have the connection's."""
    uploads = Uploads(4 * WINDOW, 4 * WINDOW)
    streams = [uploads.begin(4 * WINDOW // 20) for _ in range(20)]
    uploads.wire.advance(20)
    assert not any(uploads.wire.answer(stream).status for stream in streams)
    uploads.end()


def test_a_stream_has_used_its_own_window() -> None:
    uploads = Uploads(WINDOW, 8 * WINDOW)
    full = uploads.begin(WINDOW)
    slow = uploads.begin(1000)
    uploads.wire.advance(7)
    assert uploads.wire.answer(full).status == 0
    assert uploads.wire.answer(slow).status == 408
    uploads.release()
    uploads.wire.send(full, b"", True)
    assert uploads.wire.answer(full).body == b"%d" % WINDOW
    uploads.end()


@pytest.mark.parametrize("window", [1, 100, WINDOW])
def test_a_small_window_does_not_stop_time(window: int) -> None:
    wire = H3Wire(ignore_late, h3=H3Limits(stream_window=window), timeout_request_body_idle=5.0)
    stream = wire.request(method=b"POST", ends=False)
    wire.advance(7)
    assert wire.answer(stream).status == 408
    wire.hang_up()


async def ignore_late(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await ignore(scope, receive, send)


def test_a_body_has_its_least_pace() -> None:
    wire = H3Wire(ignore_late, request_body_rate=240)
    fast, slow = (wire.request(body=b"", ends=False) for _ in range(2))
    for _ in range(9):
        wire.send(fast, frame(DATA, bytes(300)))
        wire.send(slow, frame(DATA, bytes(100)))
        wire.advance(1)
    assert (wire.answer(fast).status, wire.answer(slow).status) == (0, 0)
    for _ in range(3):
        wire.send(fast, frame(DATA, bytes(300)))
        wire.send(slow, frame(DATA, bytes(100)))
        wire.advance(1)
    assert (wire.answer(fast).status, wire.answer(slow).status) == (0, 408)
    wire.send(fast, b"", True)
    assert wire.answer(fast).status == 200
    wire.hang_up()


@pytest.mark.parametrize(("seconds", "status"), [(9, 0), (11, 408)])
@pytest.mark.parametrize("said", [b"\x01", b"\x01\x40", b"\x01\x20\x00\x00", b"\x21\x00", b""])
def test_a_head_has_its_time(said: bytes, seconds: int, status: int) -> None:
    """From the first byte of its stream on, whatever comes meanwhile."""
    wire = H3Wire(ignore)
    stream = wire.take_id()
    wire.send(stream, said)
    for _ in range(seconds):
        wire.advance(1)
        wire.send(stream, b"\x21\x00" if said in (b"\x21\x00", b"") else b"")
    assert wire.answer(stream).status == status
    assert wire.answer(stream).ended == bool(status)
    wire.hang_up()


def test_a_body_that_waits_to_be_asked_for_has_no_time_yet() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive) or b"")

    wire = H3Wire(app, timeout_request_body_idle=5.0)
    stream = wire.request(b"/", (b"expect", b"100-continue"), method=b"POST", ends=False)
    wire.advance(20)
    assert wire.answer(stream).status == 0
    gate.open(wire)
    assert wire.answer(stream).interim == [(100, [])]
    wire.send(stream, frame(DATA, b"body"))
    wire.advance(4)
    wire.send(stream, b"", True)
    assert wire.answer(stream).body == b"body"
    wire.hang_up()
