"""H1-1 to H1-7, H1-13 to H1-15, H1-36 and the body's part of H1-9 and H1-10: where a request ends."""

import pytest

from tests.conformance.cases import (
    CANARY,
    check_quiet,
    check_refusal,
    check_refused,
    check_served,
    chunked,
    post,
    request,
)
from tests.fakes import Recorder, Wire, every_cut, ignore

HELLO = b"5\r\nhello\r\n0\r\n\r\n"

# ---- Content-Length and Transfer-Encoding: RFC 9112 section 6 -------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 15", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 15"),
        (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        (b"transfer-encoding: chunked", b"X: y", b"content-length: 5"),
        (b"Content-Length: 15", b"Transfer-Encoding: CHUNKED"),
    ],
)
def test_h1_01_content_length_and_transfer_encoding_are_refused(fields: tuple[bytes, ...]) -> None:
    check_refused(post(*fields, body=HELLO), 400)


@pytest.mark.parametrize(
    "value",
    [
        b"chunked, chunked",
        b"chunked,chunked",
        b"chunked, gzip",
        b"chunked, identity",
        b", chunked",
        b"chunked,",
        b",",
        b'"chunked"',
        b"\x0bchunked",
        b"chunked\x0b",
        b"\xa0chunked",
        b"chunked\xa0",
        b"chunked\x00",
        b"chunked chunked",
        b"chunked;q=1",
        b"chunked; a=b",
        b"chun ked",
        b"[chunked]",
    ],
)
def test_h1_02_malformed_transfer_encoding_is_refused(value: bytes) -> None:
    check_refused(post(b"Transfer-Encoding: " + value, body=HELLO), 400, 501)


@pytest.mark.parametrize("value", [b"gzip", b"identity", b"xchunked", b"chunkedchunked", b"x", b"pigeons", b"chunke"])
def test_h1_02_other_coding_is_answered_501(value: bytes) -> None:
    check_refused(post(b"Transfer-Encoding: " + value, body=HELLO), 501)


@pytest.mark.parametrize("value", [b"gzip, chunked", b"identity, chunked", b"gzip,chunked", b"deflate , chunked"])
def test_h1_02_coding_before_chunked_is_answered_501(value: bytes) -> None:
    check_refused(post(b"Transfer-Encoding: " + value, body=HELLO), 501)


@pytest.mark.parametrize(
    "values",
    [(b"gzip", b"chunked"), (b"chunked", b"chunked"), (b"chunked", b"gzip"), (b"", b"chunked"), (b"chunked", b"")],
)
def test_h1_02_second_transfer_encoding_field_is_refused(values: tuple[bytes, bytes]) -> None:
    check_refused(post(*[b"Transfer-Encoding: " + value for value in values], body=HELLO), 400, 501)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b"  chunked", b"chunked  ", b"\tchunked"])
def test_h1_02_exactly_chunked_is_served(value: bytes) -> None:
    check_served(post(b"Transfer-Encoding:" + value, body=HELLO), b"POST / hello")


@pytest.mark.parametrize("empty", [b"Transfer-Encoding:", b"Transfer-Encoding: ", b"Transfer-Encoding:\t"])
@pytest.mark.parametrize("length", [(), (b"Content-Length: 15",)], ids=["alone", "then length"])
def test_h1_03_empty_transfer_encoding_is_refused(empty: bytes, length: tuple[bytes, ...]) -> None:
    check_refused(post(empty, *length, body=HELLO), 400)


def test_h1_03_empty_transfer_encoding_after_a_length_is_refused() -> None:
    check_refused(post(b"Content-Length: 15", b"Transfer-Encoding:", body=HELLO), 400)


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity", b""])
@pytest.mark.parametrize("connection", [(), (b"Connection: keep-alive",)], ids=["", "keep-alive"])
def test_h1_04_transfer_encoding_in_http_1_0_is_refused(value: bytes, connection: tuple[bytes, ...]) -> None:
    payload = request(b"Transfer-Encoding: " + value, *connection, line=b"POST / HTTP/1.0", body=HELLO)
    check_refused(payload, 400, 501)


