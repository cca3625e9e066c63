"""The data of RFC 7541: the static table (appendix A) and the Huffman code (appendix B)."""

from ..fields import KNOWN_FIELDS

#: What an entry of the dynamic table, and a field of a list, counts beyond its bytes (section 4.1).
ENTRY_OVERHEAD = 32
#: The size of the dynamic table where nobody has said another (RFC 9113 section 6.5.2).
DEFAULT_TABLE_SIZE = 4096

_STATIC_LINES = """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""

# Each name is one object, here, in QPACK's table and in requests of every protocol.
_NAMES = {name: name for name in KNOWN_FIELDS}


def read_static_table(lines: str) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of a table that is written as text: a line each, name and value."""
    fields = (line.encode("ascii").partition(b" ") for line in lines.splitlines())
    return tuple((_NAMES.setdefault(name, name), value) for name, _, value in fields)


#: The static table; the entry with index 1 is the first.
STATIC_TABLE = read_static_table(_STATIC_LINES)
STATIC_SIZE = len(STATIC_TABLE)

#: The end of a string as a symbol; it may never stand in one (section 5.2).
EOS = 256

# The code is canonical: the shorter come first, codes of one length in the order of their symbols, EOS at the end.
_SYMBOLS_BY_LENGTH: dict[int, bytes] = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\0$@[]~",
    14: b"^}",
    15: b"<`{",
    19: bytes.fromhex("5cc3d0"),
    20: bytes.fromhex("808283a2b8c2e0e2"),
    21: bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6"),
    22: bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9"),
    23: bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef"),
    24: bytes.fromhex("098e9091949fabced7e1eced"),
    25: bytes.fromhex("c7cfeaeb"),
    26: bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff"),
    27: bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe"),
    28: bytes.fromhex("020304050607080b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9"),
    30: bytes.fromhex("0a0d16"),
}


def _build_codes() -> list[tuple[int, int]]:
    codes = [(0, 0)] * EOS
    code = last = 0
    for length, symbols in _SYMBOLS_BY_LENGTH.items():
        code <<= length - last
        last = length
        for symbol in symbols:
            codes[symbol] = code, length
            code += 1
    return [*codes, (code, last)]


#: The Huffman code and its length in bits, by symbol.
CODES = _build_codes()
