"""``h3load``, the HTTP/3 client of ``bench.macro``: what it counts, and what it says of every other end of a request.

The server is aioquic's, so that nothing of ours is on either side.
"""

import asyncio
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve as listen
from aioquic.h3.connection import H3_ALPN, ErrorCode, FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from aioquic.tls import SessionTicket

from bench.macro import h3load
from bench.macro.contest import write_certificate
from bench.macro.h3load import Plan, run_plan
from bench.macro.load import Load, LoadFailed
from bench.macro.workload import Workload, build_body, choose_workloads

pytestmark = pytest.mark.skipif(bool(h3load.find_missing()), reason=h3load.find_missing())

KINDS = ("opened", "whole", "wrong", "reset", "lost", "rejected", "unfinished")


class Peer(QuicConnectionProtocol):
    """Answers 200 and the body that came; a path may say otherwise, on every second request of a connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http: H3Connection | None = None
        self.requests = 0
        self.bodies: dict[int, bytes] = {}
        self.paths: dict[int, bytes] = {}

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is not None:
            for found in self.http.handle_event(event):
                self.on_event(found)

    def on_event(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.paths[event.stream_id] = dict(event.headers)[b":path"]
            self.bodies[event.stream_id] = dict(event.headers).get(b"x-name", b"")
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
        if isinstance(event, HeadersReceived | DataReceived) and event.stream_ended:
            self.requests += 1
            way = WAYS[self.paths.pop(event.stream_id)]
            (way if self.requests % 2 == 0 else answer)(self, event.stream_id)
            self.transmit()


def answer(peer: Peer, stream: int, status: bytes = b"200") -> None:
    assert peer.http is not None
    peer.http.send_headers(stream, [(b":status", status)])
    peer.http.send_data(stream, peer.bodies.pop(stream), end_stream=True)


def reject(peer: Peer, stream: int) -> None:
    peer._quic.reset_stream(stream, ErrorCode.H3_REQUEST_REJECTED)


def reset(peer: Peer, stream: int) -> None:
    peer._quic.reset_stream(stream, ErrorCode.H3_INTERNAL_ERROR)


def leave(peer: Peer, stream: int) -> None:
    """GOAWAY for this request and all after it, and then the end."""
    assert peer.http is not None
    control = peer.http._local_control_stream_id
    assert control is not None
    peer._quic.send_stream_data(control, encode_frame(FrameType.GOAWAY, bytes([stream])))
    peer.transmit()
    peer._quic.close(ErrorCode.H3_NO_ERROR)


WAYS: dict[bytes, Callable[[Peer, int], None]] = {
    b"/": answer,
    b"/missing": lambda peer, stream: answer(peer, stream, b"404"),
    b"/reset": reset,
    b"/reject": reject,
    b"/close": lambda peer, stream: peer._quic.close(ErrorCode.H3_NO_ERROR),
    b"/leave": leave,
    b"/never": lambda peer, stream: None,
}


@contextmanager
def serve(directory: Path, retry: bool = False) -> Iterator[int]:
    """The port of a ``Peer`` for each connection."""
    write_certificate(directory)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    loop = asyncio.new_event_loop()
    tickets: list[SessionTicket] = []
    options = {"create_protocol": Peer, "retry": retry, "session_ticket_handler": tickets.append}
    server = loop.run_until_complete(listen("127.0.0.1", 0, configuration=configuration, **options))  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert server._transport is not None
        yield server._transport.get_extra_info("sockname")[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def count(summary: dict[str, Any]) -> dict[str, int]:
    """What is not 0 of what became of the requests."""
    return {kind: summary[kind] for kind in KINDS if summary[kind]}


def test_what_is_asked_is_counted(tmp_path: Path) -> None:
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, connections=2, streams=4, requests=101, fields=(("x-name", "twelve bytes"),)))
    assert count(summary) == {"opened": 101, "whole": 101}
    assert summary["bytes"] == 101 * 12
    assert summary["handshakes"] == 2
    assert (summary["failed"], summary["retries"], summary["negotiations"]) == (0, 0, 0)
    assert 0 < summary["cpu_s"] <= summary["seconds"] + 0.01
    assert 0 < summary["latency_us"]["p50"] <= summary["latency_us"]["max"]


@pytest.mark.parametrize("size", [1, 4096, 300_000])
def test_a_body_is_posted_whole(size: int, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(size))
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, streams=2, requests=3, length=size), body)
    assert count(summary) == {"opened": 3, "whole": 3}
    assert summary["bytes"] == 3 * size


@pytest.mark.parametrize("renewal", [1, 4])
def test_connections_are_renewed(renewal: int, tmp_path: Path) -> None:
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, streams=2, requests=8, renewal=renewal))
    assert count(summary) == {"opened": 8, "whole": 8}
    assert summary["handshakes"] == 8 // renewal


def test_a_retry_and_a_negotiation_are_followed(tmp_path: Path) -> None:
    with serve(tmp_path, retry=True) as port:
        summary = run_plan(Plan(port, requests=1, version="1a2a3a4a"))
    assert count(summary) == {"opened": 1, "whole": 1}
    assert (summary["retries"], summary["negotiations"], summary["handshakes"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("path", "counted", "handshakes"),
    [
        ("/missing", {"opened": 4, "whole": 2, "wrong": 2}, 1),
        ("/reset", {"opened": 4, "whole": 2, "reset": 2}, 1),
        ("/close", {"opened": 4, "whole": 2, "lost": 2}, 2),
        # Asked again, and answered then, since every second request of a connection is rejected.
        ("/reject", {"opened": 7, "whole": 4, "rejected": 3}, 1),
        ("/leave", {"opened": 7, "whole": 4, "rejected": 3}, 4),
    ],
)
def test_every_request_is_told_by_its_end(path: str, counted: dict[str, int], handshakes: int, tmp_path: Path) -> None:
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, path, requests=4))
    assert count(summary) == counted
    assert summary["handshakes"] == handshakes


def test_a_wrong_length_is_wrong(tmp_path: Path) -> None:
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, requests=1, length=1))
    assert count(summary) == {"opened": 1, "wrong": 1}


def test_what_is_not_answered_in_time_is_unfinished(tmp_path: Path) -> None:
    with serve(tmp_path) as port:
        summary = run_plan(Plan(port, "/never", streams=2, requests=4, seconds=0.1))
    assert count(summary) == {"opened": 4, "whole": 2, "unfinished": 2}


def test_kib_of_answers_are_counted_in_the_file(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    body = tmp_path / "body"
    body.write_bytes(bytes(10_000))
    with serve(tmp_path) as port:
        argv = h3load.command(Plan(port, requests=10, in_kib=True), body, counter)
        subprocess.run(argv, check=True, capture_output=True, timeout=10)
    assert int.from_bytes(counter.read_bytes(), "little") == 10 * 10_000 // 1024


def test_nobody_there_is_an_error() -> None:
    assert run_plan(Plan(1, requests=1)) == {"error": "no handshake succeeds"}


def test_no_summary_is_an_error() -> None:
    with pytest.raises(LoadFailed, match="no summary from h3load: 'killed'"):
        h3load.parse_summary("killed")


@pytest.mark.parametrize(
    ("summary", "fault"),
    [
        ({"bytes": 1}, ""),
        ({"bytes": 0}, "no request answered"),
        ({"bytes": 1, "lost": 2, "wrong": 1}, "errors: 1 wrong, 2 lost"),
    ],
)
def test_a_fault_is_named(summary: dict[str, int], fault: str) -> None:
    assert h3load.find_fault({**dict.fromkeys(h3load.FAILURES, 0), **summary}) == fault


@pytest.mark.parametrize("workload", choose_workloads(["h3"]), ids=lambda workload: workload.name)
def test_every_workload_has_its_command(workload: Workload, tmp_path: Path) -> None:
    argv = h3load.command(h3load.make_plan(workload, 443, Load()), tmp_path / "body", None)
    words = " ".join(argv)
    length = len(workload.answer) if workload.answer is not None else len(build_body(workload))
    assert re.search(rf"-c {workload.connections} -m {workload.streams} .* -l {length} ", words)
    assert ("-r 1" in words) == workload.renewed
    assert ("-k" in argv) == workload.in_kib
    assert argv[-3:] == ["127.0.0.1", "443", workload.path]
