"""RFC 9114 sections 4.1, 6 and 7, and RFC 9204: frames, lanes and field sections in wrong places or of wrong forms."""

import pytest

from tests.conformance.h3cases import (
    CANCEL_PUSH,
    CONTROL,
    DATA,
    DECODER,
    ENCODER,
    GOAWAY,
    GREASE,
    H3_CLOSED_CRITICAL_STREAM,
    H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR,
    H3_FRAME_UNEXPECTED,
    H3_ID_ERROR,
    H3_MESSAGE_ERROR,
    H3_MISSING_SETTINGS,
    H3_REQUEST_INCOMPLETE,
    H3_SETTINGS_ERROR,
    H3_STREAM_CREATION_ERROR,
    HEADERS,
    IGNORED,
    MAX_PUSH_ID,
    PUSH,
    PUSH_PROMISE,
    QPACK_DECODER_STREAM_ERROR,
    QPACK_DECOMPRESSION_FAILED,
    QPACK_ENCODER_STREAM_ERROR,
    SETTINGS,
    Row,
    connection,
    control,
    data,
    frame,
    get,
    head,
    lane,
    line,
    parametrize,
    post,
    pseudo,
    section,
    served,
    settings,
    stream,
    varint,
)

UNEXPECTED = connection(H3_FRAME_UNEXPECTED)
BROKEN = connection(H3_FRAME_ERROR)
GREASED = frame(GREASE, b"grease")
NOBODY = b"GET / "
TRAILERS = head([(b"x", b"y")])


def qpack(octets: bytes) -> bytes:
    """A request whose field section goes on with `octets`."""
    return head(pseudo(), octets)


def prefixed(octets: bytes) -> bytes:
    """A request whose field section has another prefix."""
    return frame(HEADERS, octets + section(pseudo())[2:])


