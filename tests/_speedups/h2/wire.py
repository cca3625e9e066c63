"""Raw HTTP/2 frames as a client writes them, and a scanner to read them."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from fastserver._speedups.contract import H2Limits, Limits
from fastserver._speedups.h2 import codes
from fastserver._speedups.h2.budget import Budget
from fastserver._speedups.h2.codes import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from fastserver._speedups.h2.frames import FrameScanner
from tests.fakes import DEFAULT_LIMITS

ROOM = Path(codes.__file__).parent
#: When a test begins, in seconds of the clock.
START_S = 1000.0


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", size: int | None = None) -> bytes:
    """One frame; ``size`` where the header is to lie about it."""
    header = (len(payload) if size is None else size).to_bytes(3, "big") + bytes([kind, flags])
    return header + stream_id.to_bytes(4, "big") + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(name.to_bytes(2, "big") + u32(value) for name, value in pairs))


def headers(stream_id: int, payload: bytes = b"\x82\x87\x84\x81", flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream_id, payload)


def continuation(stream_id: int, payload: bytes = b"\x87", flags: int = 0) -> bytes:
    return frame(CONTINUATION, flags, stream_id, payload)


def data(stream_id: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, payload)


def ping(flags: int = 0) -> bytes:
    return frame(PING, flags, payload=b"12345678")


def priority(stream_id: int, depends_on: int = 0) -> bytes:
    return frame(PRIORITY, 0, stream_id, u32(depends_on) + b"\x10")


def rst_stream(stream_id: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, u32(8))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, u32(increment))


def goaway(text: bytes = b"") -> bytes:
    return frame(GOAWAY, payload=u32(0) + u32(0) + text)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


#: A way to cut a text into the pieces in which it comes.
Split: TypeAlias = Callable[[bytes], list[bytes]]

#: What every connection begins with.
OPENING = PREFACE + settings()
SETTINGS_ACK = frame(SETTINGS, ACK)


class Reader:
    """A scanner with its budget, fed as an engine feeds it."""

    def __init__(self, opening: bytes = OPENING, **limits: int) -> None:
        everything = Limits(**DEFAULT_LIMITS, h2=H2Limits(**limits))
        self.budget = Budget(everything)
        self.budget.tick(START_S)
        self.scanner = FrameScanner(everything, self.budget)
        self.frames: list[Any] = []
        self.faults: list[tuple[int, int]] = []
        self.feed(opening)
        self.frames.clear()

    def feed(self, *pieces: bytes) -> None:
        """Feed ``pieces`` and read all that they make; ``ConnectionFault`` comes as the scanner raises it."""
        for piece in pieces:
            self.scanner.add_data(piece)
            while self.scanner.has_frame():
                self.frames += self.scanner
                self.faults += self.scanner.faults
                self.scanner.faults.clear()

    def list_facts(self) -> list[dict[str, Any]]:
        """What each frame says, its hyperframe class included."""
        return [list_facts(read) for read in self.frames]


def list_facts(read: Any) -> dict[str, Any]:
    names = (name for name in dir(type(read)) if not name.startswith("_")) if is_compiled_type(read) else vars(read)
    return {"class": read.__class__.__name__} | {name: getattr(read, name) for name in names}


def is_compiled_type(read: Any) -> bool:
    return not hasattr(read, "__dict__")


def list_reasons(module: str) -> set[str]:
    """Every reason that the text of a module of this room gives to a ``ConnectionFault``."""
    tree = ast.parse(ROOM.joinpath(f"{module}.py").read_text("utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {ast.literal_eval(call.args[1]) for call in calls if ast.unparse(call.func) == "ConnectionFault"}


def cut(text: bytes) -> list[bytes]:
    """Byte by byte."""
    return [text[index : index + 1] for index in range(len(text))]
