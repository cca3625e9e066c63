"""The numbers of RFC 6455: the bits and opcodes of a frame (section 5.2), and close codes (section 7.4.1)."""

# Of the first byte.
FIN = 0x80
RSV1 = 0x40
OPCODE = 0x0F
# Of the second.
MASK = 0x80

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA
#: The bit that all opcodes of control frames have, and what such a frame may hold (section 5.5); bytes.
CONTROL = 0x8
CONTROL_BYTES = 125

NORMAL = 1000
PROTOCOL_ERROR = 1002
BAD_DATA = 1007
POLICY = 1008
TOO_BIG = 1009
FAILED = 1011
RESTART = 1012
# Of what happened; they never stand on the wire.
NO_CODE = 1005
DROPPED = 1006
NO_TLS = 1015
LOCAL_CODES = frozenset((NO_CODE, DROPPED, NO_TLS))
