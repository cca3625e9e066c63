"""Keys for each purpose from the one secret that all workers and their successors share (Q-4)."""

import hmac
from typing import Final

#: Bytes that the secret has to have at least.
SECRET_BYTES: Final = 32


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes that tell nothing of ``secret`` or of another purpose's key; ``ValueError`` for a short secret."""
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"the secret has {len(secret)} bytes, {SECRET_BYTES} are needed")
    return hmac.digest(secret, b"fastserver quic " + purpose, "sha256")