FRAMES = [
    Row("4.1a head, body, trailers", post() + data(b"a") + data(b"b") + TRAILERS, served(b"POST / ab")),
    Row("4.1a head and trailers", post() + TRAILERS, served(b"POST / ")),
    Row("4.1b DATA first", data(b"a"), UNEXPECTED),
    Row("4.1b empty DATA first", data(), UNEXPECTED),
    Row("4.1c HEADERS behind the trailers", post() + TRAILERS + TRAILERS, UNEXPECTED),
    Row("4.1c DATA behind the trailers", post() + data(b"a") + TRAILERS + data(b"b"), UNEXPECTED),
    Row("4.1c empty DATA behind the trailers", post() + TRAILERS + data(), UNEXPECTED),
    Row("4.1d a second head", post() + post(), stream(H3_MESSAGE_ERROR)),
    Row("4.1e unknown frames before the head", GREASED + get(), served(NOBODY)),
    Row("4.1e unknown frames behind the head", get() + GREASED, served(NOBODY)),
    Row("4.1e unknown frames in a body", post() + data(b"a") + GREASED + data(b"b") + GREASED, served(b"POST / ab")),
    Row("4.1e unknown frames behind the trailers", post() + TRAILERS + GREASED, served(b"POST / ")),
    Row("4.1e empty unknown frames", frame(GREASE) + post() + frame(GREASE) + data(b"a"), served(b"POST / a")),
    Row("4.1f no head", b"", stream(H3_REQUEST_INCOMPLETE)),
    Row("4.1f nothing but unknown frames", GREASED, stream(H3_REQUEST_INCOMPLETE)),
    Row("7.1a a stream that ends within a type", b"\x40", BROKEN),
    Row("7.1a a stream that ends within a length", b"\x01", BROKEN),
    Row("7.1a a stream that ends within HEADERS", get()[:-1], BROKEN),
    Row("7.1a a stream that ends within DATA", post(path=b"/wait") + data(b"abc")[:-1], BROKEN),
    Row("7.1a a stream that ends before DATA", post(path=b"/wait") + b"\x00\x03", BROKEN),
    Row("7.1a a stream that ends within trailers", post(path=b"/wait") + TRAILERS[:-1], BROKEN),
    Row("7.1a a stream that ends within an unknown frame", get(path=b"/wait") + GREASED[:-1], BROKEN),
    Row("7.1b types and lengths of more bytes than they need", b"\x40\x01\x80\0\0" + get()[1:], served(NOBODY)),
    Row("7.1b of eight", b"\xc0\0\0\0\0\0\0\x01\xc0\0\0\0\0\0\0" + get()[1:], served(NOBODY)),
    control("7.1c SETTINGS whose identifier is cut", frame(SETTINGS, b"\x40"), BROKEN),
    control("7.1c SETTINGS whose value is cut", frame(SETTINGS, b"\x06\x80\0"), BROKEN),
    control("7.1c SETTINGS without a value", frame(SETTINGS, b"\x06"), BROKEN),
    control("7.1c empty GOAWAY", settings() + frame(GOAWAY), BROKEN),
    control("7.1c GOAWAY that is cut", settings() + frame(GOAWAY, b"\x40"), BROKEN),
    control("7.1c GOAWAY with more", settings() + frame(GOAWAY, b"\0\0"), BROKEN),
    control("7.1c empty MAX_PUSH_ID", settings() + frame(MAX_PUSH_ID), BROKEN),
    control("7.1c MAX_PUSH_ID with more", settings() + frame(MAX_PUSH_ID, b"\0\0"), BROKEN),
    control("7.1c empty CANCEL_PUSH", settings() + frame(CANCEL_PUSH), BROKEN),
    control("7.1c CANCEL_PUSH with more", settings() + frame(CANCEL_PUSH, b"\0\0"), BROKEN),
    control("7.2.1a DATA on the control stream", settings() + data(b"a"), UNEXPECTED),
    control("7.2.2a HEADERS on the control stream", settings() + get(), UNEXPECTED),
    control("7.2.3a CANCEL_PUSH of what was not promised",
            settings() + frame(CANCEL_PUSH, b"\0"), connection(H3_ID_ERROR)),
    Row("7.2.3b CANCEL_PUSH on a request stream", get(path=b"/wait") + frame(CANCEL_PUSH, b"\0"), UNEXPECTED),
    control("7.2.4a SETTINGS twice", settings() + settings(), UNEXPECTED),
    Row("7.2.4b SETTINGS on a request stream", settings() + get(), UNEXPECTED),
    control("7.2.4c unknown settings", settings((GREASE, 7), (0x33, 1), (GREASE << 40, 1 << 60)), IGNORED),
    control("7.2.4d a setting twice", settings((6, 9), (6, 9)), connection(H3_SETTINGS_ERROR)),
    control("7.2.4d an unknown setting twice", settings((GREASE, 1), (GREASE, 2)), connection(H3_SETTINGS_ERROR)),
    *(
        control(f"7.2.4.1a setting {name} is HTTP/2's", settings((name, 1)), connection(H3_SETTINGS_ERROR))
        for name in (0, 2, 3, 4, 5)
    ),
    control("7.2.4.1b the settings that there are", settings((1, 4096), (6, 0), (7, 16), (8, 1)), IGNORED),
    control("7.2.4.1b values of any size", settings((1, (1 << 62) - 1), (6, (1 << 62) - 1)), IGNORED),
    control("7.2.5a PUSH_PROMISE on the control stream", settings() + frame(PUSH_PROMISE, b"\0\0\0"), UNEXPECTED),
    Row("7.2.5b PUSH_PROMISE of a client", get(path=b"/wait") + frame(PUSH_PROMISE, b"\0\0\0"), UNEXPECTED),
    control("7.2.6a GOAWAY that grows",
            settings() + frame(GOAWAY, b"\x04") + frame(GOAWAY, b"\x05"), connection(H3_ID_ERROR)),
    control("7.2.6b GOAWAYs that do not",
            settings() + frame(GOAWAY, b"\x40\x40") + frame(GOAWAY, b"\x03") * 2, IGNORED),
    Row("7.2.6c GOAWAY on a request stream", get(path=b"/wait") + frame(GOAWAY, b"\0"), UNEXPECTED),
    control("7.2.7a MAX_PUSH_ID that shrinks",
            settings() + frame(MAX_PUSH_ID, b"\x04") + frame(MAX_PUSH_ID, b"\x03"), connection(H3_ID_ERROR)),
    control("7.2.7b MAX_PUSH_IDs that do not",
            settings() + frame(MAX_PUSH_ID, b"\x04") * 2 + frame(MAX_PUSH_ID, b"\x06"), IGNORED),
    Row("7.2.7c MAX_PUSH_ID on a request stream", get(path=b"/wait") + frame(MAX_PUSH_ID, b"\0"), UNEXPECTED),
    *(
        row
        for kind in (0x2, 0x6, 0x8, 0x9)
        for row in (
            Row(f"7.2.8a frame {kind} of HTTP/2 on a request stream", get(path=b"/wait") + frame(kind), UNEXPECTED),
            Row(f"7.2.8a frame {kind} of HTTP/2 first", frame(kind), UNEXPECTED),
            control(f"7.2.8a frame {kind} of HTTP/2 on the control stream", settings() + frame(kind), UNEXPECTED),
        )
    ),
    control("7.2.8b reserved frames on the control stream", settings() + GREASED + frame(GREASE + 0x1F), IGNORED),
    Row("7.2.8b a large reserved type", varint((1 << 62) - 25) + b"\x03abc" + get(), served(NOBODY)),
    control("10.5a a frame that is larger than any of its kind",
            settings() + b"\x07\x80\x10\0\0", connection(H3_EXCESSIVE_LOAD)),
    control("10.5a SETTINGS above the limit", b"\x04\x44\x01", connection(H3_EXCESSIVE_LOAD)),
    control("10.5b settings beyond number",
            settings(*((GREASE + n, 1) for n in range(65))), connection(H3_EXCESSIVE_LOAD)),
    control("10.5b as many as may come", settings(*((GREASE + n, 1) for n in range(64))), IGNORED),
]  # fmt: skip

