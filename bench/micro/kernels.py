"""The kernels: finding and splitting a request's head, inspecting and rendering a response's, compiled and plain."""

from types import ModuleType
from typing import Any

from bench.micro.requests import BROWSER, MINIMAL
from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver.config.model import Config

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"14")]
MANY_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", b"14"),
    (b"cache-control", b"private, max-age=0"),
    (b"etag", b'"5f2b7c1d"'),
    (b"vary", b"accept-encoding, cookie"),
    (b"x-request-id", b"01J9ZQ4T6V3D9K8M7N5P2R1S0W"),
    (b"set-cookie", b"session=eyJ1c2VyIjo0Mn0.Zk3vXA.7Jb0vZ1q; path=/; httponly"),
]
BODY = b"Hello, World!\n"
CHUNK = b"x" * 1024
DATE_FIELD = b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
SERVER_FIELD = b"server: fastserver\r\n"

_RENDER = "render_response({head}, BODY, -1, False, b'', DATE_FIELD, SERVER_FIELD, b'')"

STATEMENTS = {
    "find_head_end, minimal": "find_head_end(MINIMAL, 0)",
    "find_head_end, browser": "find_head_end(BROWSER, 0)",
    "check_partial_head, browser": "check_partial_head(BROWSER_PART, 0, 0, limits)",
    "split_head, minimal": "split_head(MINIMAL, 0, MINIMAL_END, limits)",
    "split_head, browser": "split_head(BROWSER, 0, BROWSER_END, limits)",
    "inspect_response, 2 fields": "inspect_response(200, HEADERS)",
    "inspect_response, 7 fields": "inspect_response(200, MANY_HEADERS)",
    "render_response, 2 fields": _RENDER.format(head="head"),
    "render_response, 7 fields": _RENDER.format(head="many_head"),
    "render_chunk, 1 KiB": "render_chunk(CHUNK, False)",
}


def make_names(room: Room) -> dict[str, Any]:
    """What the statements name, for one room."""
    heads: ModuleType = room.module("heads")
    rendering: ModuleType = room.module("rendering")
    limits = room.module("contract").Limits.from_config(Config(), 1024)
    return {
        **{name: getattr(heads, name) for name in ("find_head_end", "check_partial_head", "split_head")},
        **{name: getattr(rendering, name) for name in ("inspect_response", "render_response", "render_chunk")},
        "limits": limits,
        "MINIMAL": MINIMAL,
        "MINIMAL_END": len(MINIMAL),
        "BROWSER": BROWSER,
        "BROWSER_END": len(BROWSER),
        "BROWSER_PART": BROWSER[:-2],
        "HEADERS": HEADERS,
        "MANY_HEADERS": MANY_HEADERS,
        "head": rendering.inspect_response(200, HEADERS),
        "many_head": rendering.inspect_response(200, MANY_HEADERS),
        "BODY": BODY,
        "CHUNK": CHUNK,
        "DATE_FIELD": DATE_FIELD,
        "SERVER_FIELD": SERVER_FIELD,
    }


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each kernel and input, a variant for each room."""
    names = {room.name: make_names(room) for room in rooms}
    return [
        Row(name, {room: time_ns(statement, space, effort) for room, space in names.items()})
        for name, statement in STATEMENTS.items()
    ]
