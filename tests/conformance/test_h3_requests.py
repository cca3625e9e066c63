"""RFC 9114 sections 4.1.2 to 4.4 and RFC 9220: malformed requests are stream errors, what is not served is answered."""

import pytest

from fastserver._speedups.contract import Application, Exchange, Request, Sink
from tests.conformance.h3cases import (
    DATA,
    GREASE,
    H3_FRAME_UNEXPECTED,
    H3_SETTINGS_ERROR,
    HEADERS,
    IGNORED,
    MALFORMED,
    Fields,
    Row,
    answer,
    connection,
    control,
    data,
    frame,
    get,
    head,
    parametrize,
    post,
    pseudo,
    refused,
    served,
    settings,
    varint,
)
from tests.h3wire import H3Wire

CONNECT: Fields = [(b":method", b"CONNECT"), (b":authority", b"h:443")]
SESSION: Fields = [*pseudo(b"CONNECT"), (b":protocol", b"websocket")]
NOBODY = b"GET / "


def without(name: bytes) -> bytes:
    """A request that lacks one pseudo-header field."""
    return head([field for field in pseudo() if field[0] != name])


def behind(name: bytes) -> bytes:
    """A request one of whose pseudo-header fields stands behind another field."""
    others = [field for field in pseudo() if field[0] != name]
    return head([*others, (b"a", b"b"), *(field for field in pseudo() if field[0] == name)])


def changed(**values: bytes) -> bytes:
    return head(pseudo(**values))


def length(value: bytes) -> tuple[bytes, bytes]:
    return b"content-length", value


LENGTHS = [
    Row("4.1.2a no body where one is announced", get(length(b"1")), MALFORMED),
    Row("4.1.2a nor DATA", post(length(b"3")), MALFORMED),
    Row("4.1.2b a body that is too short", post(length(b"3")) + data(b"ab"), MALFORMED),
    Row("4.1.2b and has trailers", post(length(b"3")) + data(b"ab") + head([(b"x", b"y")]), MALFORMED),
    Row("4.1.2c a body that is too long", post(length(b"3")) + data(b"abcd"), MALFORMED),
    Row("4.1.2c in several frames", post(length(b"3")) + data(b"ab") + data(b"cd"), MALFORMED),
    Row("4.1.2c where none is announced", post(length(b"0"), path=b"/wait") + data(b"a"), MALFORMED),
    Row("4.1.2d a body as long as announced", post(length(b"3")) + data(b"ab") + data(b"c"), served(b"POST / abc")),
    Row("4.1.2d none", get(length(b"0")), served(NOBODY)),
    Row("4.1.2d empty DATA", post(length(b"0")) + data(), served(b"POST / ")),
    *(
        Row(f"4.1.2e content-length {value!r}", post(length(value)) + data(b"a"), MALFORMED)
        for value in (b"", b"+1", b"-1", b"1_0", b"0x1", b"1,1", b"1 1", b"one", b"9" * 30, b"1.0")
    ),
    Row("4.1.2e content-length twice", post(length(b"1"), length(b"1")) + data(b"a"), MALFORMED),
    Row("4.1.2e and different", post(length(b"1"), length(b"2")) + data(b"a"), MALFORMED),
    Row("4.1.2f an answer before the body is whole", post(length(b"9"), path=b"/now") + data(b"a" * 9), served(b"now")),
]

