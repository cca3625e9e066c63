"""Request ids and traceparent: what is taken from a client, and what application, client and operator get to see."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.contract import Application, Exchange, Host, Peer, Request, ResponseHead, Sink
from fastserver._speedups.identity import IdentifyingApplication, describe, parse_traceparent
from tests.fakes import make_host

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = b"00f067aa0ba902b7"
NEW = re.compile(rb"[0-9a-f]{32}")


class Wire(Sink):
    """Notes each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def respond(self, head: ResponseHead, body: bytes, more: bool) -> None:
        self.calls.append(("respond", list(head.fields), body, more))

    def accept(self, head: ResponseHead) -> None:
        self.calls.append(("accept", list(head.fields)))

    def inform(self, status: int, fields: list[Any]) -> None:
        self.calls.append(("inform", status, fields))

    def write(self, body: bytes, more: bool) -> None:
        self.calls.append(("write", body, more))

    def send_file(self, file: Any, offset: int, count: int) -> str:
        self.calls.append(("send_file", file, offset, count))
        return "sending"

    def trail(self, fields: list[Any]) -> None:
        self.calls.append(("trail", fields))

    def abort(self) -> None:
        self.calls.append(("abort",))

    def want_body(self) -> None:
        self.calls.append(("want_body",))

    def consume(self, count: int) -> None:
        self.calls.append(("consume", count))

    def forbid_reuse(self) -> None:
        self.calls.append(("forbid_reuse",))

    def set_deadline(self, deadline: float) -> None:
        self.calls.append(("set_deadline", deadline))

    def is_writable(self) -> bool:
        return True

    def release(self) -> None:
        self.calls.append(("release",))

    def cork(self) -> None:
        self.calls.append(("cork",))

    def uncork(self) -> None:
        self.calls.append(("uncork",))

    def get_peer(self) -> Peer:
        return Peer(scheme="https")


class Inner(Application):
    """Keeps what it was asked to open."""

    def open(self, sink: Sink, request: Request) -> Exchange:
        self.sink = sink
        self.headers = request.headers
        return Exchange()


def open_request(*headers: tuple[bytes, bytes]) -> tuple[Inner, Wire]:
    inner, wire, request = Inner(), Wire(), Request()
    request.headers = list(headers)
    IdentifyingApplication(inner).open(wire, request)
    return inner, wire


def list_ids(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in fields if name.lower() == b"x-request-id"]


@pytest.mark.parametrize("given_id", [b"a", b"A-Z.0_9", b"0" * 128])
def test_a_fit_id_of_the_client_is_kept(given_id: bytes) -> None:
    inner, _ = open_request((b"host", b"a"), (b"x-request-id", given_id), (b"accept", b"*/*"))
    assert inner.headers == [(b"host", b"a"), (b"x-request-id", given_id), (b"accept", b"*/*")]


@pytest.mark.parametrize(
    "values",
    [(), (b"",), (b"0" * 129,), (b"a b",), (b"a,b",), (b"\xe4",), (b'"',), (b"a\n",), (b"a", b"b"), (b"a", b"a")],
)
def test_any_other_is_replaced(values: tuple[bytes, ...]) -> None:
    inner, _ = open_request((b"host", b"a"), *((b"x-request-id", value) for value in values))
    (found,) = list_ids(inner.headers)
    assert NEW.fullmatch(found)
    assert inner.headers[0] == (b"host", b"a")


def test_new_ids_differ_even_where_the_application_has_seeded_the_generator() -> None:
    import random

    state = random.getstate()
    ids = []
    for _ in range(3):
        random.seed(0)
        ids += list_ids(open_request()[0].headers)
    random.setstate(state)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("way", ["respond", "accept"])
def test_the_response_has_the_id_and_no_other(way: str) -> None:
    inner, wire = open_request((b"x-request-id", b"abc"))
    head = ResponseHead()
    head.fields = [(b"X-Request-ID", b"own"), (b"x-request-xy", b"b"), (b"a", b"b")]
    for _ in range(2):  # a head may be used again
        inner.sink.respond(head, b"body", True) if way == "respond" else inner.sink.accept(head)
    fields = [(b"x-request-xy", b"b"), (b"a", b"b"), (b"x-request-id", b"abc")]
    assert wire.calls == [("respond", fields, b"body", True) if way == "respond" else ("accept", fields)] * 2


def test_all_else_is_the_wires_own() -> None:
    inner, wire = open_request()
    sink = inner.sink
    calls: list[tuple[Any, ...]] = [
        ("inform", 103, []), ("write", b"a", True), ("trail", []), ("abort",), ("want_body",), ("consume", 3),
        ("forbid_reuse",), ("set_deadline", 1.5), ("release",), ("cork",), ("uncork",),
    ]  # fmt: skip
    for name, *arguments in calls:
        getattr(sink, name)(*arguments)
    assert wire.calls == calls
    assert sink.send_file("file", 1, 2) == "sending"
    assert (sink.is_writable(), sink.get_peer().scheme) == (True, "https")
    with pytest.raises(NotImplementedError):
        sink.get_tally()  # this one's


@pytest.mark.parametrize(
    "value",
    [
        b"", b"00", b"00-" + TRACE + b"-" + SPAN, b"01-" + TRACE + b"-" + SPAN + b"-01",
        b"ff-" + TRACE + b"-" + SPAN + b"-01", b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01", b"00-" + TRACE.upper() + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-1", b"00-" + TRACE + b"-" + SPAN + b"-01-x",
        b" 00-" + TRACE + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-01\n",
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_none(value: bytes) -> None:
    assert parse_traceparent(value) is None


@given(trace=st.integers(1, (1 << 128) - 1), span=st.integers(1, (1 << 64) - 1), flags=st.integers(0, 255))
def test_traceparent(trace: int, span: int, flags: int) -> None:
    parts = b"%032x" % trace, b"%016x" % span, b"%02x" % flags
    assert parse_traceparent(b"00-%b-%b-%b" % parts) == parts


async def nothing(scope: object, receive: object, send: object) -> None:
    pass


def test_the_error_log_tells_which_request_it_was() -> None:
    host: Host = make_host(nothing)
    request = Request()
    request.headers = [(b"x-request-id", b"abc"), (b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN)), (b"cookie", b"s")]
    assert describe(host, request) == {"trace_id": TRACE.decode(), "span_id": SPAN.decode()}
    host.has_request_ids = True
    assert describe(host, request)["request_id"] == "abc"
