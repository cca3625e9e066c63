"""``wsload``, the WebSocket client of ``bench.macro``: what it counts, what it says, and which answers it refuses."""

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.macro import wsload
from bench.macro.load import Load, LoadFailed
from bench.macro.workload import Wire, Workload, build_body, deflate

needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="no C compiler, or no epoll"
)
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n%s\r\n"
)
DEFLATED = b"sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n"


def frame(first: int, payload: bytes) -> bytes:
    """A frame as a server sends it."""
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 1 << 16:
        return bytes([first, 126]) + len(payload).to_bytes(2, "big") + payload
    return bytes([first, 127]) + len(payload).to_bytes(8, "big") + payload


def _answer(client: socket.socket, response: bytes, answer: bytes, size: int, pongs: list[bytes]) -> None:
    """The handshake, then ``answer`` for every frame, which has ``size`` bytes; heads go out in two pieces."""
    with client:
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        client.sendall(response[:40])
        client.sendall(response[40:])
        data = data.partition(b"\r\n\r\n")[2]
        try:
            while more := client.recv(1 << 20):
                data += more
                while len(data) > 1 and len(data) >= (take := 6 + data[1] % 128 if data[:1] == b"\x8a" else size):
                    if take == size:
                        client.sendall(answer[:3])
                        client.sendall(answer[3:])
                    else:
                        pongs.append(data[6:take])
                    data = data[take:]
        except OSError:
            return  # wsload has found a fault and ended


@contextmanager
def serve(response: bytes, answer: bytes, size: int, pongs: list[bytes]) -> Iterator[int]:
    """A server for one connection that looks at nothing but pongs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def accept() -> None:
            _answer(listener.accept()[0], response, answer, size, pongs)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def run_wsload(workload: Workload, payload: bytes, response: bytes, answer: bytes, directory: Path) -> dict[str, Any]:
    """What ``wsload`` says after a twentieth of a second against ``serve``, with the ``pongs`` that it has sent."""
    pongs: list[bytes] = []
    message, counter = directory / "message", directory / "counter"
    message.write_bytes(payload)
    size = len(frame(0, payload)) + 4
    with serve(response, answer, size, pongs) as port:
        argv = wsload.command(wsload.build_program(), workload, port, Load(connections=1), (message, counter))
        argv[7] = "0.05"
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    summary = wsload.parse_summary(done.stdout)
    assert done.returncode == (1 if "error" in summary else 0)
    if "messages" in summary:
        assert int.from_bytes(counter.read_bytes(), "little") == summary["messages"]
        summary["pongs"] = pongs
    return summary


def make_session(size: int, **rest: Any) -> Workload:
    return Workload("one", "/ws", None, post_bytes=size, wire=Wire.WS, connections=1, **rest)


@needs_cc
@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 300_000])
def test_wsload_counts_what_comes_back(size: int, tmp_path: Path) -> None:
    payload = build_body(make_session(size))
    assert len(payload) == size
    summary = run_wsload(make_session(size), payload, UPGRADED % b"", frame(0x82, payload), tmp_path)
    assert summary["messages"] >= 1
    assert summary["bytes_in"] >= summary["messages"] * size
    assert 0 < summary["cpu_s"] <= summary["seconds"] + 0.01
    assert summary["latency_us"]["p50"] <= summary["latency_us"]["max"]


@needs_cc
def test_wsload_takes_pings_and_fragments_and_keeps_several_messages_under_way(tmp_path: Path) -> None:
    payload = build_body(make_session(200))
    answer = frame(0x01, payload[:50]) + frame(0x89, b"here?") + frame(0x89, b"") + frame(0x80, payload[50:])
    summary = run_wsload(make_session(200, text=True, streams=5), payload, UPGRADED % b"", answer, tmp_path)
    assert summary["messages"] >= 5
    assert summary["pongs"][:2] == [b"here?", b""]  # masked by a key of zeros


@needs_cc
def test_wsload_sends_compressed_and_reads_what_is_agreed(tmp_path: Path) -> None:
    payload = deflate(build_body(make_session(125)))
    workload = make_session(125, text=True, deflated=True)
    summary = run_wsload(workload, payload, UPGRADED % DEFLATED, frame(0xC1, b"any length"), tmp_path)
    assert summary["messages"] >= 1
    assert summary["extensions"] == "permessage-deflate; server_no_context_takeover"


@needs_cc
@pytest.mark.parametrize(
    ("response", "answer", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", b"", "the handshake is answered by HTTP/1.1 403"),
        (UPGRADED.replace(b"s3p", b"S3P") % b"", b"", "no valid Sec-WebSocket-Accept"),
        (UPGRADED % DEFLATED, b"", "an extension that was not offered"),
        (UPGRADED % b"", frame(0x82, b"x" * 124), "a message of 124 bytes came back, not 125"),
        (UPGRADED % b"", frame(0x82, b"x" * 126), "a message longer than 125 bytes came back"),
        (UPGRADED % b"", frame(0x82, b"y" * 125), "message 0 came back changed"),
        (UPGRADED % b"", frame(0x81, b"x" * 125), "opcode 1, expected 2"),
        (UPGRADED % b"", frame(0xC2, b"x" * 125), "a frame that begins with c2 7d"),
        (UPGRADED % b"", frame(0x88, b"\x03\xf3"), "closed with 1011"),
        (UPGRADED % b"", frame(0x88, b""), "closed with 1005"),
        (UPGRADED % b"", frame(0x82, b"x" * 125) * 2, "a message came back that was not sent"),
    ],
)
def test_wsload_refuses_every_other_answer(response: bytes, answer: bytes, error: str, tmp_path: Path) -> None:
    assert run_wsload(make_session(125), b"x" * 125, response, answer, tmp_path) == {"error": error}


@needs_cc
@pytest.mark.parametrize(
    ("field", "error"),
    [
        (b"", "permessage-deflate is not accepted"),
        (
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=9\r\n",
            "the extension is answered by permessage-deflate; client_max_window_bits=9",
        ),
    ],
)
def test_wsload_refuses_another_compression(field: bytes, error: str, tmp_path: Path) -> None:
    workload = make_session(125, deflated=True)
    assert run_wsload(workload, b"x", UPGRADED % field, b"", tmp_path) == {"error": error}


def test_wsload_that_says_nothing_is_an_error() -> None:
    with pytest.raises(LoadFailed, match="no summary from wsload: 'killed'"):
        wsload.parse_summary("killed")
