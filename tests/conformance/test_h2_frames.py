"""RFC 9113 sections 3.4, 4, 5 and 6: what a server must make of malformed frames and of frames out of turn."""

import struct

from fastserver._speedups.contract import H2Limits
from tests.conformance.h2cases import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    IGNORED,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH,
    REFUSED_STREAM,
    RST,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW,
    WITH_PRIORITY,
    Row,
    block,
    connection,
    data,
    frame,
    get,
    parametrize,
    post,
    priority,
    pseudo,
    rst,
    served,
    settings,
    stream,
    trailers,
    window,
)
from tests.h2wire import PREFACE

UNKNOWN = 0x16
FIELDS = block(pseudo())
LARGEST = 2**31 - 1
#: The states of stream 1: half-closed (remote), and closed in each of the ways there are.
WAITING = get(path=b"/wait")
OPEN = post(path=b"/wait")
#: Its body is read by nobody: the client has no window for what it is answered.
STUCK = settings((4, 0)) + post(path=b"/stuck")
RESET_BY_CLIENT = OPEN + rst()
RESET_BY_SERVER = post((b"content-length", b"1000000"), path=b"/now")
RESET_WHILE_WAITING = WAITING + rst()
ENDED = get()
CONTINUED = frame(CONTINUATION, END_HEADERS, 1, FIELDS)
PIECES = [FIELDS[:1], FIELDS[1:9], FIELDS[9:]]

PREFACES = [
    Row("3.4a a preface that differs", b"GET / HTTP/2.0\r\n\r\nSM\r\n\r\n", connection(PROTOCOL_ERROR), b""),
    Row("3.4a its last octet differs", PREFACE[:-1] + b"\r" + settings(), connection(PROTOCOL_ERROR), b""),
    Row("3.4b first frame is PING", PREFACE + frame(PING, 0, 0, bytes(8)), connection(PROTOCOL_ERROR), b""),
    Row("3.4b first frame is HEADERS", PREFACE + get(), connection(PROTOCOL_ERROR), b""),
    Row("3.4b first frame is an acknowledgement", PREFACE + settings(flags=ACK), connection(PROTOCOL_ERROR), b""),
    Row("3.4c a request at once", PREFACE + settings() + get(), served(b"GET / "), b""),
]

FORMAT = [
    Row("4.1a unknown type on stream 0", frame(UNKNOWN, 0xFF, 0, b"x" * 8), IGNORED),
    Row("4.1a unknown type on an idle stream", frame(UNKNOWN, 0, 1, b""), IGNORED),
    Row("4.1b undefined flags of PING", frame(PING, 0xFE, 0, bytes(8)), IGNORED),
    Row("4.1b undefined flags of HEADERS", frame(HEADERS, END_STREAM | END_HEADERS | 0xD2, 1, FIELDS), served()),
    Row("4.1b undefined flags of DATA", post() + frame(DATA, END_STREAM | 0xF6, 1, b"a"), served(b"POST / a")),
    Row("4.1c reserved bit before the stream", frame(PING, 0, 1 << 31, bytes(8)), IGNORED),
    Row("4.1c reserved bit of a request", frame(HEADERS, END_STREAM | END_HEADERS, (1 << 31) + 1, FIELDS), served()),
    Row("4.2a DATA as large as allowed", post() + data(b"x" * 16384, True), served(b"POST / " + b"x" * 16384)),
    Row("4.2b DATA too large", post() + data(b"x" * 16385, True), connection(FRAME_SIZE_ERROR)),
    Row("4.2c HEADERS too large", frame(HEADERS, 5, 1, FIELDS + bytes(16384)), connection(FRAME_SIZE_ERROR)),
    Row("4.2d SETTINGS too large", settings(*[(0xFF, 0)] * 2731), connection(FRAME_SIZE_ERROR)),
    Row("4.2e PING too large", frame(PING, 0, 0, bytes(16385)), connection(FRAME_SIZE_ERROR)),
    Row("4.2e an unknown type too large", frame(UNKNOWN, 0, 0, bytes(16385)), connection(FRAME_SIZE_ERROR)),
]

