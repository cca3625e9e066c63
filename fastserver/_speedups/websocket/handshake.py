"""The opening handshake of a WebSocket: RFC 6455 section 4.2 over HTTP/1.1, RFC 8441 section 5 over HTTP/2.

Strict, and before any application: what is not exactly a handshake is refused (WS-5), as is a page that has no business
here (WS-6).  Not compiled: it runs once a session.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from fastserver._speedups.contract import Request
from fastserver._speedups.fields import is_token
from fastserver._speedups.websocket.settings import WebSocketSettings

VERSION: Final = b"13"
KEY_BYTES: Final = 16

#: RFC 6455 section 1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Field = tuple[bytes, bytes]


class HandshakeRefused(Exception):
    """A request that opens no session: answered with ``status``, ``fields`` and ``reason``, which holds no bytes of the
    peer."""

    def __init__(self, status: int, reason: str, *fields: Field) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asked for: ``fields`` answer its key (none over HTTP/2), ``extensions`` are its offers' fields."""

    fields: tuple[Field, ...]
    subprotocols: tuple[str, ...]
    extensions: tuple[bytes, ...]


def is_handshake(request: Request) -> bool:
    """Whether an HTTP/1 request with an Upgrade field asks for a WebSocket, well or badly.

    Only a GET can; in any other request the Upgrade is ignored (RFC 9110 section 7.8).
    """
    return (
        request.method == "GET" and request.connection_upgrade and b"websocket" in split_list(request, b"upgrade", True)
    )


def read_handshake(request: Request, settings: WebSocketSettings | None) -> Handshake:
    """Check all of a handshake.  Raises ``HandshakeRefused``."""
    if request.protocol:
        fields = _check_connect(request, settings)
    else:
        fields = _check_upgrade(request)
    _check_origin(request, settings)
    subprotocols = split_list(request, b"sec-websocket-protocol")
    if not all(is_token(name) for name in subprotocols):
        raise HandshakeRefused(400, "malformed Sec-WebSocket-Protocol")
    if len(set(subprotocols)) != len(subprotocols):
        raise HandshakeRefused(400, "Sec-WebSocket-Protocol repeats a name")
    return Handshake(
        fields,
        tuple(name.decode("ascii") for name in subprotocols),
        tuple(read_values(request, b"sec-websocket-extensions")),
    )


def _check_upgrade(request: Request) -> tuple[Field, ...]:
    """RFC 6455 section 4.2.1."""
    if request.http_version != "1.1":
        raise HandshakeRefused(400, "a WebSocket needs HTTP/1.1")
    if request.chunked or request.content_length > 0:
        raise HandshakeRefused(400, "a WebSocket request has no body")
    _check_version(read_values(request, b"sec-websocket-version"))
    keys = read_values(request, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HandshakeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")
    return ((b"sec-websocket-accept", make_accept(keys[0])),)


def _check_connect(request: Request, settings: WebSocketSettings | None) -> tuple[Field, ...]:
    """RFC 8441 section 5: no key, and the version may be left out."""
    if settings is None or request.protocol != "websocket":
        raise HandshakeRefused(501, "this protocol is not served")
    versions = read_values(request, b"sec-websocket-version")
    if versions:
        _check_version(versions)
    return ()


def _check_version(versions: list[bytes]) -> None:
    if versions != [VERSION]:
        raise HandshakeRefused(426, "Sec-WebSocket-Version must be 13", (b"sec-websocket-version", VERSION))


def _check_origin(request: Request, settings: WebSocketSettings | None) -> None:
    """A list of origins names the pages that may come; who comes from none is no browser, and not on it either."""
    if settings is not None and settings.allowed_origins:
        origins = read_values(request, b"origin")
        if len(origins) != 1 or origins[0].lower() not in settings.allowed_origins:
            raise HandshakeRefused(403, "this origin is not allowed")


def _is_key(key: bytes) -> bool:
    """Whether ``key`` is what encoding 16 bytes gives: no other length, alphabet, padding or last bits."""
    try:
        nonce = base64.b64decode(key, validate=True)
        return len(nonce) == KEY_BYTES and base64.b64encode(nonce) == key
    except binascii.Error:
        return False


def make_accept(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers ``key`` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def read_values(request: Request, name: bytes) -> list[bytes]:
    """The values of a field, in order."""
    return [value for key, value in request.headers if key == name]


def split_list(request: Request, name: bytes, lower: bool = False) -> list[bytes]:
    """The elements of a field that is a list, over all its lines; empty ones do not count (RFC 9110 section 5.6.1)."""
    parts = b",".join(read_values(request, name)).split(b",")
    elements = [part.strip(b" \t") for part in parts]
    return [element.lower() if lower else element for element in elements if element]
