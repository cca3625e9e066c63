"""Datagrams for those who have no connection here: each is smaller than what it answers, and none keeps any state."""

import os
from struct import Struct
from typing import Final

from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import encode_quic_retry

from fastserver._speedups.quic.codes import TRANSPORT_CLOSE
from fastserver.protocol.quic.datagram import FIXED_BIT, LONG_BIT, NEGOTIATION, VERSIONS, LongHeader

#: The smallest reset that looks like a packet, and the size above which it gains nothing (section 10.3).
MIN_RESET_BYTES: Final = 21
_MAX_RESET_BYTES: Final = 42

_VERSION: Final = Struct("!I")


def render_version_negotiation(header: LongHeader) -> bytes:
    """What is served here, among it a version that nobody has (section 6.3), so that nobody relies on the list.

    The connection IDs go back as they came, whatever their lengths (RFC 8999 section 6).
    """
    noise = os.urandom(5)
    grease = int.from_bytes(noise[1:], "big") & 0xF0F0F0F0 | 0x0A0A0A0A
    parts = [bytes((LONG_BIT | FIXED_BIT | noise[0],)), _VERSION.pack(NEGOTIATION)]
    parts += [bytes((len(cid),)) + cid for cid in (header.scid, header.dcid)]
    parts += [_VERSION.pack(version) for version in (grease, *VERSIONS)]
    return b"".join(parts)


def render_retry(header: LongHeader, retry_cid: bytes, token: bytes) -> bytes:
    """Retry for the client that sent ``header`` (RFC 9000 section 17.2.5, RFC 9001 section 5.8)."""
    return encode_quic_retry(
        version=header.version,
        source_cid=retry_cid,
        destination_cid=header.scid,
        original_destination_cid=header.dcid,
        retry_token=token,
        unused=os.urandom(1)[0] & 0x0F,
    )


def render_reset(token: bytes, received_bytes: int) -> bytes:
    """A stateless reset (RFC 9000 section 10.3) for a datagram of so many bytes, more than ``MIN_RESET_BYTES``.

    It is smaller than what it answers, so that two ends without state come to an end with each other (10.3.3).
    """
    noise = bytearray(os.urandom(min(received_bytes - 1, _MAX_RESET_BYTES) - len(token)))
    noise[0] = FIXED_BIT | noise[0] & ~LONG_BIT
    return bytes(noise) + token


def render_refusal(header: LongHeader, code: int) -> bytes:
    """An Initial packet that closes the connection with the transport's ``code`` before it begins (section 5.2.2).

    Its keys are those of the client's ``header`` (RFC 9001 section 5.2): deriving them is what it costs.
    """
    pair = CryptoPair()
    pair.setup_initial(header.dcid, is_client=False, version=header.version)
    # No frame is to blame, and there is no reason in words.
    payload = bytes((TRANSPORT_CLOSE, code, 0, 0))
    number = bytes(2)
    first_byte = LONG_BIT | FIXED_BIT | VERSIONS[header.version] << 4 | len(number) - 1
    plain = [bytes((first_byte,)), _VERSION.pack(header.version)]
    # The client's choice serves as ours: it has no other name for this server yet.
    plain += [bytes((len(cid),)) + cid for cid in (header.scid, header.dcid)]
    plain += [bytes((0, len(number) + len(payload) + pair.aead_tag_size)), number]
    return pair.encrypt_packet(b"".join(plain), payload, 0)