INSIDE_BLOCK = [
    Row(
        f"4.3b {name} within a field block",
        frame(HEADERS, END_STREAM, 1, FIELDS[:9]) + octets,
        connection(PROTOCOL_ERROR),
    )
    for name, octets in {
        "DATA": data(b"x"),
        "HEADERS of the same stream": get(),
        "HEADERS of another stream": get(stream=3),
        "PRIORITY": priority(1),
        "RST_STREAM": rst(),
        "SETTINGS": settings(),
        "PUSH_PROMISE": frame(PUSH, END_HEADERS, 1, bytes(4) + FIELDS),
        "PING": frame(PING, 0, 0, bytes(8)),
        "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)),
        "WINDOW_UPDATE": window(0, 1),
        "CONTINUATION of another stream": frame(CONTINUATION, END_HEADERS, 3, FIELDS[9:]),
        "an unknown type": frame(UNKNOWN, 0, 1),
    }.items()
]

IDLE = [
    Row("5.1a DATA, idle", data(b"x"), connection(PROTOCOL_ERROR)),
    Row("5.1a RST_STREAM, idle", rst(), connection(PROTOCOL_ERROR)),
    Row("5.1a WINDOW_UPDATE, idle", window(1, 1), connection(PROTOCOL_ERROR)),
    Row("5.1a CONTINUATION, idle", CONTINUED, connection(PROTOCOL_ERROR)),
    Row("5.1a DATA, idle, behind other streams", get(stream=3) + data(b"x", stream=5), connection(PROTOCOL_ERROR)),
    Row("5.1a WINDOW_UPDATE on a stream that a server would open", window(2, 1), connection(PROTOCOL_ERROR)),
    Row("5.1b PRIORITY, idle", priority(5), IGNORED),
]

HALF_CLOSED = [
    Row("5.1c DATA, half-closed", WAITING + data(b"x"), stream(STREAM_CLOSED)),
    Row("5.1c empty DATA, half-closed", WAITING + data(ends=True), stream(STREAM_CLOSED)),
    Row("5.1c DATA behind a body that has ended", OPEN + data(b"x", True) + data(b"y"), stream(STREAM_CLOSED)),
    Row("5.1c HEADERS, half-closed", WAITING + trailers((b"a", b"b")), stream(STREAM_CLOSED)),
    Row("5.1c a second request, half-closed", WAITING + get(), stream(STREAM_CLOSED)),
    Row("5.1d CONTINUATION, half-closed", WAITING + CONTINUED, connection(PROTOCOL_ERROR, STREAM_CLOSED)),
    Row("5.1e WINDOW_UPDATE, half-closed", WAITING + window(1, 1), IGNORED),
    Row("5.1e PRIORITY, half-closed", WAITING + priority(1), IGNORED),
    Row("5.1e RST_STREAM, half-closed", WAITING + rst(), IGNORED),
]

CLOSED = [
    Row("5.1f DATA, reset by the client", RESET_BY_CLIENT + data(b"x"), stream(STREAM_CLOSED)),
    Row("5.1f HEADERS, reset by the client", RESET_BY_CLIENT + trailers((b"a", b"b")), stream(STREAM_CLOSED)),
    Row("5.1f HEADERS, reset when half-closed", RESET_WHILE_WAITING + get(), stream(STREAM_CLOSED)),
    Row("5.1f CONTINUATION, reset", RESET_BY_CLIENT + CONTINUED, connection(PROTOCOL_ERROR, STREAM_CLOSED)),
    Row("5.1g DATA, ended", ENDED + data(b"x"), stream(STREAM_CLOSED)),
    Row("5.1g HEADERS, ended", ENDED + get(), connection(STREAM_CLOSED)),
    Row("5.1g CONTINUATION, ended", ENDED + CONTINUED, connection(PROTOCOL_ERROR, STREAM_CLOSED)),
    Row("5.1h WINDOW_UPDATE, ended", ENDED + window(1, 1), served()),
    Row("5.1h RST_STREAM, ended", ENDED + rst(), served()),
    Row("5.1h PRIORITY, ended", ENDED + priority(1), served()),
    Row("5.1h WINDOW_UPDATE, reset by the client", RESET_BY_CLIENT + window(1, 1), IGNORED),
    Row("5.1h RST_STREAM, reset by the client", RESET_BY_CLIENT + rst(), IGNORED),
    Row("5.1h PRIORITY, reset by the client", RESET_BY_CLIENT + priority(1), IGNORED),
    # What was on its way when the server's RST_STREAM was: taken and thrown away, and not answered by another one.
    Row("5.1i DATA, reset by the server", RESET_BY_SERVER + data(b"x") + data(b"y", True), stream(0)),
    Row("5.1i HEADERS, reset by the server", RESET_BY_SERVER + trailers((b"a", b"b")), stream(0)),
    Row("5.1i WINDOW_UPDATE, reset by the server", RESET_BY_SERVER + window(1, 1), stream(0)),
    Row("5.1i RST_STREAM, reset by the server", RESET_BY_SERVER + rst(), stream(0)),
]

