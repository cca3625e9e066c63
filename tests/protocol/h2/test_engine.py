"""The engine alone: what it reads and tells, what it writes, and what it needs of ``h2`` beyond its interface."""

import ast
import inspect
from typing import Any

import hpack
import pytest
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from fastserver._speedups.contract import H2Limits, Limits
from fastserver._speedups.h2.budget import Budget
from fastserver._speedups.h2.codes import END_HEADERS, END_STREAM, FIRST_WINDOW, HEADERS
from fastserver._speedups.h2.errors import (
    CANCEL,
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    ConnectionFault,
)
from fastserver.protocol.h2 import engine as seam
from fastserver.protocol.h2.engine import LARGEST_FRAME, Engine
from tests._speedups.h2 import wire
from tests._speedups.h2.test_frames import CASES, Case
from tests._speedups.h2.wire import OPENING, SETTINGS_ACK, frame, u32
from tests.fakes import DEFAULT_LIMITS

FIELDS = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/")]
FIELD = [(b"x-name", b"value")]


class Ear:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


class Bench:
    """An engine behind its opening, with a client's encoder and decoder."""

    def __init__(self, **h2: int) -> None:
        self.limits = Limits(**DEFAULT_LIMITS, h2=H2Limits(**h2))
        self.ear = Ear()
        self.engine = Engine(self.ear, self.limits, Budget(self.limits))
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.engine.start()
        self.first = self.read()
        self.engine.receive(OPENING + SETTINGS_ACK, 100)
        self.read()
        self.ear.told.clear()

    def feed(self, data: bytes, most: int = 100) -> int:
        return self.engine.receive(data, most)

    def head(self, stream_id: int = 1, ends: bool = False, fields: Any = FIELDS) -> bytes:
        return wire.headers(stream_id, self.encoder.encode(fields), END_HEADERS | (END_STREAM if ends else 0))

    def read(self) -> list[Any]:
        """The frames that were written since the last call."""
        data = memoryview(self.engine.take_output())
        frames = []
        while data:
            read, size = Frame.parse_frame_header(data[:9])
            read.parse_body(data[9 : 9 + size])
            frames.append(read)
            data = data[9 + size :]
        return frames

    def read_one(self, kind: type[Any]) -> Any:
        [read] = self.read()
        assert type(read) is kind
        return read


def read_resets(bench: Bench) -> list[tuple[int, int]]:
    return [(read.stream_id, read.error_code) for read in bench.read() if isinstance(read, RstStreamFrame)]


# ---- What is needed of h2 --------------------------------------------------------------------------------------------


def find_private_names() -> set[str]:
    """The private names of ``h2`` in the engine's text: those of ``_Connection``, and of objects that are not ours."""
    tree = ast.parse(inspect.getsource(seam))
    [inner] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Connection"]
    names = {node.name for node in ast.walk(inner) if isinstance(node, ast.FunctionDef)}
    names |= {node.attr for node in ast.walk(inner) if isinstance(node, ast.Attribute)}
    others = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    names |= {node.attr for node in others if ast.unparse(node.value) == "self._connection"}
    return {name for name in names if name.startswith("_")}


def test_the_private_names_of_h2_are_there() -> None:
    connection = H2Connection()
    ours = find_private_names()
    assert ours == {
        "_receive_headers_frame", "_handle_data_on_closed_stream", "_stream_closed_by", "_closed_streams",
        "_frame_dispatch_table", "_events",
    }  # fmt: skip
    assert {name for name in ours if not hasattr(connection, name)} == {"_events"}
    assert hasattr(StreamClosedError(1), "_events")


@pytest.mark.parametrize("name", ["incoming_buffer", "decoder", "encoder", "max_inbound_frame_size"])
def test_what_is_replaced_is_there(name: str) -> None:
    assert name in vars(H2Connection())


@pytest.mark.parametrize("name", ["_receive_headers_frame", "_handle_data_on_closed_stream"])
def test_what_is_overridden_is_called_alike(name: str) -> None:
    theirs, ours = (inspect.signature(getattr(kind, name)) for kind in (H2Connection, seam._Connection))
    assert list(ours.parameters) == list(theirs.parameters)
    assert getattr(seam._Connection, name) is not getattr(H2Connection, name)


# ---- Reading ---------------------------------------------------------------------------------------------------------


