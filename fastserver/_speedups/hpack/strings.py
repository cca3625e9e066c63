"""The Python twin of ``strings.pyx``: string literals of HPACK (see ``kernels.py`` on twins)."""

from ..fields import KNOWN_FIELDS
from .errors import HPACKError
from .tables import CODES, EOS

# By length and code: the symbol.
_SYMBOLS = {(length, code): symbol for symbol, (code, length) in enumerate(CODES)}
_SHARED = {name: name for name in KNOWN_FIELDS}


def _decode(data: bytes) -> bytes:
    text = bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            symbol = _SYMBOLS.get((length, code))
            if symbol is not None:
                if symbol == EOS:
                    raise HPACKError("invalid Huffman code")
                text.append(symbol)
                code = length = 0
    # Section 5.2: the padding is less than a byte, all ones.
    if length > 7 or code != (1 << length) - 1:
        raise HPACKError("invalid Huffman code")
    return bytes(text)


def read_string(data: bytes, start: int, size: int, is_huffman: bool, is_name: bool) -> bytes:
    """The text of the literal ``data[start:start + size]``; ``HPACKError`` for what is no Huffman code."""
    if start < 0 or size < 0 or size > len(data) - start:
        raise ValueError("not inside the data")
    text = data[start : start + size]
    if is_huffman:
        text = _decode(text)
    return _SHARED.get(text, text) if is_name else text


def append_string(out: bytearray, text: bytes, huffman: bool) -> None:
    """Append a literal to ``out``: its length and its bytes, as Huffman code where ``huffman`` and that is shorter."""
    first = 0
    if huffman:
        code = bits = 0
        for byte in text:
            symbol, length = CODES[byte]
            code = code << length | symbol
            bits += length
        size = (bits + 7) // 8
        if size < len(text):
            padding = size * 8 - bits
            text = (code << padding | (1 << padding) - 1).to_bytes(size, "big")
            first = 0x80
    size = len(text)
    if size < 127:
        out.append(first | size)
    else:
        out.append(first | 127)
        size -= 127
        while size > 127:
            out.append(128 | size & 127)
            size >>= 7
        out.append(size)
    out += text