IDENTIFIERS = [
    Row("5.1.1a an even number", get(stream=2), connection(PROTOCOL_ERROR)),
    Row("5.1.1b lower than one before", get(stream=5) + get(stream=3), connection(PROTOCOL_ERROR)),
    Row("5.1.1b DATA on one that was passed over", get(stream=5) + data(b"x", stream=3), stream(STREAM_CLOSED, 3)),
    Row("5.1.1c used again", get(stream=5) + get(stream=5), connection(PROTOCOL_ERROR, STREAM_CLOSED)),
    Row("5.1.1d some left out", get(stream=77), served(stream=77)),
    Row(
        "5.1.2a more streams than allowed",
        b"".join(get(stream=number, path=b"/wait") for number in (1, 3, 5)) + rst(1) + rst(3),
        stream(REFUSED_STREAM, 5),
        wire={"h2": H2Limits(streams=2)},
    ),
]

ERRORS = [
    Row("5.4.1a GOAWAY, then the end", WAITING + frame(PING, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
    Row("5.4.2a no reset answers a reset", WAITING + rst() + rst() + rst(code=0xABCD), IGNORED),
    Row(
        "5.5a unknown type on an open stream",
        post() + frame(UNKNOWN, 1, 1, b"x") + data(b"a", True),
        served(b"POST / a"),
    ),
    Row("5.5b unknown setting", settings((0xFFFF, 7)) + get(), served()),
    Row("7a unknown code in RST_STREAM", WAITING + rst(code=0xDEADBEEF), IGNORED),
]

BODIES = [
    Row("6.1a DATA on stream 0", data(b"x", stream=0), connection(PROTOCOL_ERROR)),
    Row("6.1b padding as long as the payload", post() + frame(DATA, PADDED, 1, b"\x02a"), connection(PROTOCOL_ERROR)),
    Row("6.1b padding longer", post() + frame(DATA, PADDED, 1, b"\xffabc"), connection(PROTOCOL_ERROR)),
    Row("6.1c no Pad Length", post() + frame(DATA, PADDED, 1), connection(FRAME_SIZE_ERROR)),
    Row("6.1d nothing but padding", post() + frame(DATA, PADDED | END_STREAM, 1, b"\x02\0\0"), served(b"POST / ")),
    Row("6.1d padding of no octets", post() + frame(DATA, PADDED | END_STREAM, 1, b"\x00a"), served(b"POST / a")),
]

HEADS = [
    Row("6.2a HEADERS on stream 0", get(stream=0), connection(PROTOCOL_ERROR)),
    Row("6.2b padding longer", frame(HEADERS, 5 | PADDED, 1, b"\xff" + FIELDS), connection(PROTOCOL_ERROR)),
    Row(
        "6.2b padding over the priority",
        frame(HEADERS, 5 | PADDED | WITH_PRIORITY, 1, b"\x06" + bytes(10)),
        connection(PROTOCOL_ERROR),
    ),
    Row("6.2c no Pad Length", frame(HEADERS, 5 | PADDED, 1), connection(FRAME_SIZE_ERROR)),
    Row("6.2c no room for the priority", frame(HEADERS, 5 | WITH_PRIORITY, 1, bytes(4)), connection(FRAME_SIZE_ERROR)),
    Row(
        "6.2d padding and priority",
        frame(HEADERS, 5 | PADDED | WITH_PRIORITY, 1, b"\x02" + bytes(5) + FIELDS + b"\0\0"),
        served(),
    ),
    Row(
        "6.2e depends on itself",
        frame(HEADERS, 5 | WITH_PRIORITY, 1, b"\0\0\0\x01\x00" + FIELDS),
        stream(PROTOCOL_ERROR),
    ),
    Row(
        "6.2e depends on itself, block in pieces",
        frame(HEADERS, END_STREAM | WITH_PRIORITY, 1, b"\x80\0\0\x01\x00" + FIELDS[:9])
        + frame(CONTINUATION, END_HEADERS, 1, FIELDS[9:]),
        stream(PROTOCOL_ERROR),
    ),
    Row("6.3a PRIORITY on stream 0", priority(0, 1), connection(PROTOCOL_ERROR)),
    Row("6.3b too short", OPEN + frame(PRIORITY, 0, 1, bytes(4)), stream(FRAME_SIZE_ERROR)),
    Row("6.3b too long", OPEN + frame(PRIORITY, 0, 1, bytes(6)), stream(FRAME_SIZE_ERROR)),
    # An idle stream cannot be reset (section 6.4), so that only the connection is left.
    Row("6.3b too short, idle", frame(PRIORITY, 0, 3, bytes(4)), connection(FRAME_SIZE_ERROR)),
    Row("6.3b too short, closed", ENDED + frame(PRIORITY, 0, 1, bytes(4)), served()),
    Row("6.3c depends on itself", OPEN + priority(1, 1), stream(PROTOCOL_ERROR)),
    Row("6.3c depends on itself, idle", priority(3, 3), connection(PROTOCOL_ERROR)),
]

RESETS = [
    Row("6.4a RST_STREAM on stream 0", rst(0), connection(PROTOCOL_ERROR)),
    Row("6.4b on an idle stream", rst(3), connection(PROTOCOL_ERROR)),
    Row("6.4c too short", OPEN + frame(RST, 0, 1, bytes(3)), connection(FRAME_SIZE_ERROR)),
    Row("6.4c too long", OPEN + frame(RST, 0, 1, bytes(5)), connection(FRAME_SIZE_ERROR)),
]

OTHERS = [
    Row("6.5a acknowledgement with a payload", settings((1, 1), flags=ACK), connection(FRAME_SIZE_ERROR)),
    Row("6.5b on a stream", settings(stream=1), connection(PROTOCOL_ERROR)),
    Row("6.5c not a multiple of six", frame(SETTINGS, 0, 0, bytes(5)), connection(FRAME_SIZE_ERROR)),
    Row("6.5.2a ENABLE_PUSH of 2", settings((2, 2)), connection(PROTOCOL_ERROR)),
    Row("6.5.2b INITIAL_WINDOW_SIZE of 2^31", settings((4, 1 << 31)), connection(FLOW_CONTROL_ERROR)),
    Row("6.5.2b INITIAL_WINDOW_SIZE of 2^31-1", settings((4, LARGEST)) + get(), served()),
    Row("6.5.2c MAX_FRAME_SIZE below 2^14", settings((5, 16383)), connection(PROTOCOL_ERROR)),
    Row("6.5.2c MAX_FRAME_SIZE above 2^24-1", settings((5, 1 << 24)), connection(PROTOCOL_ERROR)),
    Row("6.5.2c MAX_FRAME_SIZE at its ends", settings((5, 16384), (5, (1 << 24) - 1)) + get(), served()),
    Row(
        "6.6a PUSH_PROMISE",
        OPEN + frame(PUSH, END_HEADERS, 1, struct.pack("!I", 2) + FIELDS),
        connection(PROTOCOL_ERROR),
    ),
    Row(
        "6.6a PUSH_PROMISE on stream 0",
        frame(PUSH, END_HEADERS, 0, struct.pack("!I", 2) + FIELDS),
        connection(PROTOCOL_ERROR),
    ),
    Row("6.7a PING on a stream", frame(PING, 0, 1, bytes(8)), connection(PROTOCOL_ERROR)),
    Row("6.7b too short", frame(PING, 0, 0, bytes(6)), connection(FRAME_SIZE_ERROR)),
    Row("6.7b too long", frame(PING, 0, 0, bytes(9)), connection(FRAME_SIZE_ERROR)),
    Row("6.8a GOAWAY on a stream", OPEN + frame(GOAWAY, 0, 1, bytes(8)), connection(PROTOCOL_ERROR)),
    Row("6.8b too short", frame(GOAWAY, 0, 0, bytes(7)), connection(FRAME_SIZE_ERROR)),
    Row("8441-3a ENABLE_CONNECT_PROTOCOL of 2", settings((8, 2)), connection(PROTOCOL_ERROR)),
]

WINDOWS = [
    Row("6.9a by 0, connection", window(0, 0), connection(PROTOCOL_ERROR)),
    Row("6.9b by 0, stream", OPEN + window(1, 0), stream(PROTOCOL_ERROR)),
    Row("6.9b by 0, closed stream", ENDED + window(1, 0), served()),
    Row("6.9c too short", frame(WINDOW, 0, 0, bytes(3)), connection(FRAME_SIZE_ERROR)),
    Row("6.9c too long, stream", OPEN + frame(WINDOW, 0, 1, bytes(5)), connection(FRAME_SIZE_ERROR)),
    Row("6.9d reserved bit", frame(WINDOW, 0, 0, b"\x80\0\0\x01"), IGNORED),
    Row("6.9.1a over 2^31-1, connection", window(0, LARGEST), connection(FLOW_CONTROL_ERROR)),
    Row("6.9.1b over 2^31-1, stream", OPEN + window(1, LARGEST), stream(FLOW_CONTROL_ERROR)),
    Row(
        "6.9.1c DATA over the stream's window",
        STUCK + data(b"x" * 16384) * 5,
        connection(FLOW_CONTROL_ERROR),
        wire={"h2": H2Limits(stream_window=70000, connection_window=200000)},
    ),
    Row(
        "6.9.1c DATA over the connection's window",
        STUCK + post(stream=3, path=b"/stuck") + (data(b"x" * 16384) + data(b"x" * 16384, stream=3)) * 3,
        connection(FLOW_CONTROL_ERROR),
        wire={"h2": H2Limits(stream_window=65535, connection_window=65535)},
    ),
    Row(
        "6.9.1c padding counts",
        STUCK + data(b"x" * 16384) * 3 + data(b"x" * 16373) + frame(DATA, PADDED, 1, b"\x14a" + bytes(20)),
        connection(FLOW_CONTROL_ERROR),
        wire={"h2": H2Limits(stream_window=65535, connection_window=200000)},
    ),
    Row(
        "6.9.2a a setting takes a window over 2^31-1",
        settings((4, 1000)) + OPEN + window(1, LARGEST - 1000) + settings((4, 1001)),
        connection(FLOW_CONTROL_ERROR),
    ),
    Row(
        "6.9.3a DATA before the client knows a smaller window",
        settings() + post() + data(b"x" * 5000, True),
        served(b"POST / " + b"x" * 5000),
        PREFACE,
        {"h2": H2Limits(stream_window=1000)},
    ),
    Row(
        "6.9.3b and once it knows",
        STUCK + data(b"x" * 1001),
        connection(FLOW_CONTROL_ERROR),
        wire={"h2": H2Limits(stream_window=1000)},
    ),
]

BLOCKS = [
    Row(
        "6.10a a block in pieces",
        frame(HEADERS, END_STREAM, 1, PIECES[0])
        + frame(CONTINUATION, 0, 1, PIECES[1])
        + frame(CONTINUATION, END_HEADERS, 1, PIECES[2]),
        served(b"GET / "),
    ),
    Row(
        "6.10b CONTINUATION on stream 0",
        frame(HEADERS, END_STREAM, 1, PIECES[0]) + frame(CONTINUATION, END_HEADERS, 0, FIELDS[1:]),
        connection(PROTOCOL_ERROR),
    ),
    Row("6.10c behind END_HEADERS", OPEN + CONTINUED, connection(PROTOCOL_ERROR)),
    Row("6.10c behind DATA", post() + data(b"x") + CONTINUED, connection(PROTOCOL_ERROR)),
    Row(
        "6.10c behind a CONTINUATION that ended the block",
        frame(HEADERS, 0, 1, FIELDS[:9]) + frame(CONTINUATION, END_HEADERS, 1, FIELDS[9:]) + CONTINUED,
        connection(PROTOCOL_ERROR),
    ),
]

ROWS = [
    *PREFACES, *FORMAT, *INSIDE_BLOCK, *IDLE, *HALF_CLOSED, *CLOSED, *IDENTIFIERS, *ERRORS, *BODIES, *HEADS, *RESETS,
    *OTHERS, *WINDOWS, *BLOCKS,
]  # fmt: skip


@parametrize(ROWS)
def test_row(row: Row) -> None:
    row.check()
