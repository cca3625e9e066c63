"""Connection IDs that carry the number of their worker (Q-5), in the manner of QUIC-LB.

The layout is the one of draft-ietf-quic-load-balancers: the configuration in the three high bits of the first byte
(``0b111`` is reserved there for IDs that cannot be routed), random bits below, then the server ID (the worker, one
byte), then the nonce (six random bytes)::

    byte 0          byte 1                    bytes 2..5          bytes 6..7
    010 r r r r r   worker XOR mix(2..5)      nonce, mixed in     nonce

What differs is how the server ID is hidden.  The draft has AES, which a classic BPF program cannot compute; ``mix`` is
a keyed function of 32-bit words that it can.  It is no cipher: it keeps the workers' number and which IDs belong
together out of sight, and nothing that is secret depends on it.  Any eight bytes with these configuration bits have a
worker, so an ID says where to look, never that a connection exists.
"""

import hmac
import os
from typing import Final

from fastserver.protocol.quic.secrets import derive_key

#: The length of each ID that this server gives.
CID_BYTES: Final = 8
#: The first byte of an ID of ours, under the mask.
CONFIG_MASK: Final = 0xE0
CONFIG_BITS: Final = 0x40
#: How many workers have a number, from 0 on.
MAX_WORKERS: Final = 256
RESET_TOKEN_BYTES: Final = 16

_WORD: Final = 0xFFFFFFFF


def mix_constants(secret: bytes) -> tuple[int, int, int]:
    """``(k1, k2, k3)`` of ``mix``: 32-bit words, the two factors odd so that multiplying loses no bit."""
    key = derive_key(secret, b"connection id")
    k1, k2, k3 = (int.from_bytes(key[at : at + 4], "big") for at in (0, 4, 8))
    return k1, k2 | 1, k3 | 1


def mix(word: int, constants: tuple[int, int, int]) -> int:
    """The byte that hides the worker: of ``word``, bytes 2 to 5 of the ID in network order."""
    k1, k2, k3 = constants
    word = ((word ^ k1) * k2) & _WORD
    word ^= word >> 16
    return ((word * k3) & _WORD) >> 24


class ConnectionIDs:
    """Makes the IDs of ``worker`` (0 to 255), finds the worker of any ID, and makes the token that resets one."""

    def __init__(self, secret: bytes, worker: int) -> None:
        if not 0 <= worker < MAX_WORKERS:
            raise ValueError(f"a worker's number is 0 to {MAX_WORKERS - 1}, not {worker}")
        self.worker: Final = worker
        self._constants = mix_constants(secret)
        self._reset_key = derive_key(secret, b"stateless reset")

    def make(self) -> bytes:
        """A new ID of this worker: ``CID_BYTES`` bytes."""
        noise = os.urandom(CID_BYTES - 1)
        hidden = self.worker ^ mix(int.from_bytes(noise[1:5], "big"), self._constants)
        return bytes((CONFIG_BITS | noise[0] & ~CONFIG_MASK, hidden)) + noise[1:]

    def find_worker(self, cid: bytes) -> int | None:
        """The worker that gave ``cid``, if one did; ``None`` for what no worker gives."""
        if len(cid) != CID_BYTES or cid[0] & CONFIG_MASK != CONFIG_BITS:
            return None
        return cid[1] ^ mix(int.from_bytes(cid[2:6], "big"), self._constants)

    def make_reset_token(self, cid: bytes) -> bytes:
        """The stateless reset token of ``cid`` (RFC 9000 section 10.3.2), the same from every worker."""
        return hmac.digest(self._reset_key, cid, "sha256")[:RESET_TOKEN_BYTES]
