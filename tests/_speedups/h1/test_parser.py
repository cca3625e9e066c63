"""One message at a time: where it ends, what its body is, which limits it has, and which parsers are used again."""

import pytest

from fastserver._speedups.contract import WireError
from fastserver._speedups.h1.parser import (
    CHUNK_LINE_BYTES,
    FRAMING_EXCESS_BYTES,
    TRAILER_BYTES,
    TRAILER_FIELDS,
    RequestParser,
    borrow_parser,
    return_parser,
)
from fastserver._speedups.heads import find_head_end, split_head
from tests._speedups.twin import make_limits
from tests.conformance.cases import arriving, chunked, post, request
from tests.fakes import every_cut

NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: x")


def receive(parser: RequestParser, reads: list[bytes]) -> tuple[bytes, bytes]:
    """Read one message as a connection does: its body, and what is left of the reads."""
    held = body = rest = b""
    opened = False
    for data in reads:
        if opened and parser.complete:
            rest += data
            continue
        if opened:
            index = parser.feed(data, 0)
        else:
            data = held = held + data
            end = find_head_end(data, 0)
            if end < 0:
                continue
            opened = True
            index = parser.open(split_head(data, 0, end, make_limits()), data, 0, end)
        body += parser.take_body()
        assert parser.take_body() == b""
        assert parser.received == len(body)
        rest += data[index:]
    return body, rest


def send_whole(payload: bytes) -> RequestParser:
    """A fresh parser that was given `payload` in one read."""
    parser = RequestParser()
    receive(parser, [payload])
    return parser


MANY = b"".join(b"1\r\n%c\r\n" % (97 + index % 26) for index in range(100))
MESSAGES = [
    pytest.param(request(), b"", id="no body"),
    pytest.param(post(), b"", id="no length"),
    pytest.param(post(b"Content-Length: 0"), b"", id="length 0"),
    pytest.param(post(b"Content-Length: 5", body=b"hello"), b"hello", id="length 5"),
    pytest.param(post(b"Content-Length: 4", body=b"\r\n\r\n"), b"\r\n\r\n", id="empty line as body"),
    pytest.param(post(b"Content-Length: %d" % len(NEXT), body=NEXT), NEXT, id="request as body"),
    pytest.param(post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), b"hello", id="expect"),
    pytest.param(chunked(b"0\r\n\r\n"), b"", id="chunked, empty"),
    pytest.param(chunked(b"000\r\n\r\n"), b"", id="chunked, three zeros"),
    pytest.param(chunked(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), b"hello world", id="chunked"),
    pytest.param(chunked(b"00a\r\n0123456789\r\n0A\r\n0123456789\r\n0\r\n\r\n"), b"0123456789" * 2, id="hexadecimal"),
    pytest.param(chunked(b"8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"), b"\r\n" * 4, id="empty lines in a chunk"),
    pytest.param(chunked(b"8\r\na\r\n0\r\n\r\n\r\n0\r\n\r\n"), b"a\r\n0\r\n\r\n", id="end of a body in a chunk"),
    pytest.param(chunked(b"2\r\n\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n"), b"\r\n\r\n", id="chunks of line ends"),
    pytest.param(chunked(b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n"), b"hello", id="extensions"),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\nX: y\r\nZ: a b\r\n\r\n", b"Trailer: X"), b"hello", id="trailers"),
    pytest.param(chunked(MANY + b"0\r\n\r\n"), MANY[3::6], id="many chunks"),
    pytest.param(request(*UPGRADE), b"", id="upgrade"),
    pytest.param(post(*UPGRADE, b"Content-Length: 5", body=b"hello"), b"hello", id="upgrade, length 5"),
    pytest.param(chunked(b"5\r\nhello\r\n0\r\n\r\n", *UPGRADE), b"hello", id="upgrade, chunked"),
    pytest.param(post(b"Upgrade: x", b"Content-Length: 5", body=b"hello"), b"hello", id="upgrade not connected"),
    pytest.param(post(b"Connection: upgrade", b"Content-Length: 5", body=b"hello"), b"hello", id="upgrade to nothing"),
    pytest.param(post(b"Connection: close", b"Content-Length: 5", body=b"hello"), b"hello", id="close"),
    pytest.param(request(line=b"GET / HTTP/1.0", host=None), b"", id="HTTP/1.0"),
    pytest.param(
        request(b"Connection: keep-alive", b"Content-Length: 1", line=b"POST / HTTP/1.0", body=b"x"),
        b"x",
        id="1.0 kept",
    ),
]


