"""HPACK: blocks as a load generator and a browser send them, and the head of a response, beside the ``hpack`` package.

"All indexed" is what every request of a connection but the first looks like, "again" the same of responses; "first" is
a connection's first block, the making of its decoder or encoder included.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hpack import Decoder, Encoder

from bench.macro.workload import BROWSER_FIELDS
from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns

PSEUDO = [(b":method", b"GET"), (b":path", b"/plaintext"), (b":scheme", b"http"), (b":authority", b"127.0.0.1:8000")]
LOAD = [*PSEUDO, (b"user-agent", b"h2load nghttp2/1.52.0")]
_BROWSER = [(name.lower().encode(), value.encode()) for name, value in BROWSER_FIELDS]
BROWSER = [*PSEUDO, *((name, value) for name, value in _BROWSER if name != b"connection")]
RESPONSE = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"14"),
    (b"date", b"Thu, 01 Jan 2026 00:00:00 GMT"),
    (b"server", b"fastserver"),
]
CAPITALS = [(name.title(), value) for name, value in RESPONSE]

STATEMENTS = {
    "decode 5 fields, all indexed": "decoder.decode(LOAD_AGAIN, True)",
    "decode 14 fields, all indexed": "decoder.decode(BROWSER_AGAIN, True)",
    "decode 14 fields, first": "make_decoder().decode(BROWSER_FIRST, True)",
    "encode 5 fields, again": "encoder.encode_head(200, RESPONSE)",
    "encode 5 fields, again, in capitals": "encoder.encode_head(200, CAPITALS)",
    "encode 5 fields, first": "make_encoder().encode_head(200, RESPONSE)",
}


class ReferenceEncoder(Encoder):
    """``hpack``'s encoder with the one method that it lacks."""

    def encode_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The head of a response, as ours gives it."""
        return self.encode([(b":status", b"%d" % status), *fields])


def make_names(make_decoder: Callable[[], Any], make_encoder: Callable[[], Any]) -> dict[str, Any]:
    """What the statements name; the decoder and the encoder have seen all fields once."""
    client, decoder, encoder = Encoder(), make_decoder(), make_encoder()
    names = {"BROWSER_FIRST": Encoder().encode(BROWSER), "RESPONSE": RESPONSE, "CAPITALS": CAPITALS}
    for name, fields in (("LOAD_AGAIN", LOAD), ("BROWSER_AGAIN", BROWSER)):
        decoder.decode(client.encode(fields), True)
        names[name] = client.encode(fields)
        assert list(decoder.decode(names[name], True)) == fields
    return {
        **names,
        "decoder": decoder,
        "encoder": encoder,
        "make_decoder": make_decoder,
        "make_encoder": make_encoder,
    }


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each statement, a variant for each room and one for the ``hpack`` package."""
    names = {
        room.name: make_names(
            partial(room.module("hpack.decoder").Decoder, 4096, 32768, 100, 16384),
            room.module("hpack.encoder").Encoder,
        )
        for room in rooms
    }
    names["hpack"] = make_names(Decoder, ReferenceEncoder)
    return [
        Row(name, {variant: time_ns(statement, space, effort) for variant, space in names.items()})
        for name, statement in STATEMENTS.items()
    ]
