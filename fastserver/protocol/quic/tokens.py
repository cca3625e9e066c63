"""Tokens by which a client proves that it can be reached (RFC 9000 section 8.1), under a key of all workers (Q-4).

A Retry token comes back at once, from the same address and port, in an Initial to the connection ID that Retry gave; a
token of NEW_TOKEN comes with a later connection, from the same address and whatever port.  Both are sealed: what they
are bound to is not in them but authenticated beside them, so a token shown elsewhere does not open.

    kind (1) | nonce (12) | AES-128-GCM of: when it was sealed, Unix milliseconds (8), and the original connection ID

Times are Unix times, which workers and restarts share.  They may jump: a token is good for as long as its age is within
its life on either side of zero.  A token may be shown more than once; it only spares its client a Retry, and the
limits on handshakes hold all the same (section 8.1.4).

The nonces are random: 2^32 tokens under one secret have one chance in 2^33 that two of them meet.
"""

import os
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fastserver.protocol.quic.datagram import MAX_CID_BYTES, Address
from fastserver.protocol.quic.secrets import derive_key

#: Seconds for which a token is good: Retry's is for a round trip (section 8.1.3), the other for the next visit.
RETRY_LIFE_S: Final = 30.0
ADDRESS_LIFE_S: Final = 86400.0

_RETRY: Final = b"\x01"
_ADDRESS: Final = b"\x02"
_KEY_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SEALED_AT: Final = Struct("!q")
_PORT: Final = Struct("!H")
#: A token of ours is no longer than this.
MAX_TOKEN_BYTES: Final = 1 + _NONCE_BYTES + _SEALED_AT.size + MAX_CID_BYTES + _TAG_BYTES


class InvalidToken(Exception):
    """The token was not sealed here, not for this client, or not lately."""


class Tokens:
    """Seals and opens both kinds.  Addresses are ``(host, port)``, times are Unix seconds."""

    def __init__(self, secret: bytes) -> None:
        self._aead = AESGCM(derive_key(secret, b"token")[:_KEY_BYTES])

    def seal_retry(self, address: Address, original_cid: bytes, retry_cid: bytes, now_wall: float) -> bytes:
        """The token of a Retry from ``retry_cid`` to a client that had chosen ``original_cid``."""
        return self._seal(_RETRY, _bind_retry(address, retry_cid), original_cid, now_wall)

    def open_retry(self, token: bytes, address: Address, cid: bytes, now_wall: float) -> bytes:
        """The original connection ID of a client that shows ``token`` in an Initial to ``cid``; or ``InvalidToken``."""
        return self._open(_RETRY, token, _bind_retry(address, cid), now_wall, RETRY_LIFE_S)

    def seal_address(self, address: Address, now_wall: float) -> bytes:
        """The token of a NEW_TOKEN frame to a client whose address is validated."""
        return self._seal(_ADDRESS, address[0].encode(), b"", now_wall)

    def open_address(self, token: bytes, address: Address, now_wall: float) -> None:
        """Return for a client that was at ``address`` lately, from whatever port; or raise ``InvalidToken``."""
        self._open(_ADDRESS, token, address[0].encode(), now_wall, ADDRESS_LIFE_S)

    def is_retry(self, token: bytes) -> bool:
        """Whether ``token`` claims to be of a Retry: its client will take no second one (section 8.1.3)."""
        return token[:1] == _RETRY

    def _seal(self, kind: bytes, bound: bytes, cid: bytes, now_wall: float) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        text = _SEALED_AT.pack(int(now_wall * 1000)) + cid
        return kind + nonce + self._aead.encrypt(nonce, text, kind + bound)

    def _open(self, kind: bytes, token: bytes, bound: bytes, now_wall: float, life_s: float) -> bytes:
        smallest = 1 + _NONCE_BYTES + _SEALED_AT.size + _TAG_BYTES
        if token[:1] != kind or not smallest <= len(token) <= MAX_TOKEN_BYTES:
            raise InvalidToken("it is none of ours")
        nonce = token[1 : 1 + _NONCE_BYTES]
        try:
            text = self._aead.decrypt(nonce, token[1 + _NONCE_BYTES :], kind + bound)
        except InvalidTag:
            raise InvalidToken("it was not sealed here for this client") from None
        (sealed_at,) = _SEALED_AT.unpack_from(text)
        if abs(now_wall * 1000 - sealed_at) > life_s * 1000:
            raise InvalidToken("it is too old, or the clock has jumped")
        return text[_SEALED_AT.size :]


def _bind_retry(address: Address, retry_cid: bytes) -> bytes:
    host, port = address
    return _PORT.pack(port) + bytes((len(retry_cid),)) + retry_cid + host.encode()
