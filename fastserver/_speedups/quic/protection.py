"""Protection of short-header packets (RFC 9001 section 5): one opener and one sealer for each key phase."""

from cryptography.exceptions import InvalidTag

SAMPLE_BYTES = 16
IV_BYTES = 12
#: Of a packet number as we send it.
NUMBER_BYTES = 2
#: A packet number has 62 bits.
LARGEST_NUMBER_BYTES = 8


class Opener:
    """Opens what the peer sends.  ``number`` and ``first`` are of the packet opened last."""

    def __init__(self, context, cid_bytes):
        self.phase = 4 if context.key_phase else 0
        self.number = 0
        self.first = 0
        self._open = context.aead._aead.decrypt
        self._iv = context.aead._iv.to_bytes(IV_BYTES, "big")
        self._mask = select_mask(context.hp)
        self._number_at = 1 + cid_bytes
        self._nonce = bytearray(self._iv)
        # One for each length of a packet number.
        self._headers = [bytearray(self._number_at + size) for size in (1, 2, 3, 4)]

    def open(self, data, expected):
        """The payload, ``None`` where it is of another key phase; ``number`` is -1 where it is not authentic.

        Precondition: ``data`` has a short header and is long enough to be sampled.
        """
        at = self._number_at
        mask = self._mask(data[at + 4 : at + 4 + SAMPLE_BYTES])
        first = data[0] ^ (mask[0] & 0x1F)
        if first & 4 != self.phase:
            return None
        size = (first & 3) + 1
        header = self._headers[size - 1]
        header[0] = first
        for index in range(1, at):
            header[index] = data[index]
        number = 0
        for index in range(size):
            byte = data[at + index] ^ mask[index + 1]
            header[at + index] = byte
            number = number << 8 | byte
        number = decode_number(number, size * 8, expected)
        self.first = first
        self.number = number
        write_nonce(self._nonce, self._iv, number)
        try:
            return self._open(self._nonce, data[at + size :], header)
        except InvalidTag:
            self.number = -1
            return b""


class Sealer:
    """Seals what we send.  ``sealed`` counts packets: a key may protect so many (RFC 9001 section 6.6)."""

    def __init__(self, context, cid, sealed):
        self.sealed = sealed
        self.cid = cid
        self._aead = context.aead
        self._seal = context.aead._aead.encrypt
        self._iv = context.aead._iv.to_bytes(IV_BYTES, "big")
        self._mask = select_mask(context.hp)
        self._first = 0x40 | (4 if context.key_phase else 0) | (NUMBER_BYTES - 1)
        self._nonce = bytearray(self._iv)
        self._header = bytearray(1) + cid + bytes(NUMBER_BYTES)

    def is_of(self, context):
        """Whether the key is the one in use."""
        return self._aead is context.aead

    def seal(self, payload, number):
        """The packet ``number`` with ``payload``, which has at least two bytes."""
        self.sealed += 1
        at = 1 + len(self.cid)
        header = self._header
        header[0] = self._first
        header[at] = number >> 8 & 0xFF
        header[at + 1] = number & 0xFF
        write_nonce(self._nonce, self._iv, number)
        sealed = self._seal(self._nonce, payload, header)
        mask = self._mask(sealed[2 : 2 + SAMPLE_BYTES])
        header[0] ^= mask[0] & 0x1F
        header[at] ^= mask[1]
        header[at + 1] ^= mask[2]
        return bytes(header) + sealed


def write_nonce(nonce, iv, number):
    """Make ``nonce`` that of the packet ``number`` (RFC 9001 section 5.3)."""
    for at in range(IV_BYTES - 1, IV_BYTES - 1 - LARGEST_NUMBER_BYTES, -1):
        nonce[at] = iv[at] ^ number & 0xFF
        number >>= 8


def select_mask(protection):
    """What makes a mask of a sample: AES's cipher needs nothing around it."""
    return protection._mask if protection._is_chacha20 else protection._encryptor.update


def decode_number(truncated, bits, expected):
    """The packet number that is nearest to ``expected`` (RFC 9000 appendix A.3)."""
    window = 1
    window <<= bits  # in C, 1 << 32 would be computed as an int
    half = window >> 1
    number = (expected & ~(window - 1)) | truncated
    if number <= expected - half and number < (1 << 62) - window:
        return number + window
    if number > expected + half and number >= window:
        return number - window
    return number