@pytest.mark.parametrize(
    "value", [b"pigeons", b"xchunked", b'"chunked"', b"\xa0chunked", b"chunked, gzip", b"gzip, chunked"]
)
@pytest.mark.parametrize("method", [b"PUT", b"GET"])
def test_h1_05_application_never_starts_on_a_bad_transfer_encoding(method: bytes, value: bytes) -> None:
    # An application that answers at once would have run before llhttp looked at the last coding.
    payload = request(b"Transfer-Encoding: " + value, line=method + b" / HTTP/1.1", body=HELLO)
    check_refused(payload, 400, 501, app=ignore)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 0"),
        (b"Content-Length: 0", b"Content-Length: 5"),
        (b"Content-Length: 5", b"X: y", b"content-length: 05"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: 5,5",),
        (b"Content-Length: 5,",),
        (b"Content-Length: ,5",),
        (b"Content-Length:", b"Content-Length: 5"),
    ],
)
def test_h1_06_second_content_length_is_refused(fields: tuple[bytes, ...]) -> None:
    check_refused(post(*fields, body=b"hello"), 400)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"+5",
        b"-5",
        b"-0",
        b"0x5",
        b"0b1",
        b"1_0",
        b"5 5",
        b"5\t0",
        b"1Z",
        b"Z",
        b"5;",
        b"5.0",
        b"5e1",
        b'"5"',
        b"\xb25",
        b"\xd9\xa5",
        b"5\x00",
        b"5\x0b",
        b"18446744073709551616",
        b"18446744073709551621",
        b"9223372036854775808",
        b"99999999999999999999999999",
    ],
)
def test_h1_07_malformed_content_length_is_refused(value: bytes) -> None:
    check_refused(post(b"Content-Length: " + value, body=b"hello"), 400)


def test_h1_07_largest_number_is_a_body_too_large() -> None:
    check_refused(post(b"Content-Length: 9223372036854775807", body=b"hello"), 400, 413)


@pytest.mark.parametrize("value", [b"5", b" 5", b"\t5\t ", b"05", b"0000005"])
def test_h1_07_digits_between_blanks_are_served(value: bytes) -> None:
    payload = post(b"Content-Length:" + value, body=b"hello") + request(line=b"GET /2 HTTP/1.1")
    check_served(payload, b"POST / hello", b"GET /2 ")


def test_h1_07_get_with_a_body_is_framed() -> None:
    payload = request(b"Content-Length: 35", body=CANARY[:35]) + request(line=b"GET /2 HTTP/1.1")
    check_served(payload, b"GET / " + CANARY[:35], b"GET /2 ")


# ---- Chunks: RFC 9112 section 7.1 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"05\r\nhello\r\n00\r\n\r\n",
        b"0005\r\nhello\r\n0000\r\n\r\n",
    ],
)
def test_h1_13_chunks_are_served(body: bytes) -> None:
    check_served(chunked(body) + request(line=b"GET /2 HTTP/1.1"), b"POST / hello", b"GET /2 ")


def test_h1_13_hexadecimal_size_in_any_case_is_served() -> None:
    data = b"x" * 0xAB
    check_served(chunked(b"aB\r\n" + data + b"\r\n0\r\n\r\n"), b"POST / " + data)


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"-0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\t5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"5h\r\nhello\r\n0\r\n\r\n",
        b"\xb25\r\nhello\r\n0\r\n\r\n",
        b"5\x00\r\nhello\r\n0\r\n\r\n",
        b"hello",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
    ],
)
def test_h1_13_malformed_chunk_size_is_refused(body: bytes) -> None:
    check_refused(chunked(body), 400, started=True)


@pytest.mark.parametrize(
    "size", [b"10000000000000000", b"10000000000000005", b"fffffffffffffffff", b"00ffffffffffffffff0"]
)
def test_h1_13_chunk_size_beyond_64_bits_is_refused(size: bytes) -> None:
    check_refused(chunked(size + b"\r\nhello\r\n0\r\n\r\n"), 400, 413, started=True)


@pytest.mark.parametrize(
    "size", [b"ffffffffffffffff", b"8000000000000000", b"7fffffffffffffff", b"100000000", b"0ffffffff"]
)
def test_h1_13_chunk_of_a_huge_size_never_ends_early(size: bytes) -> None:
    # A size cut down to 32 or 63 bits would end the chunk, and the request, somewhere inside its data.
    for reads in every_cut(chunked(size + b"\r\n" + HELLO + CANARY)):
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        wire.eof()
        for response in wire.responses():
            check_refusal(response, 400, 413)
        assert [call.target for call in recorder.calls] in ([b"/"], [])
        assert not any(call.complete for call in recorder.calls)
        wire.hang_up()
        check_quiet(wire)


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello world\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"5\r\nhello;x\r\n0\r\n\r\n",
    ],
)
def test_h1_13_chunk_that_does_not_end_where_it_said_is_refused(body: bytes) -> None:
    check_refused(chunked(body), 400, started=True)


