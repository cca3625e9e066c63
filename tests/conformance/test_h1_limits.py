"""H1-15, H1-27, H1-36 and the limits of H1-7: each at limit-1, limit and limit+1, the default and a small one."""

from collections.abc import Callable

import pytest

from tests.conformance.cases import (
    check_quiet,
    check_refusal,
    check_refused,
    check_served,
    chunked,
    post,
    request,
)
from tests.fakes import DEFAULT_LIMITS, Message, Receive, Recorder, Send, Wire, every_cut, ignore, read_body

OpenWire = Callable[..., Wire]


def status_of(wire: Wire, *reads: bytes) -> int:
    """Feed a request and say what the only response is; a refusal must also close."""
    response = wire.feed(*reads).response()
    if response.status != 200:
        check_refusal(response, response.status)
        assert wire.ended
    return response.status


# ---- The head -------------------------------------------------------------------------------------------------------


def line_of(size: int) -> bytes:
    """A request line of `size` bytes without its CRLF."""
    return b"GET /" + b"a" * (size - 14) + b" HTTP/1.1"


def field_of(size: int, name: bytes = b"x") -> bytes:
    """A field line of `size` bytes without its CRLF."""
    return name + b": " + b"v" * (size - len(name) - 2)


def head_of(size: int) -> bytes:
    """A whole head of `size` bytes, its empty line included, in fields of at most 8 KiB."""
    short = request()
    fields = []
    rest = size - len(short)
    while rest:
        part = min(rest, 8192) if rest - 8192 > 8 or rest <= 8192 else rest - 8
        fields.append(field_of(part - 2))
        rest -= part
    head = request(*fields)
    assert len(head) == size
    return head


@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 414), (5000, 414)])
def test_h1_27_default_request_line(open_wire: OpenWire, over: int, status: int) -> None:
    recorder = Recorder(ignore)
    assert status_of(open_wire(recorder), request(line=line_of(8190 + over))) == status
    assert len(recorder.calls) == (status == 200)


@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431), (5000, 431)])
def test_h1_27_default_field_size(open_wire: OpenWire, over: int, status: int) -> None:
    recorder = Recorder()
    assert status_of(open_wire(recorder), request(field_of(16384 + over))) == status
    assert len(recorder.calls) == (status == 200)


@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431), (5000, 431)])
def test_h1_27_default_head_size(open_wire: OpenWire, over: int, status: int) -> None:
    recorder = Recorder()
    assert status_of(open_wire(recorder), head_of(32768 + over)) == status
    assert len(recorder.calls) == (status == 200)


@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431), (500, 431)])
def test_h1_27_default_field_count(open_wire: OpenWire, over: int, status: int) -> None:
    recorder = Recorder()
    fields = [b"x%d: y" % number for number in range(100 + over - 1)]  # and Host
    assert status_of(open_wire(recorder), request(*fields)) == status
    assert len(recorder.calls) == (status == 200)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_27_request_line_however_it_arrives(over: int) -> None:
    payload = request(line=line_of(40 + over))
    if over > 0:
        check_refused(payload, 414, request_line=40)
    else:
        check_served(payload, b"GET /" + b"a" * (26 + over), app=ignore, request_line=40)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_27_field_size_however_it_arrives(over: int) -> None:
    payload = request(b"a: b", field_of(40 + over), b"c: d")
    if over > 0:
        check_refused(payload, 431, request_field=40)
    else:
        check_served(payload, b"GET / ", request_field=40)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_27_head_size_however_it_arrives(over: int) -> None:
    payload = head_of(100 + over)
    if over > 0:
        check_refused(payload, 431, request_head=100)
    else:
        check_served(payload, b"GET / ", request_head=100)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_27_field_count_however_it_arrives(over: int) -> None:
    payload = request(*[b"a: b"] * (9 + over))
    if over > 0:
        check_refused(payload, 431, request_fields=10)
    else:
        check_served(payload, b"GET / ", request_fields=10)