@pytest.mark.parametrize(("payload", "body"), MESSAGES)
def test_message(payload: bytes, body: bytes) -> None:
    for reads in every_cut(payload + NEXT):
        with arriving(reads):
            parser = RequestParser()
            assert receive(parser, reads) == (body, NEXT)  # the next request is never touched
            assert parser.complete
            parser.close()


@pytest.mark.parametrize(("payload", "body"), MESSAGES)
def test_message_ends_with_its_last_byte_only(payload: bytes, body: bytes) -> None:
    end = find_head_end(payload, 0)
    for size in range(end, len(payload)):
        assert not send_whole(payload[:size]).complete
    parser = RequestParser()
    assert receive(parser, [payload]) == (body, b"")
    assert parser.complete


def test_message_inside_a_read() -> None:
    payload = post(b"Content-Length: 5", body=b"hello")
    data = b"the last one's body" + payload + NEXT
    start = len(data) - len(payload) - len(NEXT)
    end = find_head_end(data, start)
    parser = RequestParser()
    assert parser.open(split_head(data, start, end, make_limits()), data, start, end) == len(data) - len(NEXT)
    assert parser.take_body() == b"hello"


def test_body_comes_in_parts() -> None:
    parser = send_whole(post(b"Content-Length: 8", body=b"ab"))
    assert parser.feed(b"c", 0) == 1
    assert parser.feed(b"-de-", 1) == 4
    assert parser.take_body() == b"cde-"
    assert (parser.received, parser.complete) == (6, False)
    assert parser.feed(b"fgh", 0) == 2
    assert parser.take_body() == b"fg"
    assert (parser.received, parser.complete) == (8, True)


# ---- Malformed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"800000000000000\r\nx",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("fields", [(), UPGRADE], ids=["plain", "upgrade"])
def test_malformed_chunks(body: bytes, fields: tuple[bytes, ...]) -> None:
    for reads in every_cut(chunked(body, *fields) + NEXT):
        with arriving(reads):
            parser = RequestParser()
            with pytest.raises(WireError) as caught:
                receive(parser, reads)
            assert caught.value.status == 400
            assert not parser.is_reusable()
            parser.close()


@pytest.mark.parametrize("field", [b"X: a\x00b", b"X: a\nb", b"X: \x7f", b"X: a\x0bb"])
@pytest.mark.parametrize("others", [(), UPGRADE], ids=["plain", "upgrade"])
def test_llhttp_has_the_last_word_on_a_head(field: bytes, others: tuple[bytes, ...]) -> None:
    with pytest.raises(WireError) as caught:
        send_whole(request(*others, field))
    assert caught.value.status == 400


# ---- Limits -------------------------------------------------------------------------------------------------------


def size_line(size: int, line_bytes: int) -> bytes:
    """A chunk's size line of `line_bytes` with its CR LF."""
    return b"%x;" % size + b"a" * (line_bytes - len(b"%x;" % size) - 2) + b"\r\n"


def check_limit(parts: dict[int, bytes], status: int) -> None:
    """Bodies one below, at and one above a limit; `status` refuses the last, whole and in small reads."""
    for beyond, body in parts.items():
        payload = chunked(body)
        for reads in ([payload], [payload[index : index + 7] for index in range(0, len(payload), 7)]):
            parser = RequestParser()
            if beyond <= 0:
                receive(parser, reads)
                assert parser.complete
                continue
            with pytest.raises(WireError) as caught:
                receive(parser, reads)
            assert caught.value.status == status


def test_chunk_line_limit() -> None:
    lines = {beyond: size_line(1, CHUNK_LINE_BYTES + beyond) for beyond in (-1, 0, 1)}
    check_limit({beyond: line + b"x\r\n0\r\n\r\n" for beyond, line in lines.items()}, 400)


