"""The numbers of HTTP/2: the preface, types and flags of frames, settings, bounds (RFC 9113 sections 3.4 to 6)."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

# Flags; ACK is of SETTINGS and PING.
ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# Settings (section 6.5.2; the last one RFC 8441 section 3).
HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6
ENABLE_CONNECT_PROTOCOL = 8

#: Sizes of a frame's payload that MAX_FRAME_SIZE may allow; the first holds where nothing is said (section 6.5.2).
SMALLEST_FRAME_LIMIT = 1 << 14
LARGEST_FRAME_LIMIT = (1 << 24) - 1
#: A window where nothing is said (section 6.9.2), and the largest (section 6.9.1).
FIRST_WINDOW = 65535
WINDOW_LIMIT = (1 << 31) - 1
#: The highest stream there can be (section 5.1.1).
LARGEST_STREAM = (1 << 31) - 1
