"""QPACK without a dynamic table: heads of requests and of responses, beside ``pylsqpack`` where it is installed.

A client's section is what our encoder makes of it, which is no shorter than the sections of others.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.macro.workload import BROWSER_FIELDS
from bench.micro.hpack import RESPONSE
from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver._speedups.qpack.encoder import encode_fields

PSEUDO = [(b":method", b"GET"), (b":path", b"/plaintext"), (b":scheme", b"https"), (b":authority", b"127.0.0.1:8000")]
_BROWSER = [(name.lower().encode(), value.encode()) for name, value in BROWSER_FIELDS]
BROWSER = [*PSEUDO, *((name, value) for name, value in _BROWSER if name != b"connection")]
#: Too long to be kept.
LONG = [(b"content-security-policy", b"default-src 'self' https://*.example.com; " * 4)]
LIMIT_BYTES = 32768

STATEMENTS = {
    "decode 4 fields": "decode_fields(SMALL_SECTION)",
    "decode 14 fields": "decode_fields(BROWSER_SECTION)",
    "encode 5 fields": "encode_response(200, RESPONSE)",
    "encode 2 fields, one of 168 bytes": "encode_response(200, LONG)",
}


def make_names(decode_fields: Callable[[bytes], Any], encode_response: Callable[[int, Any], bytes]) -> dict[str, Any]:
    """What the statements name."""
    return {
        "SMALL_SECTION": encode_fields(PSEUDO),
        "BROWSER_SECTION": encode_fields(BROWSER),
        "RESPONSE": RESPONSE,
        "LONG": LONG,
        "decode_fields": decode_fields,
        "encode_response": encode_response,
    }


def make_own(room: Room) -> dict[str, Any]:
    """Ours, of one build."""
    decode_fields = room.module("qpack.decoder").decode_fields
    return make_names(lambda section: decode_fields(section, LIMIT_BYTES), room.module("qpack.encoder").encode_response)


def make_reference() -> dict[str, Any]:
    """Those of ``pylsqpack``."""
    pylsqpack = import_module("pylsqpack")
    decoder, encoder = pylsqpack.Decoder(0, 0), pylsqpack.Encoder()
    encoder.apply_settings(0, 0)
    return make_names(
        lambda section: decoder.feed_header(0, section)[1],
        lambda status, fields: encoder.encode(0, [(b":status", b"%d" % status), *fields])[1],
    )


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each statement, a variant for each room and one for ``pylsqpack`` where it is installed."""
    names = {room.name: make_own(room) for room in rooms}
    if find_spec("pylsqpack") is not None:
        names["pylsqpack"] = make_reference()
    for space in names.values():
        assert space["decode_fields"](space["BROWSER_SECTION"]) == BROWSER
    return [
        Row(name, {variant: time_ns(statement, space, effort) for variant, space in names.items()})
        for name, statement in STATEMENTS.items()
    ]
