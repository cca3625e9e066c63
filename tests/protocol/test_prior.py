"""HTTP/2 by prior knowledge: the first bytes choose, and the chosen protocol gets them all, however they are cut."""

import weakref
from functools import partial
from typing import Any

import pytest

from fastserver._speedups.connection import drain, survey, sweep
from fastserver._speedups.contract import Host, Protocol
from fastserver._speedups.h1.connection import H1Connection
from fastserver._speedups.h2.codes import PREFACE
from fastserver._speedups.observers import Observer, Observers
from fastserver.events import Closed, ConnectionState, RawData, Updated
from fastserver.protocol.prior import UNSUPPORTED, PriorKnowledge
from tests.fakes import echo, make_host
from tests.handloop import HandLoop
from tests.pipe import Pipe

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Double(Protocol):
    """Stands for HTTP/2: it remembers what it hears, and answers the first bytes with SETTINGS."""

    def __init__(self, connection: Any, host: Host) -> None:
        self.connection = connection
        self.deadline = float("inf")
        self.data = b""
        self.heard: list[str] = []

    def handle(self, event: Any) -> None:
        self.heard.append(type(event).__name__)
        if isinstance(event, RawData):
            if not self.data:
                self.connection.send(RawData(SETTINGS))
            self.data += event.data

    def drain(self) -> None:
        self.heard.append("drain")

    def on_eof(self) -> None:
        self.heard.append("eof")

    def describe_state(self) -> str:
        return "double"


class Site:
    """One connection whose protocol the first bytes choose, and the hands of its client."""

    def __init__(self, http1: bool = True, **limits: float) -> None:
        self.loop = HandLoop()
        self.host = make_host(echo, self.loop, **limits)
        self.pipe: Any = Pipe(self.host)
        self.open_h1 = H1Connection if http1 else None

    def open(self, make: Any = None) -> "Site":
        make = make or partial(PriorKnowledge, open_h2=Double, open_h1=self.open_h1)
        with self.loop.running():
            self.pipe.open(make, "http/1.1" if self.open_h1 else "h2")
        self.loop.settle()
        return self

    def feed(self, *reads: bytes) -> "Site":
        for data in reads:
            with self.loop.running():
                if self.pipe.wire is not None:
                    self.pipe.take(RawData(data))
            self.loop.settle()
        return self

    def advance(self, seconds: float) -> "Site":
        clock = self.host.clock
        clock.tick(clock.now + seconds, clock.wall_s + seconds)
        with self.loop.running():
            sweep(self.host)
        self.loop.settle()
        return self


def cut(data: bytes) -> list[tuple[bytes, ...]]:
    """``data`` whole, in two reads cut at each byte, and byte by byte."""
    halves = [(data[:place], data[place:]) for place in range(1, len(data))]
    return [(data,), *halves, tuple(data[place : place + 1] for place in range(len(data)))]


def answer(*reads: bytes, make: Any = None) -> tuple[bytes, str]:
    site = Site().open(make).feed(*reads)
    return site.pipe.out, site.pipe.protocol


def get_status(out: bytes) -> bytes:
    line = out.partition(b"\r\n")[0]
    assert line.startswith(b"HTTP/1.1 ")
    return line


@pytest.mark.parametrize("rest", [b"", SETTINGS, PREFACE])
def test_the_preface_is_http_2(rest: bytes) -> None:
    for reads in cut(PREFACE + rest):
        site = Site().open().feed(*reads)
        pipe, metrics = site.pipe, site.host.metrics
        assert type(pipe.wire) is Double
        assert (pipe.wire.data, pipe.wire.heard[:2]) == (PREFACE + rest, ["Updated", "RawData"])
        assert (pipe.out, pipe.protocol, pipe.protocol_state) == (SETTINGS, "h2", "double")
        assert pipe.tally is metrics.get_tally("h2")
        assert survey(site.host) == {"h2": {"active": 0, "idle": 1, "closing": 0}}
        assert (pipe.bytes_in, metrics.raw_data_in, metrics.connections_opened) == (len(PREFACE + rest), len(reads), 1)


@pytest.mark.parametrize(
    "data",
    [
        GET,
        GET + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + GET,
        b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\r\n",
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
        b"\r\n" + GET,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
    ],
)
def test_all_else_is_http_1_as_if_nothing_had_stood_before_it(data: bytes) -> None:
    for reads in cut(data):
        assert answer(*reads) == answer(*reads, make=H1Connection)


@pytest.mark.parametrize("place", range(len(PREFACE)))
def test_one_byte_that_differs_is_enough(place: int) -> None:
    other = PREFACE[:place] + b"\xff"
    assert type(Site().open().feed(other).pipe.wire) is H1Connection
    assert type(Site().open().feed(PREFACE[:place], b"\xff").pipe.wire) is not PriorKnowledge
    for reads in ((other,), (PREFACE[:place], b"\xff") if place else (b"\xff",)):
        site = Site(http1=False).open().feed(*reads, PREFACE)
        assert (site.pipe.out, site.pipe.state) == (UNSUPPORTED, ConnectionState.CLOSED)
        assert site.host.metrics.snapshot()["refused_requests"] == {"h2": {"505": 1}}