FIELDS = [
    *(
        Row(f"4.2a the name {name!r}", get((name, b"x")), MALFORMED)
        for name in (b"Upper", b"uppeR", b"", b"a b", b"a(b)", b"a:b", b"a\0", b"a\n", b"\xe9", b"a\x7f", b"a{")
    ),
    *(
        Row(f"4.2b the value {value!r}", get((b"x", value)), MALFORMED)
        for value in (b"\0", b"a\rb", b"a\nb", b"\x01", b"\x7f", b" a", b"a ", b"\ta", b"a\t", b"a\r\nb: c")
    ),
    *(
        Row(f"4.2c the value {value!r}", get((b"x", value)), served(NOBODY))
        for value in (b"", b"a b", b"a\tb", b"\x80\xff", b'"(),/:;<=>?@[\\]{}')
    ),
    *(
        Row(f"4.2d {name.decode()}: {value.decode()}", get((name, value)), MALFORMED)
        for name, value in (
            (b"connection", b"close"),
            (b"connection", b""),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"websocket"),
        )
    ),
    *(
        Row(f"4.2e te: {value.decode()}", get((b"te", value)), MALFORMED)
        for value in (b"gzip", b"trailers, gzip", b"trailers;q=1", b"")
    ),
    Row("4.2f te: trailers", get((b"te", b"trailers")), served(NOBODY)),
    Row("4.2.1a crumbs of a cookie", get((b"cookie", b"a=b"), (b"cookie", b"c=d")), served(NOBODY)),
    Row("4.2.2a a section above the limit", get(*[(b"x", b"y")] * 1000), refused(431)),
    Row("4.2.2a by its length", post((b"x", b"y" * 33000)), refused(431)),
    Row("4.2.2a too many fields", get(*[(b"x", b"y")] * 101), refused(431)),
    Row("4.2.2b as many as may come", get(*[(b"x", b"y")] * 100), served(NOBODY)),
    Row("4.2.2c trailers above the limit", post(path=b"/wait") + head([(b"x", b"y")] * 1000), MALFORMED),
    Row("4.2.2c by their length", post(path=b"/wait") + head([(b"x", b"y" * 33000)]), MALFORMED),
]

PSEUDO = [
    *(Row(f"4.3a {name.decode()}", head([*pseudo(), (name, b"200")]), MALFORMED)
      for name in (b":status", b":unknown", b":", b":Path", b":METHOD")),
    *(Row(f"4.3b {name.decode()} behind a field", behind(name), MALFORMED) for name, _ in pseudo()),
    *(Row(f"4.3c {name.decode()} twice", head([*pseudo(), (name, value)]), MALFORMED) for name, value in pseudo()),
    Row("4.3d in trailers", post(path=b"/wait") + data(b"a") + head([(b":path", b"/")]), MALFORMED),
    Row("4.3d :status in trailers", post(path=b"/wait") + head([(b":status", b"200")]), MALFORMED),
    *(Row(f"4.3.1a no {name.decode()}", without(name), MALFORMED) for name in (b":method", b":scheme", b":path")),
    Row("4.3.1a nothing at all", head([]), MALFORMED),
    Row("4.3.1b neither :authority nor host", without(b":authority"), MALFORMED),
    Row("4.3.1c host in the place of :authority",
        head([field for field in pseudo() if field[0] != b":authority"] + [(b"host", b"h")]), served(NOBODY)),
    Row("4.3.1d host and :authority say the same", get((b"host", b"h")), served(NOBODY)),
    Row("4.3.1d host and :authority differ", get((b"host", b"g")), MALFORMED),
    Row("4.3.1d host twice", get((b"host", b"h"), (b"host", b"h")), MALFORMED),
    Row("4.3.1e :authority is empty", changed(authority=b""), MALFORMED),
    *(Row(f"4.3.1e :authority {value.decode()}", changed(authority=value), MALFORMED)
      for value in (b"user@h", b"h h", b"h/", b"h:x", b"h:1:2", b"[::1", b"h?", b"h#")),
    *(Row(f"4.3.1e :authority {value.decode()}", changed(authority=value), served(NOBODY))
      for value in (b"h:443", b"[::1]:443", b"192.0.2.1")),
    *(Row(f"4.3.1f :scheme {value.decode()}", changed(scheme=value), MALFORMED)
      for value in (b"", b"http", b"ftp", b"https:", b"HTTPS", b"wss")),
    Row("4.3.1g :path is empty", changed(path=b""), MALFORMED),
    *(Row(f"4.3.1g :path {value!r}", changed(path=value), MALFORMED)
      for value in (b"*", b"a", b"https://h/", b"/ b", b"/\t", b"/\x7f", b"?a")),
    Row("4.3.1h OPTIONS *", head(pseudo(b"OPTIONS", b"*")), served(b"OPTIONS * ")),
    Row("4.3.1h a query", changed(path=b"/a?b=/c?d"), served(b"GET /a?b=/c?d ")),
    *(Row(f"4.3.1i :method {value!r}", head(pseudo(value)), MALFORMED)
      for value in (b"", b"G T", b"GET / HTTP/1.1\r\n", b"G(T")),
    *(Row(f"4.3.1j :method {value.decode()}", head(pseudo(value)), refused(501)) for value in (b"BREW", b"get")),
    Row("4.3.1k a path that is too long", changed(path=b"/" + b"a" * 9000), refused(414)),
]  # fmt: skip

