"""Requests with chance faults, and chance orders of events: what must hold whatever a peer sends, and when.

The oracle beside this file reads the same bytes by its own means; the application must be called for what the oracle
takes for requests, with what the oracle reads, and for nothing else.
"""

from typing import Any

from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from tests.conformance.cases import chunked, post, request
from tests.conformance.oracle import Expected, Rest, Unsure, read_requests
from tests.fakes import App, Call, Gate, Message, Receive, Recorder, Send, Wire, read_body, respond
from tests.responses import split_responses

VALID = [
    request(),
    request(b"Accept: */*", b"User-Agent: fuzz/1.0 (x; y)", b"Cookie: a=b; c=d", line=b"GET /a/b?c=d HTTP/1.1"),
    request(line=b"HEAD /x HTTP/1.1"),
    request(line=b"OPTIONS * HTTP/1.1"),
    request(line=b"GET http://h/a?b HTTP/1.1"),
    request(line=b"GET / HTTP/1.0", host=None),
    request(b"Connection: keep-alive", line=b"GET /old HTTP/1.0"),
    request(b"Connection: close"),
    post(b"Content-Length: 5", body=b"hello"),
    post(b"Content-Length: 0"),
    post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    chunked(b"5\r\nhello\r\n0\r\n\r\n"),
    chunked(b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n", b"Trailer: X"),
    post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=b"hello"),
    chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: upgrade", b"Upgrade: foo"),
    request(b"X: \x80\xff", b"Y:", b"Z: \ta\t"),
]
TOKENS = [
    b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b",", b";",
    b"/", b"?", b"#", b"%00", b"%", b"*", b"0", b"5", b"-", b"+", b"_", b"x", b"chunked", b"gzip, chunked",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 3\r\n", b"Content-Length: +5\r\n",
    b"Host: other\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: x\r\n",
    b"Expect: 100-continue\r\n", b"Expect: x\r\n", b" HTTP/1.0", b" HTTP/1.1", b" HTTP/2.0",
    b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n",
    b"http://h", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b'"', b"<", b"\\", b"[::1]", b"@",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid requests with up to three faults: a byte replaced, a slice dropped or repeated, a token put in."""
    data = b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["replace", "delete", "repeat", "insert", "truncate"]))
        if kind == "replace":
            data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        elif kind == "delete":
            data = data[:at] + data[end:]
        elif kind == "repeat":
            data = data[:end] + data[at:]
        elif kind == "insert":
            data = data[:at] + draw(st.sampled_from(TOKENS)) + data[at:]
        else:
            data = data[:at]
    return data


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in reads of `sizes`; the last one takes the rest."""
    reads = []
    for size in sizes:
        reads.append(data[:size])
        data = data[size:]
    return [read for read in [*reads, data] if read]


async def answer_always(scope: Message, receive: Receive, send: Send) -> None:
    """Answers whether or not the body came whole, as an application may."""
    body = await read_body(receive)
    await respond(send, b"nothing" if body is None else body)


def check_bytes(wire: Wire, recorder: Recorder) -> None:
    """What came out is a sequence of responses: one for each call, and at most one refusal, which is the last."""
    methods = [call.scope["method"] for call in recorder.calls]
    responses = split_responses(wire.out, methods, wire.ended)
    finals = [response for response in responses if response.status >= 200]
    refusals = [response for response in finals if response.status != 200]
    assert refusals in ([], finals[-1:])
    for refusal in refusals:
        assert refusal.status in (400, 408, 413, 414, 417, 431, 501, 505)
        assert refusal.closes
        assert wire.ended
    if not wire.connection.aborted:
        assert all(response.complete for response in finals[:-1])
    assert len(finals) - len(refusals) <= len(recorder.calls)


def check_calls(calls: list[Call], expected: list[Expected]) -> None:
    """Each call is a request that the oracle sees, in order, with the oracle's facts."""
    assert len(calls) <= len(expected)
    for call, request_ in zip(calls, expected, strict=False):
        assert call.scope["method"].encode() == request_.method
        assert call.target == request_.target
        assert tuple(call.scope["headers"]) == request_.fields
        if call.complete:
            assert call.body == request_.body
        elif request_.body is not None:
            assert request_.body.startswith(call.body)


SIZES = st.lists(st.integers(1, 60), max_size=6)


@settings(max_examples=400)
@given(data=mutated(), sizes=SIZES)
@example(data=request() + b"\r\n\r\n", sizes=[])
@example(data=chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: upgrade", b"Upgrade: x") + request(), sizes=[100])
def test_fuzz_application_is_called_for_valid_requests_only(data: bytes, sizes: list[int]) -> None:
    try:
        expected, rest = read_requests(data)
    except Unsure:
        reject()
    recorder = Recorder(answer_always)
    wire = Wire(recorder).feed(*cut(data, sizes))
    check_calls(recorder.calls, expected)
    check_bytes(wire, recorder)
    whole = [request_ for request_ in expected if request_.body is not None]
    if rest is Rest.FAULT:
        # The fault may stand in the same read as a request that the oracle passes; then its answer is the refusal.
        assert wire.ended or wire.over
    if rest is Rest.CLOSED:
        assert len(recorder.calls) == len(expected)
        assert wire.ended
    assert len([call for call in recorder.calls if call.complete]) >= len(whole) - (rest is Rest.FAULT)
    wire.hang_up()
    assert wire.loop.faults == []


@settings(max_examples=150)
@given(data=mutated(), sizes=SIZES)
def test_fuzz_the_way_of_arriving_changes_nothing(data: bytes, sizes: list[int]) -> None:
    def outcome(reads: list[bytes]) -> tuple[list[tuple[str, bytes, bytes]], list[int]]:
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        calls = [(call.scope["method"], call.target, call.body) for call in recorder.calls if call.complete]
        methods = [call.scope["method"] for call in recorder.calls]
        # Of two faults in one head either may be told.
        statuses = [min(response.status, 400) for response in wire.responses(*methods) if response.status >= 200]
        wire.hang_up()
        return calls, statuses

    assert (
        outcome([data]) == outcome(cut(data, sizes)) == outcome([data[index : index + 1] for index in range(len(data))])
    )


@settings(max_examples=200)
@given(data=st.binary(max_size=200))
def test_fuzz_noise_calls_no_application(data: bytes) -> None:
    assume(not read_requests(data)[0])
    recorder = Recorder()
    wire = Wire(recorder).feed(data)
    check_bytes(wire, recorder)
    assert recorder.calls == []
    wire.hang_up()


# ---- Any event at any time ------------------------------------------------------------------------------------------


def gated(gate: Gate) -> App:
    """An application whose ways depend on its target, so that a payload chooses them."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("wait"):
            await gate.wait()
        if scope["method"] == "POST" and not scope["path"].endswith("ignore"):
            await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})
        if scope["path"].endswith("stream"):
            await gate.wait()
            await send({"type": "http.response.body", "body": b"y" * 100, "more_body": True})
        await send({"type": "http.response.body", "body": b"z"})

    return app


REQUESTS = [
    request(line=b"GET /wait HTTP/1.1"),
    request(line=b"GET /stream HTTP/1.1"),
    request(line=b"GET /wait HTTP/1.0", host=None),
    post(b"Content-Length: 5", target=b"/ignore", body=b"hello"),
    post(b"Content-Length: 100", target=b"/ignore"),
    post(b"Content-Length: 100000", target=b"/stream"),
    post(b"Expect: 100-continue", b"Content-Length: 5", target=b"/wait"),
    chunked(b"5\r\nhello\r\n", target=b"/wait"),
    chunked(b"5\r\nhello\r\n0\r\n\r\n", target=b"/stream"),
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"x" * 70_000,
    *VALID,
]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.sampled_from(REQUESTS)),
        st.tuples(st.just("feed"), mutated()),
        st.tuples(st.just("advance"), st.sampled_from([0.5, 1, 3, 9, 11, 31, 80])),
        st.tuples(st.sampled_from(["block", "unblock", "open", "eof", "vanish", "drain"]), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(steps=STEPS)
def test_fuzz_any_event_at_any_time(steps: list[tuple[str, Any]]) -> None:
    gate = Gate()
    recorder = Recorder(gated(gate))
    wire = Wire(recorder)
    for step, value in steps:
        if wire.connection.lost:
            break
        if step == "feed":
            wire.feed(value)
        elif step == "advance":
            wire.advance(value)
        elif step == "open":
            gate.open(wire)
        else:
            getattr(wire, step)()
    vanished = wire.connection.lost and not wire.over
    methods = [call.scope["method"] for call in recorder.calls]
    responses = split_responses(wire.out, methods, wire.ended)
    finals = [response for response in responses if response.status >= 200]
    assert len(finals) <= len(recorder.calls) + 1
    if not (wire.connection.aborted or vanished):
        assert all(response.complete for response in finals[:-1])
    # Nothing that the peer or the clock did can leave an application, once released, behind.
    wire.vanish()
    while gate.waiting:
        gate.open(wire)
    wire.hang_up()
    assert all(call.returned or isinstance(call.error, OSError) for call in recorder.calls)
    assert [record for record in wire.log if record.exc_info] == []
