"""Reading the header of a datagram, as far as it can be read without keys (RFC 8999, RFC 9000 section 17.2).

It believes no length that the datagram does not hold, and raises nothing: what cannot be read is ``None``.
"""

from typing import Final, NamedTuple, TypeAlias

#: Where a peer is: host and port.
Address: TypeAlias = tuple[str, int]

#: The versions that are served, each with the type of Initial packets (RFC 9000 section 17.2, RFC 9369 section 3.2).
VERSIONS: Final = {0x00000001: 0, 0x6B3343CF: 1}
#: The version that stands in a Version Negotiation packet.
NEGOTIATION: Final = 0
LONG_BIT: Final = 0x80
FIXED_BIT: Final = 0x40
#: A datagram with an Initial packet is at least so long (RFC 9000 section 14.1).
MIN_INITIAL_BYTES: Final = 1200
#: What a client chooses for its first Initial is at least so long (section 7.2), and no ID of ours may be longer than
#: the second in these versions (section 17.2).
MIN_FIRST_CID_BYTES: Final = 8
MAX_CID_BYTES: Final = 20
#: The packet number, with what header protection samples behind it (RFC 9001 section 5.4.2).
_MIN_PAYLOAD_BYTES: Final = 20


class LongHeader(NamedTuple):
    """What all versions have in common (RFC 8999 section 5.1); ``end`` is where the version's own part begins."""

    first_byte: int
    version: int
    dcid: bytes
    scid: bytes
    end: int

    def is_plausible(self) -> bool:
        """Whether a packet of a served version may begin so."""
        return bool(self.first_byte & FIXED_BIT) and max(len(self.dcid), len(self.scid)) <= MAX_CID_BYTES

    def is_initial(self) -> bool:
        """Whether this is the Initial packet of a served version."""
        return (self.first_byte >> 4) & 3 == VERSIONS.get(self.version)


def read_long_header(data: bytes) -> LongHeader | None:
    """The invariant header of a datagram whose first byte has ``LONG_BIT``; ``None`` where it is cut."""
    if len(data) < 7:
        return None
    dcid_end = 6 + data[5]
    if dcid_end >= len(data):
        return None
    scid_start = dcid_end + 1
    scid_end = scid_start + data[dcid_end]
    if scid_end > len(data):
        return None
    version = int.from_bytes(data[1:5], "big")
    return LongHeader(data[0], version, data[6:dcid_end], data[scid_start:scid_end], scid_end)


def read_token(data: bytes, header: LongHeader) -> bytes | None:
    """The token of the Initial packet behind ``header``, often empty; ``None`` where the packet is not whole."""
    length, start = _read_varint(data, header.end)
    end = start + length
    rest, payload = _read_varint(data, end)
    if rest < _MIN_PAYLOAD_BYTES or payload + rest > len(data):
        return None
    return data[start:end]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 8 bytes and where it ends (RFC 9000 section 16): behind the datagram, if it is cut."""
    if at >= len(data):
        return 0, at + 1
    size = 1 << (data[at] >> 6)
    end = at + size
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * size - 2)) - 1), end
