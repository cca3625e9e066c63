"""How an HTTP/2 connection fails: a fault of the peer, with the code that its GOAWAY carries (RFC 9113 section 5.4.1).

The codes are plain integers, so that a compiled module can hold them as C numbers.
"""

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

PROTOCOL_ERROR = ErrorCodes.PROTOCOL_ERROR.value
FLOW_CONTROL_ERROR = ErrorCodes.FLOW_CONTROL_ERROR.value
FRAME_SIZE_ERROR = ErrorCodes.FRAME_SIZE_ERROR.value
ENHANCE_YOUR_CALM = ErrorCodes.ENHANCE_YOUR_CALM.value


class ConnectionFault(ProtocolError):
    """The peer broke a rule, and the connection ends.  ``reason`` is for the log.

    Raised while ``h2`` reads frames, it makes ``h2`` answer with a GOAWAY of ``error_code``.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.error_code = ErrorCodes(code)
        self.reason = reason
