"""Keys of packets as aioquic's connection holds them, derived in fewer steps (RFC 9001 section 5, RFC 9369 section 3).

A label's expansion never needs more than one block, so it is one HMAC over a text that depends on the label alone.
"""

import hmac

from aioquic._crypto import AEAD, HeaderProtection
from aioquic.quic import crypto
from aioquic.quic.crypto import CryptoContext, CryptoPair
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

IV_BYTES = 12
INITIAL_SECRET_BYTES = 32
#: The hash of each suite, and the size of its keys.
SUITES = {
    CipherSuite.AES_128_GCM_SHA256: ("sha256", 16),
    CipherSuite.AES_256_GCM_SHA384: ("sha384", 32),
    CipherSuite.CHACHA20_POLY1305_SHA256: ("sha256", 32),
}


def render_info(label, size):
    """What HKDF-Expand-Label feeds to its one block (RFC 8446 section 7.1)."""
    name = b"tls13 " + label
    return size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\x00\x01"


#: Key, IV and header protection by version and size of the key.
INFOS = {
    (version, size): tuple(
        render_info(prefix + label, length) for label, length in ((b"key", size), (b"iv", IV_BYTES), (b"hp", size))
    )
    for version, prefix in ((QuicProtocolVersion.VERSION_1, b"quic "), (QuicProtocolVersion.VERSION_2, b"quicv2 "))
    for size in (16, 32)
}
CLIENT_INFO = render_info(b"client in", INITIAL_SECRET_BYTES)
SERVER_INFO = render_info(b"server in", INITIAL_SECRET_BYTES)


class Keys(CryptoContext):
    """The keys of one direction."""

    def setup(self, *, cipher_suite, secret, version):
        """Derive them from a traffic secret."""
        digest, size = SUITES[cipher_suite]
        key_info, iv_info, protection_info = INFOS[version, size]
        protection_name, aead_name = crypto.CIPHER_SUITES[cipher_suite]
        key = hmac.digest(secret, key_info, digest)[:size]
        self.aead = AEAD(aead_name, key, hmac.digest(secret, iv_info, digest)[:IV_BYTES])
        self.hp = HeaderProtection(protection_name, hmac.digest(secret, protection_info, digest)[:size])
        self.cipher_suite = cipher_suite
        self.secret = secret
        self.version = version


class KeyPair(CryptoPair):
    """The keys of both directions, at a server."""

    def __init__(self):
        self.aead_tag_size = 16
        self.recv = Keys()
        self.send = Keys()
        self._update_key_requested = False

    def setup_initial(self, cid, is_client, version):
        """Those of Initial packets, from the client's first destination connection ID (RFC 9001 section 5.2)."""
        is_second = version == QuicProtocolVersion.VERSION_2
        salt = crypto.INITIAL_SALT_VERSION_2 if is_second else crypto.INITIAL_SALT_VERSION_1
        secret = hmac.digest(salt, cid, "sha256")
        suite = crypto.INITIAL_CIPHER_SUITE
        for keys, info in ((self.recv, CLIENT_INFO), (self.send, SERVER_INFO)):
            keys.setup(cipher_suite=suite, secret=hmac.digest(secret, info, "sha256"), version=version)
