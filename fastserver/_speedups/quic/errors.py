"""The transport's error codes (RFC 9000 section 20.1) and the fault that carries one."""

NO_ERROR = 0x0
INTERNAL_ERROR = 0x1
FLOW_CONTROL_ERROR = 0x3
STREAM_LIMIT_ERROR = 0x4
STREAM_STATE_ERROR = 0x5
FINAL_SIZE_ERROR = 0x6
FRAME_ENCODING_ERROR = 0x7
PROTOCOL_VIOLATION = 0xA
CRYPTO_BUFFER_EXCEEDED = 0xD


class TransportFault(Exception):
    """The peer broke a rule: the connection is to be closed with ``code``."""

    def __init__(self, code: int, reason: str, frame_type: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.frame_type = frame_type