LANES = [
    control("6.2.1a no SETTINGS first", frame(GOAWAY, b"\0"), connection(H3_MISSING_SETTINGS)),
    control("6.2.1a DATA first", data(), connection(H3_MISSING_SETTINGS)),
    control("6.2.1a an unknown frame first", GREASED, connection(H3_MISSING_SETTINGS)),
    lane("6.2.1b a second control stream", varint(CONTROL), connection(H3_STREAM_CREATION_ERROR)),
    control("6.2.1c the control stream ends", settings(), connection(H3_CLOSED_CRITICAL_STREAM), ends=True),
    control("6.2.1c the control stream ends at once", b"", connection(H3_CLOSED_CRITICAL_STREAM), ends=True),
    control("6.2.1c within a frame", settings() + b"\x07", connection(H3_CLOSED_CRITICAL_STREAM), ends=True),
    Row("6.2.1d requests may come before SETTINGS", get(), served(NOBODY), hello=b""),
    lane("6.2.2a a client's push stream", varint(PUSH) + b"\0", connection(H3_STREAM_CREATION_ERROR)),
    lane("6.2.3a a reserved type", varint(GREASE) + b"anything at all", IGNORED),
    lane("6.2.3a a reserved type, ended", varint(GREASE) + b"anything at all", IGNORED, ends=True),
    lane("6.2.3a an unknown type", varint(0x54) + b"WebTransport's", IGNORED, ends=True),
    lane("6.2a a lane that ends before its type", b"", IGNORED, ends=True),
    lane("6.2a a lane that ends within its type", b"\x80\x00", IGNORED, ends=True),
    lane("6.2b a type of more bytes than it needs", b"\x40\x02\x20", IGNORED),
    lane("9204-4.2a a second encoder stream", varint(ENCODER), connection(H3_STREAM_CREATION_ERROR),
         hello=varint(ENCODER)),
    lane("9204-4.2a a second decoder stream", varint(DECODER), connection(H3_STREAM_CREATION_ERROR),
         hello=varint(DECODER)),
    lane("9204-4.2b the encoder stream ends", varint(ENCODER), connection(H3_CLOSED_CRITICAL_STREAM), ends=True),
    lane("9204-4.2b the decoder stream ends", varint(DECODER), connection(H3_CLOSED_CRITICAL_STREAM), ends=True),
    lane("9204-4.2c an encoder stream without a word", varint(ENCODER), IGNORED),
    lane("9204-4.2c a decoder stream without a word", varint(DECODER), IGNORED),
    lane("9204-4.3.1a a capacity above the setting", varint(ENCODER) + b"\x21", connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.3.1a a large one", varint(ENCODER) + b"\x3f\xe1\x1f", connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.3.1b a capacity of 0", varint(ENCODER) + b"\x20\x20", IGNORED),
    lane("9204-4.3.2a an insertion with a static name", varint(ENCODER) + b"\xc0\x01a",
         connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.3.2a with a dynamic name", varint(ENCODER) + b"\x80\x01a", connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.3.3a an insertion with a literal name", varint(ENCODER) + b"\x41a\x01b",
         connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.3.4a a duplicate", varint(ENCODER) + b"\x00", connection(QPACK_ENCODER_STREAM_ERROR)),
    lane("9204-4.4.1a an acknowledgment of a section", varint(DECODER) + b"\x80",
         connection(QPACK_DECODER_STREAM_ERROR)),
    lane("9204-4.4.2a a stream cancellation", varint(DECODER) + b"\x40\x7f\x81\x01", IGNORED),
    lane("9204-4.4.3a an increment by 0", varint(DECODER) + b"\x00", connection(QPACK_DECODER_STREAM_ERROR)),
    lane("9204-4.4.3b an increment beyond what was inserted", varint(DECODER) + b"\x01",
         connection(QPACK_DECODER_STREAM_ERROR)),
    lane("9204-4.1.1b an integer without end on the decoder stream", varint(DECODER) + b"\x7f" + b"\xff" * 12,
         connection(QPACK_DECODER_STREAM_ERROR)),
]  # fmt: skip

UNREADABLE = connection(QPACK_DECOMPRESSION_FAILED)
SECTIONS = [
    Row("9204-2.2.3a a Required Insert Count above 0", prefixed(b"\x01\x00"), UNREADABLE),
    Row("9204-2.2.3a a large one", prefixed(b"\xff\x01\x00"), UNREADABLE),
    Row("9204-4.5.1a a section without a prefix", frame(HEADERS), UNREADABLE),
    Row("9204-4.5.1a half a prefix", frame(HEADERS, b"\0"), UNREADABLE),
    Row("9204-4.5.1b a negative Base", prefixed(b"\x00\x80"), UNREADABLE),
    Row("9204-4.5.1c a Base above 0", prefixed(b"\x00\x05"), served(NOBODY)),
    Row("9204-3.1a an index beyond the static table", qpack(b"\xff\x24"), UNREADABLE),
    Row("9204-3.1a the last index", qpack(b"\xff\x23"), served(NOBODY)),
    Row("9204-3.1b a name beyond the static table", qpack(b"\x5f\x54\x01a"), UNREADABLE),
    Row("9204-4.5.2a an index of the dynamic table", qpack(b"\x80"), UNREADABLE),
    Row("9204-4.5.3a an index behind the Base", qpack(b"\x10"), UNREADABLE),
    Row("9204-4.5.4a a name of the dynamic table", qpack(b"\x40\x01a"), UNREADABLE),
    Row("9204-4.5.4b a name of the static table", qpack(b"\x5f\x50\x01a"), served(NOBODY)),
    Row("9204-4.5.5a a name behind the Base", qpack(b"\x00\x01a"), UNREADABLE),
    Row("9204-4.5.6a a literal that must not be indexed", qpack(b"\x31x\x01y"), served(NOBODY)),
    Row("9204-4.1.1a an integer above the limits", qpack(b"\xff" + b"\xff" * 5 + b"\x01"), UNREADABLE),
    Row("9204-4.1.1a an integer that is cut off", qpack(b"\xff"), UNREADABLE),
    Row("9204-4.1.2a a name that is cut off", qpack(b"\x23ab"), UNREADABLE),
    Row("9204-4.1.2a a value that is missing", qpack(b"\x21a"), UNREADABLE),
    Row("9204-4.1.2a a value that is cut off", qpack(b"\x21a\x02b"), UNREADABLE),
    Row("9204-4.1.2b Huffman padding of more than 7 bits", qpack(b"\x21a\x81\xff"), UNREADABLE),
    Row("9204-4.1.2b Huffman padding that is not the beginning of EOS", qpack(b"\x21a\x81\x00"), UNREADABLE),
    Row("9204-4.1.2b EOS", qpack(b"\x21a\x84\xff\xff\xff\xff"), UNREADABLE),
    Row("9204-4.1.2c Huffman coding as it should be",
        qpack(b"\x21a\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
        served(NOBODY)),
    Row("9204-4.1.2c a length of more octets", qpack(b"\x27\x02" + b"x" * 9 + b"\x01y"), served(NOBODY)),
    Row("9204-2.2a trailers that cannot be read", post(path=b"/wait") + frame(HEADERS, b"\0\0\x80"), UNREADABLE),
    Row("9204-2.2b a section is read however it is cut", head(pseudo(), line(b"x" * 300, b"y" * 300)), served(NOBODY)),
]  # fmt: skip

ROWS = [*FRAMES, *LANES, *SECTIONS]


@parametrize(ROWS)
def test_row(row: Row) -> None:
    row.check()


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_rule_7_1d_a_frame_is_refused_by_its_head(kind: int) -> None:
    """Not when all of it is there."""
    Row("", settings() + varint(kind), UNEXPECTED, 6, False, hello=b"")
    control("", settings() + varint(kind) + b"\x20", UNEXPECTED).check()
