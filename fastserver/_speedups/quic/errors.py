"""The transport's error codes (RFC 9000 section 20.1) and the fault that carries one."""

NO_ERROR = 0x0
INTERNAL_ERROR = 0x1
CONNECTION_REFUSED = 0x2
FLOW_CONTROL_ERROR = 0x3
STREAM_LIMIT_ERROR = 0x4
STREAM_STATE_ERROR = 0x5
FINAL_SIZE_ERROR = 0x6
FRAME_ENCODING_ERROR = 0x7
TRANSPORT_PARAMETER_ERROR = 0x8
CONNECTION_ID_LIMIT_ERROR = 0x9
PROTOCOL_VIOLATION = 0xA
INVALID_TOKEN = 0xB
APPLICATION_ERROR = 0xC
CRYPTO_BUFFER_EXCEEDED = 0xD
KEY_UPDATE_ERROR = 0xE
AEAD_LIMIT_REACHED = 0xF
NO_VIABLE_PATH = 0x10

NAMES = {code: name for name, code in list(globals().items()) if isinstance(code, int)}

#: An alert of TLS is the low byte of these (RFC 9001 section 4.8): one of the alerts, and all of them.
UNEXPECTED_MESSAGE = 0x10A
CRYPTO_ERRORS = range(0x100, 0x200)


def name_error(code: int) -> str:
    """What metrics call a code: one name for all alerts of TLS, and one for what nobody knows."""
    return "CRYPTO_ERROR" if code in CRYPTO_ERRORS else NAMES.get(code, "UNKNOWN")


class TransportFault(Exception):
    """The peer broke a rule: the connection is to be closed with ``code``."""

    def __init__(self, code: int, reason: str, frame_type: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.frame_type = frame_type
