"""The WSGI exchange without threads on a fake wire: what it says, cut at each byte, and that nothing of it stays."""

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from fastserver._speedups.wsgi.bounds import PARTS_PER_TURN
from fastserver._speedups.wsgi.exchange import WSGIApplication
from tests.fakes import Wire, every_cut

Environ = dict[str, Any]


def serve(app: Callable[..., Any], **options: Any) -> Wire:
    wire = Wire(app)
    wire.host.application = WSGIApplication(app, wire.host, **{"spool_size": 1 << 20, **options})
    return wire


def echo(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", body]


POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("payload", [POST, CHUNKED])
def test_a_request_may_come_in_any_pieces(payload: bytes) -> None:
    for cut in every_cut(payload):
        wire = serve(echo).feed(*cut)
        wire.settle()
        assert wire.response("POST").body == b"POST hello"
        wire.hang_up()


def test_pipelined_requests() -> None:
    wire = serve(echo).feed(GET + POST + CHUNKED + GET)
    wire.settle()
    assert [answer.body for answer in wire.responses("GET", "POST", "POST", "GET")] == [
        b"GET ", b"POST hello", b"POST hello", b"GET "
    ]  # fmt: skip
    wire.hang_up()


def test_a_context_variable_lasts_as_long_as_its_request() -> None:
    variable: ContextVar[bytes] = ContextVar("variable", default=b"fresh")

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        before = variable.get()
        variable.set(environ["PATH_INFO"].encode())
        start_response("200 OK", [("Content-Type", "text/plain")])
        # More parts than the loop takes in one turn: it goes on in a later one.
        for _ in range(2 * PARTS_PER_TURN):
            yield b""
        yield before + variable.get()

    wire = serve(app).feed(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.settle()
    assert [answer.body for answer in wire.responses("GET", "GET")] == [b"fresh/a", b"fresh/b"]
    assert variable.get() == b"fresh"
    wire.hang_up()


def test_an_input_that_was_closed_is_open_for_the_next_request() -> None:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].close()
        return echo(environ, start_response)

    wire = serve(app).feed(GET + GET)
    wire.settle()
    assert [answer.body for answer in wire.responses("GET", "GET")] == [b"GET ", b"GET "]
    wire.hang_up()


def test_the_application_is_not_called_before_its_body_is_there() -> None:
    calls: list[str] = []

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        calls.append(environ["REQUEST_METHOD"])
        return echo(environ, start_response)

    wire = serve(app).feed(POST[:-1])
    assert calls == []
    wire.feed(POST[-1:])
    wire.settle()
    assert calls == ["POST"]
    wire.hang_up()


def test_a_client_that_leaves_its_upload_calls_nobody() -> None:
    calls: list[str] = []

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        calls.append("called")
        return echo(environ, start_response)

    wire = serve(app).feed(POST[:-1])
    wire.vanish()
    assert calls == []


class Result:
    """An iterable with a ``close`` that can be watched."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = iter(parts)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.parts

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("ending", ["whole", "failing", "gone"])
def test_nothing_stays_of_a_call(ending: str) -> None:
    """With the collector off: no cycle holds the result, the environment or the exchange."""
    kept: list[weakref.ref[Any]] = []
    closed: list[int] = []

    def parts() -> Iterator[bytes]:
        yield b"part"
        if ending == "failing":
            raise RuntimeError("failing")
        if ending == "gone":
            wires[0].connection.abort()
        yield b"part"

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        result = Result(parts())
        weakref.finalize(result, lambda: closed.append(1))
        kept.append(weakref.ref(result))
        return result

    wires = [serve(app)]
    gc.collect()
    gc.disable()
    try:
        wires[0].feed(GET)
        wires[0].settle()
        wires[0].log.clear()  # a record holds its traceback
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()
    assert closed == [1]


def test_a_head_of_get_with_nothing_in_it_tells_no_length_to_head() -> None:
    """What GET would have got is unknown where a framework leaves the body out."""

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return []

    wire = serve(app).feed(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
    wire.settle()
    head, get = wire.responses("HEAD", "GET")
    assert (head.header(b"content-length"), get.header(b"content-length")) == ([], [b"0"])
    wire.hang_up()


def test_a_second_start_needs_a_reason() -> None:
    errors: list[str] = []

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            start_response("404 Not Found", [])
        except AssertionError as error:
            errors.append(str(error))
        return [b"once"]

    wire = serve(app).feed(GET)
    assert wire.response().status == 200
    assert errors == ["start_response() was called again without exc_info"]
    wire.hang_up()


@pytest.mark.parametrize("result", [None, 5, [1], ["text"], "text", {"a": 1}])
def test_a_result_that_is_none_is_a_500(result: Any) -> None:
    def app(environ: Environ, start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [])
        return result

    wire = serve(app).feed(GET)
    assert wire.response().status == 500
    wire.hang_up()


@pytest.mark.parametrize("result", [[b"x"], [], iter([b"x"]), iter([])])
def test_a_result_without_a_start_is_a_500(result: Any) -> None:
    wire = serve(lambda environ, start_response: result).feed(GET)
    assert wire.response().status == 500
    wire.hang_up()


def test_it_waits_for_a_client_that_does_not_read() -> None:
    made: list[int] = []

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(100 * 1000))])
        for number in range(100):
            made.append(number)
            yield b"x" * 1000

    wire = serve(app)
    wire.protocol.pause_writing()
    wire.feed(GET)
    wire.settle()
    assert len(made) == 1
    with wire.loop.running():
        wire.protocol.resume_writing()
    wire.settle()
    assert len(wire.response().body) == 100_000
    wire.hang_up()


@pytest.mark.parametrize(("kind", "ends"), [("text/event-stream; charset=utf-8", True), ("text/plain", False)])
def test_a_stream_of_events_ends_when_a_stop_has_no_more_time_for_it(kind: str, ends: bool) -> None:
    results: list[Result] = []

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", kind)])
        results.append(Result(b"data: x\n\n" for _ in range(1_000_000)))
        return results[0]

    wire = serve(app)
    wire.protocol.pause_writing()
    wire.feed(GET)
    with wire.loop.running():
        wire.protocol.end_streams()
        wire.protocol.end_streams()
    wire.settle()
    assert results[0].closed == ends
    assert wire.out.endswith(b"0\r\n\r\n") == ends
    wire.vanish()
    wire.settle()
    assert results[0].closed == 1
