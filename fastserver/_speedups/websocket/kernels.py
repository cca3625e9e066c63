"""The Python twin of ``kernels.pyx``: unmasking and rendering without pointers."""

from .codes import FIN, TEXT


def unmask(data: bytes | bytearray, start: int, size: int, key: bytes, phase: int) -> bytes:
    """``data[start:start + size]`` unmasked (RFC 6455 section 5.3); its first byte meets ``key[phase % 4]``.

    Raises ``ValueError`` where the bytes do not lie in ``data`` or the key has not four.
    """
    if type(data) not in (bytes, bytearray):
        raise TypeError("masked data must be bytes or a bytearray")
    if start < 0 or size < 0 or start + size > len(data) or len(key) != 4:
        raise ValueError("masked bytes outside of the data, or a key that has not four bytes")
    phase &= 3
    # One xor of two long numbers: linear, and some hundred times as fast as a loop over bytes.
    mask = ((key[phase:] + key[:phase]) * (size // 4 + 1))[:size]
    masked = int.from_bytes(data[start : start + size], "little")
    return (masked ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


def decode_text(data: bytes | bytearray, start: int, size: int, key: bytes) -> str:
    """``data[start:start + size]`` unmasked, as text; ``UnicodeDecodeError``, and what ``unmask`` raises."""
    return unmask(data, start, size, key, 0).decode("utf-8")


def render_frame(first: int, payload: bytes) -> bytes:
    """One unmasked frame: ``first`` is its first byte (FIN, RSV, opcode); the least length form (section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 65536:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


def render_text_frame(text: str) -> bytes:
    """An unfragmented, uncompressed text message; ``UnicodeEncodeError`` for a lone surrogate."""
    return render_frame(FIN | TEXT, text.encode("utf-8"))
