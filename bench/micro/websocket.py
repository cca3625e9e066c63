"""WebSocket framing: an echo through reader and writer, and beside it what wsproto's connection takes for the same."""

from collections.abc import Callable
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import Message
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns

MAX_BYTES = 16 * 1024 * 1024
READ_BYTES = 64 * 1024
OFFER = "permessage-deflate; client_max_window_bits"
SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind. "


def make_text(size: int) -> str:
    return (SENTENCE * (size // len(SENTENCE) + 1))[:size]


def make_extension() -> PerMessageDeflate:
    """What wsproto has of its own, agreed on with the server's settings."""
    extension = PerMessageDeflate(True, 12, True, 12)
    extension.accept(OFFER)
    return extension


def render(message: str | bytes, *, compressed: bool = False, fragments: int = 1) -> bytes:
    """``message`` as a client's bytes."""
    client = FrameProtocol(True, [make_extension()] if compressed else [])
    size = -(-len(message) // fragments)
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(client.send_data(part, part is parts[-1]) for part in parts)


#: What a client sends, whether deflate was agreed on, and how many bytes a read has.
CASES: dict[str, tuple[bytes, bool, int]] = {
    "echo 125 B text": (render(make_text(125)), False, MAX_BYTES),
    "echo 4 KiB text": (render(make_text(4096)), False, MAX_BYTES),
    "echo 4 KiB binary": (render(b"x" * 4096), False, MAX_BYTES),
    "echo 1 MiB binary": (render(b"x" * (1 << 20)), False, MAX_BYTES),
    "echo 1 MiB binary in 64 KiB reads": (render(b"x" * (1 << 20)), False, READ_BYTES),
    "echo 1 MiB text in 64 KiB reads": (render(make_text(1 << 20)), False, READ_BYTES),
    "echo 1 MiB binary in 2 fragments": (render(b"x" * (1 << 20), fragments=2), False, MAX_BYTES),
    "echo 125 B text, deflate": (render(make_text(125), compressed=True), True, MAX_BYTES),
    "echo 4 KiB text, deflate": (render(make_text(4096), compressed=True), True, MAX_BYTES),
}


def make_echo(room: Room, data: bytes, deflate: bool, read_bytes: int) -> Callable[[], bytes]:
    """One message from its bytes to the bytes of its answer, in one room."""
    reader, writer = room.module("websocket.reader"), room.module("websocket.writer")
    extension = room.module("websocket.deflate").negotiate(OFFER)[1] if deflate else None
    messages = reader.MessageReader(MAX_BYTES, extension)
    pieces = [data[index : index + read_bytes] for index in range(0, len(data), read_bytes)]

    def echo() -> bytes:
        answer = b""
        for piece in pieces:
            messages.feed(piece)
            while (message := messages.next()) is not None:
                render = writer.render_text if isinstance(message, str) else writer.render_binary
                answer = render(message, extension)
        return answer

    return echo


def make_wsproto_echo(data: bytes, deflate: bool, read_bytes: int) -> Callable[[], bytes]:
    """The same by wsproto alone."""
    connection = Connection(ConnectionType.SERVER, [make_extension()] if deflate else [])
    pieces = [data[index : index + read_bytes] for index in range(0, len(data), read_bytes)]

    def echo() -> bytes:
        answer = b""
        parts: list[Any] = []
        for piece in pieces:
            connection.receive_data(piece)
            for event in connection.events():
                assert isinstance(event, Message)
                parts.append(event.data)
                if event.message_finished:
                    message = type(event.data)().join(parts)
                    answer = connection.send(Message(data=message, message_finished=True))
        return answer

    return echo


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each message, a variant for each room and one for wsproto."""
    rows = []
    for name, case in CASES.items():
        echoes = {room.name: make_echo(room, *case) for room in rooms} | {"wsproto": make_wsproto_echo(*case)}
        if not all(len(echo()) > 60 for echo in echoes.values()):
            raise RuntimeError(f"{name} was not answered")
        rows.append(Row(name, {variant: time_ns("echo()", {"echo": echo}, effort) for variant, echo in echoes.items()}))
    return rows
