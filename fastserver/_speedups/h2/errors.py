"""How an HTTP/2 connection or stream fails: the codes of RFC 9113 section 7, as plain integers."""

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
INTERNAL_ERROR = 0x2
FLOW_CONTROL_ERROR = 0x3
SETTINGS_TIMEOUT = 0x4
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
COMPRESSION_ERROR = 0x9
ENHANCE_YOUR_CALM = 0xB
INADEQUATE_SECURITY = 0xC

#: The names of the codes, as metrics have them.
NAMES = {code: name for name, code in globals().items() if name.isupper()}


class ConnectionFault(Exception):
    """The peer has broken the connection: it ends with a GOAWAY of ``code``.  ``reason`` is for the log."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
