"""Reading HTTP/2 frames: the scanner with its budgets in both builds, and what ``h2`` comes with."""

from collections.abc import Callable
from typing import Any

from h2.frame_buffer import FrameBuffer

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver.config.model import Config

FRAMES_PER_READ = 32
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000 04 00 00000000")

#: One frame each, all of stream 1.
FRAMES = {
    "HEADERS, 5 bytes": bytes.fromhex("000005 01 05 00000001") + bytes(5),
    "HEADERS, 23 bytes": bytes.fromhex("000017 01 05 00000001") + bytes(23),
    "DATA, 100 bytes": bytes.fromhex("000064 00 00 00000001") + bytes(100),
    "DATA, 16 KiB": bytes.fromhex("004000 00 00 00000001") + bytes(16384),
    "WINDOW_UPDATE": bytes.fromhex("000004 08 00 00000001 00000064"),
}


def make_scan(room: Room) -> Callable[[bytes], None]:
    """Reads a text of frames as an engine does: a step for each frame."""
    limits = room.module("contract").Limits.from_config(Config(), 1024)
    budget = room.module("h2.budget").Budget(limits)
    scanner = room.module("h2.frames").FrameScanner(limits, budget)

    def scan(text: bytes) -> None:
        budget.begin_slice()
        for _ in range(FRAMES_PER_READ):
            # What was sent is payload, and may be answered with WINDOW_UPDATE.
            budget.count_sent(100)
        scanner.add_data(text)
        while scanner.has_frame():
            for _ in scanner:
                pass

    scan(PREFACE + SETTINGS + FRAMES["HEADERS, 5 bytes"])
    return scan


def make_buffer_scan() -> Callable[[bytes], None]:
    """The same with the buffer of ``h2``."""
    buffer = FrameBuffer(server=True)
    buffer.max_frame_size = 16384

    def scan(text: bytes) -> None:
        buffer.add_data(text)
        for _ in buffer:
            pass

    scan(PREFACE + SETTINGS)
    return scan


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each kind of frame: nanoseconds a frame, the loop around it included."""
    scans: dict[str, Callable[[bytes], None]] = {room.name: make_scan(room) for room in rooms}
    scans["h2"] = make_buffer_scan()
    rows = []
    for name, frame in FRAMES.items():
        names: dict[str, Any] = {"text": frame * FRAMES_PER_READ}
        taken = {variant: time_ns("scan(text)", names | {"scan": scan}, effort) for variant, scan in scans.items()}
        rows.append(Row(name, {variant: ns / FRAMES_PER_READ for variant, ns in taken.items()}))
    return rows
