"""How a conformance case is written and checked: a payload, the ways it may arrive, and what must come of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes import App, Recorder, Wire, echo, every_cut
from tests.responses import Response

#: Follows a payload that must be refused: were it parsed on, the application would see this request.
CANARY = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"h", body: bytes = b"") -> bytes:
    """The bytes of a request: `line`, a Host field unless `host` is None, `fields` as they stand, `body`."""
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([line, *hosts, *fields, b"", body])


def post(*fields: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    """A POST request with `fields` and `body`, which the caller frames."""
    return request(*fields, line=b"POST " + target + b" HTTP/1.1", body=body)


def chunked(body: bytes, *fields: bytes, target: bytes = b"/") -> bytes:
    """A POST request with the chunked `body` as it stands on the wire."""
    return post(b"Transfer-Encoding: chunked", *fields, body=body, target=target)


@contextmanager
def arriving(reads: list[bytes]) -> Iterator[None]:
    """Tell with a failure how the payload arrived."""
    try:
        yield
    except AssertionError as error:
        sizes = [len(data) for data in reads]
        how = "whole" if len(reads) == 1 else "byte by byte" if len(reads) > 2 else f"in reads of {sizes} bytes"
        raise AssertionError(f"arriving {how}: {error}") from error


def check_refusal(response: Response, *statuses: int) -> None:
    """`response` is a whole refusal with one of `statuses` that announces the close."""
    assert response.status in statuses
    assert response.closes
    assert response.complete


def check_quiet(wire: Wire) -> None:
    """A peer's fault is not the operator's: nothing above debug level in the log, and no traceback."""
    assert [record.getMessage() for record in wire.log if record.levelno > logging.DEBUG or record.exc_info] == []


def check_refused(
    payload: bytes, *statuses: int, app: App = echo, started: bool = False, canary: bytes = CANARY, **limits: float
) -> None:
    """However `payload` arrives: one response with one of `statuses`, then the close, and nothing after it is parsed.

    The application is not called; with `started` (the fault is in the body) it may be, and must not get a whole body.
    """
    for reads in every_cut(payload + canary):
        recorder = Recorder(app)
        wire = Wire(recorder, **limits)
        with arriving(reads):
            wire.feed(*reads)
            check_refusal(wire.response(), *statuses)
            assert wire.ended
            assert len(recorder.calls) <= (1 if started else 0), recorder.targets
            assert not any(call.complete for call in recorder.calls)
            wire.hang_up()
            assert wire.over
            assert all(call.disconnected for call in recorder.calls)
            check_quiet(wire)


def check_served(payload: bytes, *bodies: bytes, app: App = echo, closes: bool = False, **limits: float) -> Recorder:
    """However `payload` arrives: one 200 for each of `bodies`, in order.  The recorder of the last way comes back.

    With `closes` the last response announces the end of the connection and the end comes; else it stays open.
    """
    recorder = Recorder(app)
    for reads in every_cut(payload):
        recorder = Recorder(app)
        wire = Wire(recorder, **limits)
        with arriving(reads):
            wire.feed(*reads)
            responses = wire.responses(*(call.scope["method"] for call in recorder.calls))
            assert [(response.status, response.body) for response in responses] == [(200, body) for body in bodies]
            assert all(response.complete for response in responses)
            assert [response.closes for response in responses] == [False] * (len(bodies) - 1) + [closes]
            assert wire.ended == closes
            wire.hang_up()
            check_quiet(wire)
    return recorder
