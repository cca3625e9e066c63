"""A client's side of the wire, byte for byte, and what comes of feeding it: to `MessageReader`, and to wsproto."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import Extension

from fastserver._speedups.websocket import reader

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
KEY = b"\x37\xfa\x21\x3d"
LIMIT = 1 << 20

#: ("text", str), ("binary", bytes), ("ping", bytes), ("pong", bytes), ("close", code, reason), ("fault", code).
Item = tuple[Any, ...]


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def head(first: int, length: int, *, form: int | None = None, masked: bool = True) -> bytes:
    """A header without its key; `form` is how many bytes the extended length takes, 0, 2 or 8."""
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[form]
    return bytes((first, short | (0x80 if masked else 0))) + (length.to_bytes(form, "big") if form else b"")


def frame(first: int, payload: bytes = b"", *, key: bytes = KEY, form: int | None = None) -> bytes:
    return head(first, len(payload), form=form) + key + mask(payload, key)


def deflate(payload: bytes, bits: int = 12) -> bytes:
    """The payload of one compressed message (RFC 7692 section 7.2.1)."""
    deflater = zlib.compressobj(wbits=-bits)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[index : index + size] for index in range(0, len(data), size)]


def describe(item: Any) -> Item:
    if isinstance(item, str):
        return "text", item
    if isinstance(item, bytes):
        return "binary", item
    if type(item) is reader.Close:
        return "close", item.code, item.reason
    return {reader.Ping: "ping", reader.Pong: "pong"}[type(item)], item.payload


def drain(messages: reader.MessageReader) -> list[Item]:
    """All that `next` gives, and how it ends."""
    items: list[Item] = []
    try:
        while (item := messages.next()) is not None:
            items.append(describe(item))
    except reader.ReaderFault as fault:
        items.append(("fault", fault.code))
    return items


def read(pieces: Iterable[bytes], extension: Any = None, max_bytes: int = LIMIT) -> list[Item]:
    """What a reader makes of `pieces`, drained after each."""
    messages = reader.MessageReader(max_bytes, extension)
    items: list[Item] = []
    for piece in pieces:
        messages.feed(piece)
        items += drain(messages)
    return items


def read_by_wsproto(pieces: Iterable[bytes], extensions: Sequence[Extension] = ()) -> list[Item]:
    """The same from wsproto's own connection on the server's side."""
    connection = Connection(ConnectionType.SERVER, list(extensions))
    items: list[Item] = []
    parts: list[Any] = []
    for piece in pieces:
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    items.append(describe(type(event.data)().join(parts)))
                    parts = []
            elif isinstance(event, (Ping, Pong)):
                items.append(("ping" if isinstance(event, Ping) else "pong", bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                if connection.state is ConnectionState.REMOTE_CLOSING:
                    return [*items, ("close", int(event.code), event.reason)]
                return [*items, ("fault", int(event.code))]
    return items
