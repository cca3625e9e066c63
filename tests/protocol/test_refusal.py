"""What a refused HTTP/2 client is told, in frames that hyperframe reads."""

from typing import Any

import pytest
from hyperframe.frame import Frame, GoAwayFrame, SettingsFrame

from fastserver.events import ConnectionState, RawData
from fastserver.protocol.refusal import INSECURE, OVERLOADED, Refusal, render_refusal
from tests.fakes import echo, make_host
from tests.handloop import HandLoop
from tests.pipe import Pipe


def split_frames(data: bytes) -> list[Frame]:
    frames = []
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        frames.append(frame)
        data = data[9 + size :]
    return frames


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (render_refusal(0, b""), 0, b""),
        (OVERLOADED, 11, b"too many connections"),
        (INSECURE, 12, b"the cipher suite is prohibited by RFC 9113"),
    ],
)
def test_the_frames(data: bytes, code: int, reason: bytes) -> None:
    settings, goaway = split_frames(data)
    assert isinstance(settings, SettingsFrame)
    assert (settings.stream_id, set(settings.flags), settings.settings) == (0, set(), {})
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.stream_id, goaway.last_stream_id, goaway.error_code) == (0, 0, code)
    assert goaway.additional_data == reason


def test_it_is_said_and_the_connection_ends() -> None:
    loop = HandLoop()
    host = make_host(echo, loop)
    pipe: Any = Pipe(host)
    with loop.running():
        pipe.open(lambda connection, host: Refusal(connection, INSECURE), "h2")
    loop.settle()
    assert (pipe.out, pipe.state, host.connections) == (INSECURE, ConnectionState.CLOSED, set())


def test_what_a_client_says_while_it_closes_is_not_heard() -> None:
    loop = HandLoop()
    pipe: Any = Pipe(make_host(echo, loop))
    pipe.close_out = lambda: None  # a transport that waits for its peer
    refusal = Refusal(pipe, INSECURE)
    with loop.running():
        pipe.enter(refusal, "h2")
        pipe.take(RawData(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        refusal.drain()
        pipe.take_eof()
    assert (pipe.out, pipe.state, pipe.protocol_state) == (INSECURE, ConnectionState.CLOSING, "refused")
