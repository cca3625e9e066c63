"""What RFC 9113 makes a server say: its preface, acknowledgements, and DATA within the windows."""

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from fastserver._speedups.contract import Application, Exchange, H2Limits, Request, Sink
from tests.conformance.h2cases import (
    HELLO,
    PROTOCOL_ERROR,
    answer,
    data,
    frame,
    get,
    head,
    post,
    pseudo,
    rst,
    settings,
    trailers,
    window,
)
from tests.fakes import App, Message, Receive, Recorder, Send, respond
from tests.h2wire import PREFACE, H2Wire


def make_sender(size: int) -> App:
    async def send_much(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"x" * size)

    return send_much


def sent(wire: H2Wire, stream: int = 1) -> int:
    """Octets of DATA on a stream so far."""
    return len(wire.answer(stream).body)


def count_acknowledgements(wire: H2Wire) -> int:
    wire.read()
    return sum("ACK" in frame.flags for frame in wire.frames if isinstance(frame, SettingsFrame))


def test_rule_3_4d_preface() -> None:
    wire = H2Wire(answer)
    first, *others = wire.read()
    assert isinstance(first, SettingsFrame)
    assert "ACK" not in first.flags
    assert [type(other) for other in others] == [WindowUpdateFrame]


def test_rule_6_5_3a_settings() -> None:
    wire = H2Wire(make_sender(100), reads=False)
    wire.feed(PREFACE + settings((4, 5), (4, 7)) + settings(flags=1) + get())
    assert sent(wire) == 7
    assert count_acknowledgements(wire) == 1
    wire.feed(settings())
    assert count_acknowledgements(wire) == 2
    wire.hang_up()


def test_rule_6_7c_ping() -> None:
    wire = H2Wire(answer).greet()
    wire.feed(frame(6, 0, 0, b"12345678") + frame(6, 1, 0, b"answered") + frame(6, 0, 0, b"abcdefgh"))
    assert wire.pongs == [b"12345678", b"abcdefgh"]
    assert sum(isinstance(frame, PingFrame) for frame in wire.frames) == 2
    wire.hang_up()


@pytest.mark.parametrize("code", [0, 1, 2, 0xFFFF])
def test_rule_6_8c_client_goes_away(code: int) -> None:
    """Whatever its code: it is the connection that is to end, by itself, when all is said."""
    recorder = Recorder(answer)
    wire = H2Wire(recorder)
    wire.feed(HELLO + post() + frame(7, 0, 0, bytes(4) + code.to_bytes(4, "big") + b"debug") + data(b"a", True))
    assert wire.answer(1).body == b"POST / a"
    wire.advance(2)
    assert wire.over
    assert wire.went_away[-1] == (0, 1)
    assert wire.connection.breaches == []


def test_rule_6_9_1d_windows() -> None:
    wire = H2Wire(make_sender(100_000), reads=False)
    wire.feed(PREFACE + settings((4, 100_000)) + settings(flags=1) + get())
    assert sent(wire) == 65535
    wire.feed(window(1, 1000))
    assert sent(wire) == 65535
    wire.feed(window(0, 1))
    assert sent(wire) == 65536
    wire.feed(window(0, 100_000))
    assert sent(wire) == 100_000
    assert wire.answer(1).ended
    assert max(len(frame.data) for frame in wire.frames if isinstance(frame, DataFrame)) <= 16384
    wire.hang_up()


def test_rule_6_9_2b_window_below_zero() -> None:
    wire = H2Wire(make_sender(1000), reads=False)
    wire.feed(PREFACE + settings((4, 100)) + settings(flags=1) + get())
    assert sent(wire) == 100
    wire.feed(settings((4, 40)))
    wire.feed(window(1, 60))
    assert sent(wire) == 100
    wire.feed(window(1, 1))
    assert sent(wire) == 101
    wire.feed(settings((4, 50)))
    assert sent(wire) == 111
    wire.feed(settings((4, 2000)))
    assert wire.answer(1).ended
    wire.hang_up()


def test_rule_5_1k_data_on_closed_streams_gives_the_window_back() -> None:
    """Ten windows' worth on streams that the client or the server has reset: nothing of it is lost."""
    limits = H2Limits(stream_window=65535, connection_window=65535)
    wire = H2Wire(answer, h2=limits).greet()
    room = 65535
    for number in range(1, 81, 2):
        wire.feed(post((b"content-length", b"1000000"), path=b"/now", stream=number), data(b"x" * 16384, stream=number))
        room -= 16384
        assert room >= 0
        room += sum(
            frame.window_increment
            for frame in wire.read()
            if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 0
        )
    assert wire.went_away == []
    resets = [frame for frame in wire.frames if isinstance(frame, RstStreamFrame)]
    assert len(resets) == 40
    wire.hang_up()


def test_rule_5_4_1a_last_stream() -> None:
    wire = H2Wire(answer)
    wire.feed(HELLO + get() + get(stream=3, path=b"/wait") + rst(3) + get(stream=9) + frame(6, 0, 0, b"short"))
    wire.read()
    assert wire.went_away == [(6, 9)]
    assert isinstance(wire.frames[-1], GoAwayFrame)
    assert wire.connection.finished
    wire.advance(3)
    assert wire.over
    assert wire.connection.breaches == []


class Session(Exchange):
    """A session that says nothing and remembers how it ended."""

    def __init__(self) -> None:
        self.over = False

    def start(self) -> None:
        pass

    def on_disconnect(self) -> None:
        self.over = True


class OneSession(Application):
    """Opens the same session for every request."""

    def __init__(self) -> None:
        self.session = Session()

    def open(self, sink: Sink, request: Request) -> Exchange:
        return self.session


def test_rule_8_5c_sessions_have_data_alone() -> None:
    wire = H2Wire(answer)
    application = wire.host.application = OneSession()
    wire.feed(HELLO + head([*pseudo(b"CONNECT"), (b":protocol", b"x")], ends=False) + trailers((b"x", b"y")))
    assert wire.answer(1).reset == PROTOCOL_ERROR
    assert application.session.over
    assert wire.went_away == []