def test_observers_hear_each_read_once() -> None:
    site = Site()
    heard: list[Any] = []
    hear = lambda connection, direction, event: heard.append((connection.protocol, event))  # noqa: E731
    site.host.observers = Observers([Observer(hear, "a", site.host.error_log, None)])
    site.open().feed(PREFACE[:5], PREFACE[5:], b"x")
    assert [(name, getattr(event, "data", None)) for name, event in heard] == [
        ("http/1.1", None),
        ("http/1.1", PREFACE[:5]),
        ("http/1.1", PREFACE[5:]),
        ("h2", SETTINGS),
        ("h2", b"x"),
    ]
    assert isinstance(heard[0][1], Updated)


def test_nothing_of_it_stays() -> None:
    for reads in ((PREFACE[:9], PREFACE[9:]), (b"P", b"OST")):
        site = Site().open()
        chooser = weakref.ref(site.pipe.wire)
        site.feed(*reads)
        assert chooser() is None


@pytest.mark.parametrize("http1", [True, False])
def test_a_client_that_says_nothing_is_closed_without_a_word(http1: bool) -> None:
    site = Site(http1, timeout_request_header=10).open().advance(9.9)
    assert (site.pipe.state, site.pipe.protocol_state) == (ConnectionState.IDLE, "waiting_preface")
    assert (site.advance(0.1).pipe.state, site.pipe.out) == (ConnectionState.CLOSED, b"")


@pytest.mark.parametrize("held", [PREFACE[:1], PREFACE[:-1]])
def test_a_preface_that_drips_takes_too_long(held: bytes) -> None:
    plain = Site(timeout_request_header=10).open(H1Connection).feed(held).advance(10)
    site = Site(timeout_request_header=10).open().feed(held).advance(9.9)
    assert site.pipe.out == b""
    assert get_status(site.advance(0.1).pipe.out) == get_status(plain.pipe.out)
    silent = Site(http1=False, timeout_request_header=10).open().feed(held).advance(10)
    assert (silent.pipe.out, silent.pipe.state) == (b"", ConnectionState.CLOSED)


def test_the_choice_gives_a_head_no_more_time() -> None:
    site = Site(timeout_request_header=10).open().feed(b"P").advance(9).feed(b"OST / HT").advance(0.9)
    assert site.pipe.out == b""
    assert site.advance(0.1).pipe.out.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("held", [b"", PREFACE[:1], PREFACE[:-1]])
def test_the_end_of_the_client(held: bytes) -> None:
    site = Site().open()
    if held:
        site.feed(held)
    with site.loop.running():
        site.pipe.take_eof()
    assert (site.pipe.state, site.pipe.out, site.host.connections) == (ConnectionState.CLOSED, b"", set())


def test_the_end_of_the_client_after_the_choice() -> None:
    site = Site().open().feed(PREFACE)
    with site.loop.running():
        site.pipe.take_eof()
    assert site.pipe.wire.heard[-1] == "eof"


def test_idle_is_who_has_said_nothing() -> None:
    limits: Any = {"timeout_keep_alive": 5, "timeout_request_header": 10}
    assert Site(**limits).open().advance(5).pipe.state is ConnectionState.CLOSED
    site = Site(**limits).open().feed(PREFACE[:3]).advance(5)
    assert site.pipe.state is ConnectionState.IDLE
    assert site.feed(PREFACE[3:]).pipe.protocol == "h2"


def test_a_server_that_stops_lets_a_begun_request_through() -> None:
    site = Site(timeout_keep_alive_min=1).open().feed(b"P")
    silent: Any = Pipe(site.host)
    with site.loop.running():
        silent.open(partial(PriorKnowledge, open_h2=Double, open_h1=H1Connection))
        drain(site.host)
    site.advance(1)
    assert (silent.state, site.pipe.state) == (ConnectionState.CLOSED, ConnectionState.IDLE)
    site.feed(b"OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert site.pipe.out.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in site.pipe.out


def test_an_operator_ends_it() -> None:
    silent, begun = Site().open(), Site().open().feed(PREFACE[:5])
    for site in (silent, begun):
        with site.loop.running():
            site.pipe.close()
        site.loop.settle()
    assert (silent.pipe.state, begun.pipe.state) == (ConnectionState.CLOSED, ConnectionState.IDLE)
    begun.feed(PREFACE[5:])
    assert begun.pipe.wire.heard == ["Updated", "drain", "RawData"]


def test_the_connection_is_lost() -> None:
    site = Site().open().feed(PREFACE[:5])
    chooser = site.pipe.wire
    with site.loop.running():
        site.pipe.abort()
        chooser.handle(Closed())
    assert (site.pipe.state, site.pipe.out, site.host.connections) == (ConnectionState.CLOSED, b"", set())