CONNECTS = [
    Row("4.4a CONNECT is not served", head(CONNECT), refused(501)),
    Row("4.4b CONNECT with :path", head([*CONNECT, (b":path", b"/")]), MALFORMED),
    Row("4.4b CONNECT with :scheme", head([*CONNECT, (b":scheme", b"https")]), MALFORMED),
    Row("4.4b CONNECT without :authority", head(CONNECT[:1]), MALFORMED),
    control("9220-3a ENABLE_CONNECT_PROTOCOL of a client", settings((8, 1)), IGNORED),
    control("9220-3a 0", settings((8, 0)), IGNORED),
    control("9220-3b neither 0 nor 1", settings((8, 2)), connection(H3_SETTINGS_ERROR)),
    Row("9220-3c :protocol without CONNECT", head([*pseudo(), (b":protocol", b"websocket")]), MALFORMED),
    *(Row(f"9220-3d a session without {name.decode()}", head([pair for pair in SESSION if pair[0] != name]), MALFORMED)
      for name in (b":scheme", b":path", b":authority")),
    Row("9220-3e :protocol twice", head([*SESSION, (b":protocol", b"websocket")]), MALFORMED),
    Row("9220-3e :protocol is no token", head([*pseudo(b"CONNECT"), (b":protocol", b"a b")]), MALFORMED),
    Row("9220-3e :protocol is empty", head([*pseudo(b"CONNECT"), (b":protocol", b"")]), MALFORMED),
    Row("9220-3f a protocol that is not served", head([*pseudo(b"CONNECT"), (b":protocol", b"webtransport")]),
        refused(501)),
    Row("9220-3f sessions where there are none", head(SESSION), refused(501)),
]  # fmt: skip

SIZES = [
    Row("4.2.2d HEADERS of the announced size are read by it alone", varint(HEADERS) + varint(32769), refused(431),
        ends=False),
    Row("4.2.2e a large body", post() + frame(DATA, bytes(100_000)), served(b"POST / " + bytes(100_000))),
]  # fmt: skip

ROWS = [*LENGTHS, *FIELDS, *PSEUDO, *CONNECTS, *SIZES]


@parametrize(ROWS)
def test_row(row: Row) -> None:
    row.check()


class Session(Exchange):
    """A session that says nothing and remembers how it ended."""

    def __init__(self) -> None:
        self.ends = 0

    def start(self) -> None:
        pass

    def on_body(self, data: bytes, more: bool) -> None:
        pass

    def on_disconnect(self) -> None:
        self.ends += 1


class OneSession(Application):
    """Opens the same session for every request."""

    def __init__(self) -> None:
        self.session = Session()

    def open(self, sink: Sink, request: Request) -> Exchange:
        return self.session


@pytest.mark.parametrize(("said", "is_fault"), [(data(b"x"), False), (frame(GREASE), False), (get(), True)])
def test_rule_4_4c_sessions_have_data_alone(said: bytes, is_fault: bool) -> None:
    wire = H3Wire(answer)
    application = wire.host.application = OneSession()
    wire.send(0, head(SESSION) + said)
    assert (wire.engine.closed is not None) == is_fault
    if wire.engine.closed is not None:
        assert wire.engine.closed[0] == H3_FRAME_UNEXPECTED
    wire.hang_up()
    assert application.session.ends == 1