@pytest.mark.parametrize("read", [1 << 20, 1000, 100])
@pytest.mark.parametrize(
    ("start", "more", "status"),
    [
        pytest.param(b"GET /", b"a", 414, id="target"),
        pytest.param(b"A", b"A", 414, id="method"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"a", 431, id="value"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a", 431, id="name"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b" ", 431, id="blanks"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a:\r\n", 431, id="fields"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"a: 1234567890123456789012345678901234567890\r\n", 431, id="long fields"),
    ],
)
def test_h1_27_unfinished_head_is_refused_once_it_is_too_large(
    open_wire: OpenWire, start: bytes, more: bytes, status: int, read: int
) -> None:
    recorder = Recorder()
    wire = open_wire(recorder)
    payload = start + more * (100_000 // len(more))
    fed = 0
    while not wire.out and fed < len(payload):
        wire.feed(payload[fed : fed + read])
        fed += read
    statuses = (status,) if more != b"A" else (status, 400, 501)
    check_refusal(wire.response(), *statuses)
    # What is held for one head is bounded by the head limit and the read that crossed it.
    assert fed <= DEFAULT_LIMITS["request_head"] + 2 * read
    assert recorder.calls == []


def test_h1_27_second_head_has_the_same_limits(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder)
    wire.feed(request(), request(line=line_of(8191)))
    first, second = wire.responses()
    assert first.status == 200
    check_refusal(second, 414)
    assert len(recorder.calls) == 1


# ---- The body -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_07_content_length_limit_is_checked_before_reading(over: int) -> None:
    head = post(b"Content-Length: %d" % (50 + over))
    if over > 0:
        check_refused(head, 413, request_body=50, canary=b"")
        check_refused(head + b"x" * 51, 413, request_body=50)
    else:
        body = b"x" * (50 + over)
        check_served(head + body, b"POST / " + body, request_body=50)


@pytest.mark.parametrize(("over", "status"), [(-1, None), (0, None), (1, 413)])
def test_h1_07_default_body_limit_is_one_gib(open_wire: OpenWire, over: int, status: int | None) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(post(b"Content-Length: %d" % ((1 << 30) + over)))
    assert [response.status for response in wire.responses()] == ([status] if status else [])
    assert len(recorder.calls) == (status is None)


def test_h1_07_body_limit_of_zero_is_none(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder, request_body=0).feed(post(b"Content-Length: %d" % (1 << 40)))
    assert wire.out == b""
    assert len(recorder.calls) == 1


def split_into_chunks(body: bytes, size: int) -> bytes:
    parts = [body[index : index + size] for index in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize("size", [1, 7, 25, 1000])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_h1_07_chunked_body_is_counted_while_it_comes(over: int, size: int) -> None:
    body = b"x" * (50 + over)
    payload = chunked(split_into_chunks(body, size) + b"0\r\n\r\n")
    if over > 0:
        check_refused(payload, 413, started=True, request_body=50)
    else:
        check_served(payload, b"POST / " + body, request_body=50)


def test_h1_07_chunked_body_too_large_after_the_response_began_is_cut_off(open_wire: OpenWire) -> None:
    async def stream(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await read_body(receive)

    recorder = Recorder(stream)
    wire = open_wire(recorder, request_body=50)
    wire.feed(chunked(b"30\r\n" + b"x" * 48 + b"\r\n"))
    assert wire.response().body == b"a"
    wire.feed(b"3\r\nxxx\r\n0\r\n\r\n" + request(line=b"GET /smuggled HTTP/1.1"))
    assert not wire.response().complete
    assert recorder.call.disconnected
    assert not recorder.call.complete
    wire.advance(10)
    assert wire.over


def test_h1_07_expectation_of_a_body_too_large_is_answered_413_without_100() -> None:
    check_refused(post(b"Content-Length: 51", b"Expect: 100-continue"), 413, request_body=50)


# ---- The overhead of chunks -----------------------------------------------------------------------------------------


def test_h1_15_one_byte_chunks_are_legitimate(open_wire: OpenWire) -> None:
    recorder = Recorder()
    open_wire(recorder).feed(chunked(b"1\r\nx\r\n" * 8192 + b"0\r\n\r\n"))
    assert recorder.call.body == b"x" * 8192


@pytest.mark.parametrize("read", [1 << 20, 1000, 1])
@pytest.mark.parametrize(("size", "status"), [(4090, 200), (4100, 400), (8000, 400)])
def test_h1_15_chunk_line_is_at_most_4_kib(open_wire: OpenWire, size: int, status: int, read: int) -> None:
    payload = chunked(b"1;" + b"a" * (size - 2) + b"\r\nx\r\n0\r\n\r\n")
    wire = open_wire(Recorder()).feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    assert status_of(wire) == status


@pytest.mark.parametrize("read", [1 << 20, 1000, 1])
@pytest.mark.parametrize(
    "body",
    [b"0" * 20_000 + b"1\r\nx\r\n", b"1;" + b"a" * 20_000, b"0;" + b"a" * 20_000],
    ids=["zeros", "extension", "last"],
)
def test_h1_15_endless_chunk_line_is_refused(open_wire: OpenWire, body: bytes, read: int) -> None:
    recorder = Recorder()
    payload = chunked(body)
    wire = open_wire(recorder).feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    check_refusal(wire.response(), 400)
    assert not any(call.complete for call in recorder.calls)


def count_accepted(open_wire: OpenWire, chunk: bytes, most: int) -> int:
    """How many times `chunk` may come until the connection is refused; `most` where it is not."""
    wire = open_wire(Recorder()).feed(chunked(b""))
    for count in range(most):
        wire.feed(chunk)
        if wire.out:
            check_refusal(wire.response(), 400)
            return count
    return most


@pytest.mark.parametrize(
    ("extension", "size"),
    [pytest.param(100, 1, id="small"), pytest.param(1000, 1, id="large"), pytest.param(1000, 400, id="with data")],
)
def test_h1_15_overhead_beyond_data_is_bounded(open_wire: OpenWire, extension: int, size: int) -> None:
    # Go's rule: each chunk line and the CRLF after its data count, less 16 bytes and twice the data; 16 KiB may add up.
    chunk = b"%x;%b\r\n%b\r\n" % (size, b"a" * extension, b"x" * size)
    excess = len(chunk) - size - 16 - 2 * size
    expected = 16384 // excess
    accepted = count_accepted(open_wire, chunk, 2 * expected)
    # One reading of the rule leaves the line's own CRLF out.
    assert expected - 1 <= accepted <= 16384 // (excess - 2) + 1


def test_h1_15_overhead_in_proportion_to_data_is_not_bounded(open_wire: OpenWire) -> None:
    chunk = b"%x;%b\r\n%b\r\n" % (600, b"a" * 1000, b"x" * 600)
    assert count_accepted(open_wire, chunk, 200) == 200


def test_h1_15_overhead_is_counted_for_each_request_alone(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder)
    for _ in range(4):
        wire.feed(chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 12 + b"0\r\n\r\n"))
    assert [response.status for response in wire.responses()] == [200] * 4


# ---- Trailers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [1 << 20, 100])
@pytest.mark.parametrize(("count", "status"), [(63, 200), (64, 200), (65, 400), (1000, 400)])
def test_h1_36_at_most_64_trailers(open_wire: OpenWire, count: int, status: int, read: int) -> None:
    recorder = Recorder()
    payload = chunked(b"5\r\nhello\r\n0\r\n" + b"".join(b"x%d: y\r\n" % number for number in range(count)) + b"\r\n")
    wire = open_wire(recorder).feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    statuses = (200,) if status == 200 else (400, 431)
    assert wire.response().status in statuses
    assert any(call.complete for call in recorder.calls) == (status == 200)


@pytest.mark.parametrize("read", [1 << 20, 1000])
@pytest.mark.parametrize(("size", "served"), [(15_000, True), (16_000, True), (17_000, False), (100_000, False)])
def test_h1_36_at_most_16_kib_of_trailers(open_wire: OpenWire, size: int, served: bool, read: int) -> None:
    recorder = Recorder()
    payload = chunked(b"5\r\nhello\r\n0\r\nx: " + b"y" * size + b"\r\n\r\n")
    wire = open_wire(recorder).feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    assert wire.response().status in ((200,) if served else (400, 431))
    assert any(call.complete for call in recorder.calls) == served


def test_h1_36_endless_trailers_are_refused_before_they_end() -> None:
    for reads in every_cut(b"x: " + b"y" * 18_000, most=20):
        recorder = Recorder()
        wire = Wire(recorder).feed(chunked(b"5\r\nhello\r\n0\r\n"), *reads)
        check_refusal(wire.response(), 400, 431)
        assert not recorder.call.complete
        wire.hang_up()
        check_quiet(wire)