def test_start_says_the_limits() -> None:
    bench = Bench(streams=7, header_list=9000, stream_window=70000, connection_window=200000, frame=20000)
    settings, update = bench.first
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {1: 4096, 2: 0, 3: 7, 4: 70000, 5: 20000, 6: 9000, 8: 1}
    assert isinstance(update, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (0, 200000 - FIRST_WINDOW)


def test_a_request_is_told_part_by_part() -> None:
    bench = Bench()
    assert bench.feed(bench.head(fields=FIELDS) + wire.data(1, b"body")) == 2
    assert bench.ear.told == [("on_head", 1, FIELDS, False), ("on_data", 1, b"body", 4, False)]
    trailers = wire.headers(1, bench.encoder.encode(FIELD), END_HEADERS | END_STREAM)
    bench.ear.told.clear()
    assert bench.feed(trailers) == 1
    assert bench.ear.told == [("on_trailers", 1, FIELD)]


def test_what_else_a_peer_says() -> None:
    bench = Bench()
    bench.feed(bench.head() + wire.window_update(0, 5) + wire.window_update(1, 5) + wire.settings((4, 9)))
    assert bench.ear.told[1:] == [("on_window", 0), ("on_window", 1), ("on_window", 0)]
    bench.ear.told.clear()
    bench.feed(SETTINGS_ACK)
    bench.feed(wire.rst_stream(1))
    assert bench.ear.told == [("on_settings_acknowledged",), ("on_reset", 1)]


def test_a_turn_has_so_many_frames() -> None:
    bench = Bench()
    assert bench.feed(wire.ping() * 5, 3) == 3
    assert bench.engine.has_more()
    assert bench.feed(b"", 3) == 2
    assert not bench.engine.has_more()
    assert len(bench.read()) == 5


def test_in_block() -> None:
    bench = Bench()
    block = bench.encoder.encode(FIELDS)
    bench.feed(frame(HEADERS, END_STREAM, 1, block[:2]))
    assert bench.engine.is_in_block()
    bench.feed(wire.continuation(1, block[2:], END_HEADERS))
    assert not bench.engine.is_in_block()
    assert bench.ear.told == [("on_head", 1, FIELDS, True)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_fault_is_answered_with_its_code(case: Case) -> None:
    limits = Limits(**DEFAULT_LIMITS)
    engine = Engine(Ear(), limits, Budget(limits))
    engine.start()
    engine.receive(case.good, 100)
    engine.take_output()
    with pytest.raises(ConnectionFault) as caught:
        engine.receive(case.bad, 100)
    said = engine.take_output()
    assert said[-17:-8] == frame(7, size=8)
    assert int.from_bytes(said[-4:], "big") == caught.value.code
    assert type(caught.value.code) is int


@pytest.mark.parametrize("is_over", [False, True], ids=["open", "reset"])
@pytest.mark.parametrize(
    ("block", "code"), [(b"\x80", COMPRESSION_ERROR), (b"\x82" * 200, ENHANCE_YOUR_CALM)], ids=["broken", "too large"]
)
def test_a_block_that_cannot_be_decoded_ends_the_connection(block: bytes, code: int, is_over: bool) -> None:
    """Whoever decodes it: ``h2``, or the engine for a stream that is over."""
    bench = Bench(header_list=4096)
    bench.feed(bench.head())
    if is_over:
        bench.engine.reset(1, CANCEL)
    bench.read()
    with pytest.raises(ConnectionFault) as caught:
        bench.feed(wire.headers(1 if is_over else 3, block, END_HEADERS | END_STREAM))
    assert (caught.value.code, type(caught.value.code)) == (code, int)
    assert bench.read_one(GoAwayFrame).error_code == code


def test_a_fault_that_h2_finds_has_a_plain_code() -> None:
    bench = Bench()
    bench.feed(bench.head(1, ends=True))
    bench.engine.respond(1, 200, [], True)
    bench.engine.forget(1)
    bench.read()
    with pytest.raises(ConnectionFault) as caught:
        bench.feed(bench.head(1))
    assert (caught.value.code, type(caught.value.code)) == (STREAM_CLOSED, int)
    assert bench.read_one(GoAwayFrame).error_code == STREAM_CLOSED


def test_go_away_of_the_peer_leaves_streams_open() -> None:
    bench = Bench()
    bench.feed(bench.head() + wire.goaway())
    assert ("on_go_away",) in bench.ear.told
    bench.engine.respond(1, 200, FIELD, False)
    bench.feed(wire.data(1, b"more", END_STREAM))
    assert bench.ear.told[-1] == ("on_data", 1, b"more", 4, True)
    assert isinstance(bench.read_one(HeadersFrame), HeadersFrame)


# ---- Writing ---------------------------------------------------------------------------------------------------------


def test_a_response() -> None:
    bench = Bench()
    bench.feed(bench.head(ends=True))
    bench.engine.respond(1, 103, FIELD, False)
    bench.engine.respond(1, 200, FIELD, False)
    bench.engine.send_data(1, b"body", False)
    bench.engine.trail(1, FIELD)
    early, head, data, trailers = bench.read()
    assert bench.decoder.decode(early.data, raw=True) == [(b":status", b"103"), *FIELD]
    assert bench.decoder.decode(head.data, raw=True) == [(b":status", b"200"), *FIELD]
    assert data.data == b"body"
    assert bench.decoder.decode(trailers.data, raw=True) == FIELD
    assert ["END_STREAM" in read.flags for read in (early, head, data, trailers)] == [False, False, False, True]


def test_windows_of_a_stream() -> None:
    bench = Bench()
    bench.feed(wire.settings((4, 10)) + bench.head(ends=True) + bench.head(3, ends=True))
    bench.engine.respond(1, 200, [], False)
    assert (bench.engine.get_window(1), bench.engine.is_shut(1)) == (10, False)
    bench.engine.send_data(1, bytes(10), False)
    assert (bench.engine.get_window(1), bench.engine.is_shut(1)) == (0, True)
    assert (bench.engine.get_window(3), bench.engine.is_shut(3)) == (10, False)


def test_the_window_of_the_connection_shuts_no_stream() -> None:
    bench = Bench()
    bench.feed(wire.settings((4, FIRST_WINDOW + 1)) + bench.head(ends=True))
    bench.engine.respond(1, 200, [], False)
    for size in (16384, 16384, 16384, FIRST_WINDOW - 3 * 16384):
        bench.engine.send_data(1, bytes(size), False)
    assert (bench.engine.get_window(1), bench.engine.is_shut(1)) == (0, False)


@pytest.mark.parametrize(("announced", "limit"), [(16384, 16384), (LARGEST_FRAME, LARGEST_FRAME),
                                                  (LARGEST_FRAME + 1, LARGEST_FRAME)])  # fmt: skip
def test_the_limit_of_a_frame(announced: int, limit: int) -> None:
    bench = Bench()
    bench.feed(wire.settings((5, announced)))
    assert bench.engine.get_frame_limit() == limit


def test_acknowledge_gives_the_windows_back() -> None:
    bench = Bench(stream_window=1000)
    bench.feed(bench.head() + wire.data(1, bytes(800)))
    bench.engine.acknowledge(1, 800)
    assert (1, 800) in [
        (read.stream_id, read.window_increment) for read in bench.read() if isinstance(read, WindowUpdateFrame)
    ]


# ---- The end of a stream, and of the connection ----------------------------------------------------------------------


def test_reset_says_whether_there_was_a_stream() -> None:
    bench = Bench()
    bench.feed(bench.head())
    assert bench.engine.reset(1, CANCEL)
    assert read_resets(bench) == [(1, CANCEL)]
    bench.engine.forget(1)
    assert not bench.engine.reset(1, CANCEL)
    assert bench.read() == []


def test_a_stream_that_is_open_is_not_forgotten() -> None:
    bench = Bench()
    bench.feed(bench.head())
    bench.engine.forget(1)
    bench.feed(wire.data(1, b"more"))
    assert bench.ear.told[-1] == ("on_data", 1, b"more", 4, False)
    bench.engine.forget(99)


def test_what_is_late_on_a_forgotten_stream_is_dropped() -> None:
    """The peer cannot know; the block is decoded all the same."""
    bench = Bench()
    bench.feed(bench.head())
    bench.engine.reset(1, CANCEL)
    bench.engine.forget(1)
    bench.read()
    bench.ear.told.clear()
    bench.feed(wire.headers(1, bench.encoder.encode(FIELD), END_HEADERS | END_STREAM))
    bench.feed(bench.head(3, fields=[*FIELDS, *FIELD]))
    assert bench.ear.told == [("on_head", 3, [*FIELDS, *FIELD], False)]
    assert read_resets(bench) == []


def test_what_comes_behind_the_peer_s_own_reset_is_an_event() -> None:
    bench = Bench()
    bench.feed(bench.head() + wire.rst_stream(1))
    bench.engine.forget(1)
    bench.ear.told.clear()
    bench.feed(wire.headers(1, bench.encoder.encode(FIELD), END_HEADERS | END_STREAM))
    assert bench.ear.told == [("on_reset", 1)]
    assert read_resets(bench) == [(1, STREAM_CLOSED)]


def test_a_second_head_that_ends_nothing_is_malformed() -> None:
    bench = Bench()
    bench.feed(bench.head())
    bench.ear.told.clear()
    bench.feed(bench.head(fields=FIELD))
    assert bench.ear.told == [("on_reset", 1)]
    assert read_resets(bench) == [(1, PROTOCOL_ERROR)]


def test_go_away_leaves_streams_open() -> None:
    bench = Bench()
    bench.feed(bench.head(1) + bench.head(3))
    assert bench.engine.highest_stream_id == 3
    bench.engine.go_away(3, NO_ERROR)
    bench.engine.respond(1, 200, [], False)
    bench.feed(wire.data(1, b"more", END_STREAM) + bench.head(5))
    bench.engine.send_data(1, b"body", True)
    away, head, data = bench.read()
    assert (type(away), away.last_stream_id, away.error_code) == (GoAwayFrame, 3, NO_ERROR)
    assert (type(head), data.data, "END_STREAM" in data.flags) == (HeadersFrame, b"body", True)
    # Which of those behind it are served is the listener's to say.
    assert bench.ear.told[-1] == ("on_head", 5, FIELDS, False)


def test_go_away_stands_where_it_was_said() -> None:
    bench = Bench()
    bench.feed(bench.head())
    bench.engine.respond(1, 200, [], False)
    bench.engine.go_away(1, NO_ERROR)
    bench.engine.send_data(1, b"", True)
    assert [type(read).__name__ for read in bench.read()] == ["HeadersFrame", "GoAwayFrame", "DataFrame"]
    assert bench.engine.take_output() == b""


def test_close_lets_go_of_the_listener() -> None:
    bench = Bench()
    bench.engine.close()
    assert bench.ear not in vars(bench.engine).values()
    assert not bench.engine.has_more()
    assert u32(0) not in bench.engine.take_output()