def test_framing_excess_limit() -> None:
    # A chunk of one byte may have 18 bytes of framing; what is beyond adds up.
    line_bytes = 18 + FRAMING_EXCESS_BYTES // 8
    assert line_bytes <= CHUNK_LINE_BYTES
    seven = (size_line(1, line_bytes) + b"x\r\n") * 7
    lasts = {beyond: size_line(1, line_bytes + beyond) + b"x\r\n" for beyond in (-1, 0, 1)}
    check_limit({beyond: seven + last + b"0\r\n\r\n" for beyond, last in lasts.items()}, 400)


def test_framing_of_large_chunks_is_not_excess() -> None:
    chunk = size_line(1000, 2000) + b"x" * 1000 + b"\r\n"
    assert len(chunk) * 40 > 4 * FRAMING_EXCESS_BYTES
    parser = send_whole(chunked(chunk * 40 + b"0\r\n\r\n"))
    assert (parser.complete, parser.received) == (True, 40_000)


def test_trailer_limits() -> None:
    full = b"".join(b"T%02d: " % index + b"v" * 1017 + b"\r\n" for index in range(TRAILER_BYTES // 1024 - 1))
    rest = TRAILER_BYTES - len(full)
    lasts = {beyond: b"Z: " + b"v" * (rest - 5 + beyond) + b"\r\n" for beyond in (-1, 0, 1)}
    check_limit({beyond: b"0\r\n" + full + last + b"\r\n" for beyond, last in lasts.items()}, 431)
    counts = {beyond: b"X: y\r\n" * (TRAILER_FIELDS + beyond) for beyond in (-1, 0, 1)}
    check_limit({beyond: b"0\r\n" + lines + b"\r\n" for beyond, lines in counts.items()}, 431)


def test_largest_chunk_size() -> None:
    parser = send_whole(chunked(b"7ffffffffffffff\r\nx"))
    assert (parser.complete, parser.take_body()) == (False, b"")
    assert parser.received == 1


# ---- The pool -----------------------------------------------------------------------------------------------------


def is_pooled(parser: RequestParser) -> bool:
    """Return a parser and say whether the pool kept it; the pool gives back last what it took last."""
    return_parser(parser)
    return borrow_parser() is parser


@pytest.mark.parametrize(
    "payload",
    [
        request(),
        post(b"Content-Length: 5", body=b"hello"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n", *UPGRADE),
        request(*UPGRADE),
        request(b"Connection: keep-alive", line=b"GET / HTTP/1.0"),
    ],
)
def test_parser_is_used_again(payload: bytes) -> None:
    parser = send_whole(payload)
    for _ in range(3):
        assert is_pooled(parser)
        for after, body in ((payload, None), (NEXT, b""), (post(b"Content-Length: 2", body=b"hi"), b"hi")):
            found, rest = receive(parser, [after])
            assert parser.complete
            assert rest == b""
            assert body in (None, found)


@pytest.mark.parametrize(
    "payload",
    [
        request(b"Connection: close"),
        post(b"Connection: close", b"Content-Length: 5", body=b"hello"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: close"),
        request(line=b"GET / HTTP/1.0", host=None),
        post(b"Content-Length: 5", body=b"hell"),
        chunked(b"5\r\nhello\r\n0\r\n\r"),
    ],
)
def test_parser_is_thrown_away(payload: bytes) -> None:
    parser = send_whole(payload)
    assert not parser.is_reusable()
    assert not is_pooled(parser)


def test_parser_is_thrown_away_after_an_error() -> None:
    parser = RequestParser()
    receive(parser, [request()])
    assert parser.is_reusable()
    with pytest.raises(WireError):
        receive(parser, [chunked(b"x\r\n")])
    assert not is_pooled(parser)
    with pytest.raises(WireError):
        receive(parser := send_whole(request()), [request(b"X: \x00")])
    assert not is_pooled(parser)


def test_pool_is_bounded() -> None:
    parsers = [borrow_parser() for _ in range(100)]
    for parser in parsers:
        receive(parser, [request()])
        return_parser(parser)
    again = [borrow_parser() for _ in range(100)]
    kept = {id(parser) for parser in parsers} & {id(parser) for parser in again}
    assert len(kept) == 64
