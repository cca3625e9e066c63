"""The numbers of HTTP/2's frames: types, flags and the preface (RFC 9113 sections 3.4 and 6)."""

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

#: The largest flow-control window (section 6.9.1).
WINDOW_LIMIT = (1 << 31) - 1