def test_h1_13_nothing_is_read_after_a_chunk_error() -> None:
    # A body that becomes valid again after the fault: a parser that resynchronises would see two requests.
    check_refused(chunked(b"x\r\nhello\r\n" + HELLO), 400, started=True)


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5;a=b\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\n",
        b"5\nhello\n0\n\n",
    ],
)
def test_h1_09_bare_lf_in_a_chunked_body_is_refused(body: bytes) -> None:
    check_refused(chunked(body), 400, started=True)


@pytest.mark.parametrize(
    "body",
    [
        b"5\rXhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\rX",
        b"5\r\nhello\r\n0\r\nX: y\rZ\r\n\r\n",
        b"5\r\nhello\r\n0\r\rX\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_h1_10_bare_cr_in_a_chunked_body_is_refused(body: bytes) -> None:
    check_refused(chunked(body), 400, started=True)


@pytest.mark.parametrize(
    "extension",
    [
        b";",
        b"; a",
        b";a b",
        b";a=b c",
        b";a =b",
        b" ;a",
        b';a="b',
        b';a="b"c',
        b";a=\x01",
        b";a\x00",
        b";a\x80",
        b";a=b;",
        b';a="\x7f"',
    ],
)
def test_h1_14_malformed_chunk_extension_is_refused(extension: bytes) -> None:
    check_refused(chunked(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n"), 400, started=True)


@pytest.mark.parametrize("extension", [b";a", b";a=b", b";a=b;c=d", b';a="b c"', b';a="b;c\\"d\t"', b";a;b;c"])
def test_h1_14_chunk_extension_is_ignored(extension: bytes) -> None:
    body = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
    check_served(chunked(body) + request(line=b"GET /2 HTTP/1.1"), b"POST / hello", b"GET /2 ")


# ---- Trailers: RFC 9110 section 6.5 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trailer",
    [
        b"X: y",
        b"X-Forwarded-For: 127.0.0.2",
        b"X: y\r\nZ: \x80",
        b"X:",
    ],
)
def test_h1_36_trailers_are_discarded(trailer: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n"
    payload = chunked(body, b"Trailer: X", b"X: head") + request(line=b"GET /2 HTTP/1.1")
    recorder = check_served(payload, b"POST / hello", b"GET /2 ")
    names = [name for name, _ in recorder.calls[0].scope["headers"]]
    assert names == [b"host", b"transfer-encoding", b"trailer", b"x"]
    assert recorder.calls[0].header(b"x") == [b"head"]
    assert recorder.calls[1].scope["headers"] == [(b"host", b"h")]


@pytest.mark.parametrize(
    "trailer",
    [
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"X : y",
        b"X",
        b" X: y",
        b"X: a\r\n b",
        b"X: \x00",
        b"X: \x7f",
        b"X(): y",
    ],
)
def test_h1_36_malformed_or_framing_trailer_is_refused(trailer: bytes) -> None:
    check_refused(chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n"), 400, started=True)


@pytest.mark.parametrize(
    "trailer", [b"Host: other", b"Authorization: x", b"Cookie: a=b", b"Content-Type: text/html", b"Connection: close"]
)
def test_h1_36_forbidden_trailer_is_dropped_or_refused(trailer: bytes) -> None:
    payload = chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n", b"X: y")
    for reads in every_cut(payload):
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        response = wire.response()
        if response.status == 200:
            assert recorder.call.scope["headers"] == [(b"host", b"h"), (b"transfer-encoding", b"chunked"), (b"x", b"y")]
            assert recorder.call.body == b"hello"
        else:
            check_refusal(response, 400)
            assert not any(call.complete for call in recorder.calls)
        wire.hang_up()
        check_quiet(wire)


# ---- A body that does not come whole --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(post(b"Content-Length: 6", body=b"hello"), id="length"),
        pytest.param(post(b"Content-Length: 6"), id="no byte"),
        pytest.param(chunked(b"5\r\nhel"), id="inside a chunk"),
        pytest.param(chunked(b"5\r\nhello"), id="before CRLF"),
        pytest.param(chunked(b"5\r\nhello\r\n"), id="between chunks"),
        pytest.param(chunked(b"5\r\nhello\r\n0\r\n"), id="before the empty line"),
        pytest.param(chunked(b"5\r\nhello\r\n0\r\nX: y\r\n"), id="inside trailers"),
    ],
)
def test_eof_inside_a_body_is_a_disconnect_and_never_a_whole_body(payload: bytes) -> None:
    for reads in every_cut(payload):
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        assert wire.out == b""
        wire.eof()
        assert recorder.call.disconnected
        assert not recorder.call.complete
        for response in wire.responses():
            check_refusal(response, 400, 408)
        wire.hang_up()
        assert wire.over
        check_quiet(wire)
