"""The numbers of HTTP/3: frames, streams, settings (RFC 9114 section 11.2, RFC 9204 section 8, RFC 9220 section 5)."""

# Frames (RFC 9114 section 7.2).
DATA = 0x0
HEADERS = 0x1
CANCEL_PUSH = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
GOAWAY = 0x7
MAX_PUSH_ID = 0xD

#: Frames of HTTP/2 that have no like here: PRIORITY, PING, WINDOW_UPDATE, CONTINUATION (section 7.2.8).
HTTP2_FRAMES = (0x2, 0x6, 0x8, 0x9)

# Unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
CONTROL_STREAM = 0x0
PUSH_STREAM = 0x1
QPACK_ENCODER_STREAM = 0x2
QPACK_DECODER_STREAM = 0x3

# Settings (RFC 9114 section 7.2.4.1, RFC 9204 section 5, RFC 9220 section 3).
QPACK_MAX_TABLE_CAPACITY = 0x1
MAX_FIELD_SECTION_SIZE = 0x6
QPACK_BLOCKED_STREAMS = 0x7
ENABLE_CONNECT_PROTOCOL = 0x8

#: Settings that are reserved because HTTP/2 has them (RFC 9114 section 11.2.2).
HTTP2_SETTINGS = (0x0, 0x2, 0x3, 0x4, 0x5)

#: The largest integer, which has eight bytes (RFC 9000 section 16).
LARGEST_VARINT = (1 << 62) - 1
#: The last request stream that there can be: "all of them", where a GOAWAY names it.
LARGEST_STREAM = (1 << 62) - 4

# What a `FrameReader` reads, and what it says where more is needed.
REQUEST = 0
CONTROL = 1
NOTHING = -1
