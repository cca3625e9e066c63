"""How an HTTP/3 connection or stream fails: the codes of RFC 9114 section 8.1, as integers; QPACK's are its own."""

from ..qpack import errors as qpack

H3_NO_ERROR = 0x100
H3_GENERAL_PROTOCOL_ERROR = 0x101
H3_INTERNAL_ERROR = 0x102
H3_STREAM_CREATION_ERROR = 0x103
H3_CLOSED_CRITICAL_STREAM = 0x104
H3_FRAME_UNEXPECTED = 0x105
H3_FRAME_ERROR = 0x106
H3_EXCESSIVE_LOAD = 0x107
H3_ID_ERROR = 0x108
H3_SETTINGS_ERROR = 0x109
H3_MISSING_SETTINGS = 0x10A
H3_REQUEST_REJECTED = 0x10B
H3_REQUEST_CANCELLED = 0x10C
H3_REQUEST_INCOMPLETE = 0x10D
H3_MESSAGE_ERROR = 0x10E
H3_CONNECT_ERROR = 0x10F
H3_VERSION_FALLBACK = 0x110

#: The names of all codes, as metrics have them.
NAMES: dict[int, str] = {
    code: name for name, code in {**vars(qpack), **globals()}.items() if name.startswith(("H3_", "QPACK_"))
}


class ConnectionFault(Exception):
    """The peer has broken the connection: it is closed with ``code``.  ``reason`` is for the log."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameTooLarge(Exception):
    """A frame that has to be whole announces more bytes than the limit: ``kind`` and ``size`` are those of its head."""

    def __init__(self, kind: int, size: int) -> None:
        super().__init__(f"a frame of type {kind} and {size} bytes")
        self.kind = kind
        self.size = size
