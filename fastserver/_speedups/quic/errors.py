"""The transport's error codes (RFC 9000 section 20.1) and the fault that carries one."""

NO_ERROR = 0x0
INTERNAL_ERROR = 0x1
CONNECTION_REFUSED = 0x2
FLOW_CONTROL_ERROR = 0x3
STREAM_LIMIT_ERROR = 0x4
STREAM_STATE_ERROR = 0x5
FINAL_SIZE_ERROR = 0x6
FRAME_ENCODING_ERROR = 0x7
PROTOCOL_VIOLATION = 0xA
INVALID_TOKEN = 0xB
CRYPTO_BUFFER_EXCEEDED = 0xD
#: TLS's alert of the name (RFC 9001 section 4.8).
UNEXPECTED_MESSAGE = 0x10A

#: The codes by which a connection can end, as metrics call them.
NAMES = {
    INTERNAL_ERROR: "INTERNAL_ERROR",
    FLOW_CONTROL_ERROR: "FLOW_CONTROL_ERROR",
    STREAM_LIMIT_ERROR: "STREAM_LIMIT_ERROR",
    STREAM_STATE_ERROR: "STREAM_STATE_ERROR",
    FINAL_SIZE_ERROR: "FINAL_SIZE_ERROR",
    FRAME_ENCODING_ERROR: "FRAME_ENCODING_ERROR",
    0x8: "TRANSPORT_PARAMETER_ERROR",
    0x9: "CONNECTION_ID_LIMIT_ERROR",
    PROTOCOL_VIOLATION: "PROTOCOL_VIOLATION",
    0xD: "CRYPTO_BUFFER_EXCEEDED",
    0xE: "KEY_UPDATE_ERROR",
    0xF: "AEAD_LIMIT_REACHED",
}


class TransportFault(Exception):
    """The peer broke a rule: the connection is to be closed with ``code``."""

    def __init__(self, code: int, reason: str, frame_type: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.frame_type = frame_type
