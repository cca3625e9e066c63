"""RFC 9113 section 8, RFC 8441 and RFC 7541: malformed requests are stream errors, malformed field blocks are not."""

from fastserver._speedups.contract import H2Limits
from tests.conformance.h2cases import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    NO_ERROR,
    PADDED,
    PROTOCOL_ERROR,
    Fields,
    Row,
    block,
    connection,
    data,
    frame,
    get,
    head,
    parametrize,
    post,
    pseudo,
    refused,
    rst,
    served,
    settings,
    stream,
    string,
    trailers,
)

MALFORMED = stream(PROTOCOL_ERROR)
CONNECT: Fields = [(b":method", b"CONNECT"), (b":authority", b"h:443")]
SESSION: Fields = [*pseudo(b"CONNECT"), (b":protocol", b"websocket")]


def without(name: bytes) -> bytes:
    """A request that lacks one pseudo-header field."""
    return head([field for field in pseudo() if field[0] != name])


def hpack(octets: bytes) -> bytes:
    """A request whose field block goes on with `octets`."""
    return frame(HEADERS, END_STREAM | END_HEADERS, 1, block(pseudo()) + octets)


def hpack_first(octets: bytes) -> bytes:
    """A request whose field block begins with `octets`."""
    return frame(HEADERS, END_STREAM | END_HEADERS, 1, octets + block(pseudo()))


MESSAGES = [
    Row("8.1a trailers end the stream", post() + data(b"a") + trailers((b"x", b"y")), served(b"POST / a")),
    Row("8.1b trailers that do not", post() + data(b"a") + trailers((b"x", b"y"), ends=False), MALFORMED),
    Row("8.1b a second head", post() + post(), MALFORMED),
    Row(
        "8.1c trailers in pieces",
        post()
        + frame(HEADERS, END_STREAM, 1, block([(b"x", b"y")])[:2])
        + frame(CONTINUATION, END_HEADERS, 1, block([(b"x", b"y")])[2:]),
        served(b"POST / "),
    ),
    Row("8.1d a pseudo-header field in trailers", post() + data(b"a") + trailers((b":path", b"/")), MALFORMED),
    Row("8.1d :status in trailers", post() + data(b"a") + trailers((b":status", b"200")), MALFORMED),
    Row("8.1d a bad name in trailers", post() + data(b"a") + trailers((b"X", b"y")), MALFORMED),
    Row("8.1d a bad value in trailers", post() + data(b"a") + trailers((b"x", b"y\n")), MALFORMED),
    Row("8.1d a field of the connection in trailers", post() + trailers((b"connection", b"close")), MALFORMED),
    Row("8.1d upgrade in trailers", post() + trailers((b"upgrade", b"h2c")), MALFORMED),
    Row(
        "8.1e a response before the request's end", post((b"content-length", b"999999"), path=b"/now"), stream(NO_ERROR)
    ),
    Row("8.1.1a END_STREAM where a body is announced", get((b"content-length", b"1")), MALFORMED),
    Row("8.1.1b a body shorter than announced", post((b"content-length", b"2")) + data(b"a", True), MALFORMED),
    Row("8.1.1b in two frames", post((b"content-length", b"3")) + data(b"a") + data(b"b", True), MALFORMED),
    Row("8.1.1b before trailers", post((b"content-length", b"2")) + data(b"a") + trailers((b"x", b"y")), MALFORMED),
    Row("8.1.1c a body longer than announced", post((b"content-length", b"1")) + data(b"ab"), MALFORMED),
    Row("8.1.1c longer by a frame", post((b"content-length", b"1")) + data(b"a") + data(b"b", True), MALFORMED),
    Row(
        "8.1.1d content-length twice",
        post((b"content-length", b"1"), (b"content-length", b"1")) + data(b"a", True),
        MALFORMED,
    ),
    Row("8.1.1d no number", post((b"content-length", b"+1")) + data(b"a", True), MALFORMED),
    Row("8.1.1d a list", post((b"content-length", b"1, 1")) + data(b"a", True), MALFORMED),
    Row(
        "8.1.1e padding is no content",
        post((b"content-length", b"1")) + frame(DATA, END_STREAM | PADDED, 1, b"\x02a\0\0"),
        served(b"POST / a"),
    ),
    Row(
        "8.1.1e a body as long as announced",
        post((b"content-length", b"2")) + data(b"a") + data(b"b") + data(ends=True),
        served(b"POST / ab"),
    ),
    Row("8.1.1e no body, and none announced", get((b"content-length", b"0")), served(b"GET / ")),
]

