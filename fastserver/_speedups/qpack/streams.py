"""The peer's two streams of instructions (RFC 9204 section 4.2), where both tables have a capacity of 0.

Hardly anything is left that a peer may say.  Both take what has come, cut anywhere, and keep no byte of it.
"""

from .errors import DecoderStreamError, EncoderStreamError

# Set Dynamic Table Capacity to 0 (section 4.3.1): a larger one, and every insertion, begins with another byte.
_CAPACITY_0 = b"\x20"
# Stream Cancellation (section 4.4.2): two bits, and a stream's number from the other six on.
_CANCELLATION = 0x40
_CANCELLATION_MASK = 0x3F
# The bits in front of the last byte that a number below 2**62 can have: nine bytes of seven bits reach it.
_LAST_SHIFT = 56


class EncoderStreamReader:
    """What the peer's encoder says: it may set the capacity to 0 and nothing else."""

    def feed(self, data):
        """Take what has come; ``EncoderStreamError`` for every instruction but the one."""
        if data.count(_CAPACITY_0) != len(data):
            raise EncoderStreamError("an instruction for a dynamic table of capacity 0")


class DecoderStreamReader:
    """What the peer's decoder says: it may cancel streams, which means nothing where nothing was referred to."""

    def __init__(self):
        self._is_inside = False  # a stream's number, whose next byte has the bits behind `_shift`
        self._shift = 0

    def feed(self, data):
        """Take what has come; ``DecoderStreamError`` for every other instruction, and for a number that never ends."""
        for place in range(len(data)):
            byte = data[place] & 0xFF
            if self._is_inside:
                if byte < 0x80:
                    self._is_inside = False
                elif self._shift >= _LAST_SHIFT:
                    raise DecoderStreamError("integer too long")
                self._shift += 7
            elif byte & 0xC0 != _CANCELLATION:
                raise DecoderStreamError("an acknowledgment where nothing was inserted")
            elif byte & _CANCELLATION_MASK == _CANCELLATION_MASK:
                self._is_inside = True
                self._shift = 0