FIELDS = [
    *(
        Row(f"8.2.1a {name!r} as a name", get((name, b"v")), MALFORMED)
        for name in (b"X-Upper", b"a b", b"a\x00", b"a\xff", b"a:b", b"", b"a\x7f", b"a(", b"a\r", b" a")
    ),
    *(
        Row(f"8.2.1b {value!r} as a value", get((b"x", value)), MALFORMED)
        for value in (b"a\0b", b"a\nb", b"a\rb", b"a\r\nb: c", b"a\x01", b"a\x7f")
    ),
    *(
        Row(f"8.2.1c {value!r} as a value", get((b"x", value)), MALFORMED)
        for value in (b" a", b"a ", b"\ta", b"a\t", b" ")
    ),
    Row("8.2.1d what a value may hold", get((b"x", b"a\tb \x80\xff"), (b"y", b"")), served()),
    *(
        Row(f"8.2.2a {name.decode()}: {value.decode()}", get((name, value)), MALFORMED)
        for name, value in [
            (b"connection", b"close"),
            (b"connection", b"x"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"h2c"),
        ]
    ),
    Row("8.2.2b te with another value", get((b"te", b"gzip")), MALFORMED),
    Row("8.2.2b te with more than trailers", get((b"te", b"trailers, gzip")), MALFORMED),
    Row("8.2.2c te: trailers", get((b"te", b"trailers")), served()),
    Row("8.2.3a crumbs", get((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")), served()),
]

PSEUDO = [
    Row("8.3a an unknown one", head([*pseudo(), (b":test", b"x")]), MALFORMED),
    Row("8.3a one of a response", head([*pseudo(), (b":status", b"200")]), MALFORMED),
    Row("8.3a a colon alone", head([*pseudo(), (b":", b"x")]), MALFORMED),
    Row("8.3b behind a field", head([*pseudo()[:3], (b"x", b"y"), pseudo()[3]]), MALFORMED),
    *(Row(f"8.3c {name.decode()} twice", head([*pseudo(), (name, value)]), MALFORMED) for name, value in pseudo()),
    Row("8.3d upper case", head([*pseudo()[1:], (b":Method", b"GET")]), MALFORMED),
    Row("8.3.1a no :method", without(b":method"), MALFORMED),
    Row("8.3.1a no :scheme", without(b":scheme"), MALFORMED),
    Row("8.3.1a no :path", without(b":path"), MALFORMED),
    Row("8.3.1a no field at all", head([]), MALFORMED),
    Row("8.3.1b an empty :path", head(pseudo(path=b"")), MALFORMED),
    *(
        Row(f"8.3.1b :path {path!r}", head(pseudo(path=path)), MALFORMED)
        for path in (b"a", b"*", b"/a b", b"/a#b", b"/a\tb", b"/\x01", b"http://h/", b"/\xff", b'/"')
    ),
    Row("8.3.1c OPTIONS *", head(pseudo(b"OPTIONS", b"*")), served(b"OPTIONS * ")),
    *(
        Row(f"8.3.1d :authority {authority!r}", head(pseudo(authority=authority)), MALFORMED)
        for authority in (b"u@h", b"h/", b"a b", b"a,b", b"h:x")
    ),
    Row("8.3.1e host that differs", head([*pseudo(), (b"host", b"other")]), MALFORMED),
    Row("8.3.1e host twice", head([*pseudo(), (b"host", b"h"), (b"host", b"h")]), MALFORMED),
    Row("8.3.1e host that is the same", head([*pseudo(), (b"host", b"h")]), served()),
    Row("8.3.1e host in place of :authority", head([*pseudo()[:2], pseudo()[3], (b"host", b"h")]), served()),
    Row("8.3.1e neither", head([*pseudo()[:2], pseudo()[3]]), MALFORMED),
    *(
        Row(f"8.3.1f :method {method!r}", head(pseudo(method)), MALFORMED)
        for method in (b"", b"GET / X", b"G(T", b"G\0", b" GET")
    ),
    Row("8.3.1g a method that nobody knows", head(pseudo(b"BREW")), refused(501)),
    *(
        Row(f"8.3.1h :scheme {scheme!r}", head(pseudo(scheme=scheme)), MALFORMED)
        for scheme in (b"", b"ftp", b"HTTP ", b"ht tp")
    ),
]

TUNNELS = [
    Row("8.5a plain CONNECT", head(CONNECT), refused(501)),
    Row("8.5a plain CONNECT, open", head(CONNECT, ends=False), refused(501)),
    Row("8.5b CONNECT with :path", head([*CONNECT, (b":path", b"/")]), MALFORMED),
    Row("8.5b CONNECT with :scheme", head([*CONNECT, (b":scheme", b"http")]), MALFORMED),
    Row("8.5b CONNECT without :authority", head(CONNECT[:1]), MALFORMED),
    Row("8441-4a :protocol without CONNECT", head([*pseudo(), (b":protocol", b"websocket")]), MALFORMED),
    Row("8441-4b without :path", head([*CONNECT, (b":scheme", b"http"), (b":protocol", b"websocket")]), MALFORMED),
    Row("8441-4b without :scheme", head([*CONNECT, (b":path", b"/"), (b":protocol", b"websocket")]), MALFORMED),
    Row("8441-4b without :authority", head([SESSION[0], SESSION[1], SESSION[3], SESSION[4]]), MALFORMED),
    Row("8441-4c :protocol twice", head([*SESSION, (b":protocol", b"websocket")]), MALFORMED),
    Row("8441-4c :protocol that is no token", head([*SESSION[:4], (b":protocol", b"a b")]), MALFORMED),
]

COMPRESSION = [
    Row("4.3a a block that cannot be decoded", hpack(b"\x80"), connection(COMPRESSION_ERROR)),
    Row("4.3a in trailers", post() + frame(HEADERS, 5, 1, b"\x80"), connection(COMPRESSION_ERROR)),
    Row(
        "4.3a on a stream that the client has reset",
        post() + rst() + frame(HEADERS, 5, 1, b"\x80"),
        connection(COMPRESSION_ERROR),
    ),
    Row(
        "4.3a on one that the server has reset",
        post(path=b"/now") + frame(HEADERS, 5, 1, b"\x80"),
        connection(COMPRESSION_ERROR),
    ),
    Row(
        "4.3c the table goes on where a stream is refused",
        frame(HEADERS, 5, 1, block(pseudo(path=b"a")) + b"\x40" + string(b"x") + string(b"y"))
        + frame(HEADERS, 5, 3, block(pseudo()) + b"\xbe"),
        MALFORMED,
    ),
    Row(
        "4.3c the table goes on where a stream was reset",
        post()
        + rst()
        + frame(HEADERS, 5, 1, b"\x40" + string(b"x") + string(b"y"))
        + frame(HEADERS, 5, 3, block(pseudo()) + b"\xbe"),
        stream(5),
    ),
    Row("7541-2.3.3a an index beyond the tables", hpack(b"\xbe"), connection(COMPRESSION_ERROR)),
    Row("7541-2.3.3a as a name", hpack(b"\x7f\x00" + string(b"v")), connection(COMPRESSION_ERROR)),
    Row("7541-4.2a a size update behind a field", hpack(b"\x20"), connection(COMPRESSION_ERROR)),
    Row("7541-4.2b one at the beginning", hpack_first(b"\x20"), served()),
    Row("7541-4.2b two at the beginning", hpack_first(b"\x20\x3f\xe1\x1f"), served()),
    Row("7541-5.1a an integer that never ends", hpack(b"\xff" + b"\xff" * 12), connection(COMPRESSION_ERROR)),
    Row("7541-5.1a an integer too large", hpack(b"\xff\xff\xff\xff\xff\x7f"), connection(COMPRESSION_ERROR)),
    Row("7541-5.1b an integer cut off", hpack(b"\xff"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2a a string cut off", hpack(b"\x00\x05abc"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2a a field without a value", hpack(b"\x00\x01a"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2b padding of more than 7 bits", hpack(b"\x00\x01x\x82\x1f\xff"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2c padding that is not of ones", hpack(b"\x00\x01x\x81\x18"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2d EOS in a string", hpack(b"\x00\x01x\x84\xff\xff\xff\xff"), connection(COMPRESSION_ERROR)),
    Row("7541-5.2e Huffman as it should be", hpack(b"\x00\x01x\x81\x1f"), served()),
    Row("7541-6.1a index 0", hpack(b"\x80"), connection(COMPRESSION_ERROR)),
    Row("7541-6.3a a table above the limit", hpack_first(b"\x3f\xe2\x1f"), connection(COMPRESSION_ERROR)),
    Row(
        "6.5.2d a list above what was announced",
        head([*pseudo(), *[(b"x", b"v" * 900)] * 5]),
        connection(ENHANCE_YOUR_CALM),
        wire={"h2": H2Limits(header_list=4096)},
    ),
    Row(
        "6.5.2d a list above it on a reset stream",
        post() + rst() + head([*pseudo(), *[(b"x", b"v" * 900)] * 5]),
        connection(ENHANCE_YOUR_CALM),
        wire={"h2": H2Limits(header_list=4096)},
    ),
    Row("6.5.2e HEADER_TABLE_SIZE of 0", settings((1, 0)) + get(), served()),
    Row("6.5.2e HEADER_TABLE_SIZE of 2^32-1", settings((1, 2**32 - 1)) + get(), served()),
    Row(
        "5.1j HEADERS on a reset stream are decoded",
        post() + rst() + frame(HEADERS, 5, 1, b"\x40" + string(b"x") + string(b"y")),
        stream(5),
    ),
]

ROWS = [*MESSAGES, *FIELDS, *PSEUDO, *TUNNELS, *COMPRESSION]


@parametrize(ROWS)
def test_row(row: Row) -> None:
    row.check()
