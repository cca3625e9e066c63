"""The asyncio edge of UDP: a port turned by hand, and ports in real loops; the wire and the dispatcher are fakes."""

import asyncio
import gc
import inspect
import math
import re
import socket
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserver._speedups import datagrams
from fastserver._speedups.connection import abort, drain, survey, sweep
from fastserver._speedups.events import RawData, Updated
from fastserver._speedups.lifecycle import ConnectionState
from fastserver._speedups.quic.bounds import TIMER_S
from fastserver._speedups.udp import STALE_DEADLINES
from fastserver.server.connections import ConnectionTable
from tests._speedups.conftest import Run
from tests._speedups.port import Address, Bench, FakeDispatcher, Strait, check_end
from tests.site import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    check_end(bench)


@pytest.fixture
def strait() -> Iterator[Bench]:
    """A bench whose port's socket can be full."""
    if sys.platform != "linux":
        pytest.skip("a full pair of Unix sockets says so on Linux alone")
    datagrams.allow(False, True)  # such a pair would join what UDP splits again
    bench = Bench(None, sock=Strait())
    yield bench
    check_end(bench)
    datagrams.allow(True, True)


# ---- What comes in -------------------------------------------------------------------------------------------------


def test_a_connection_opens_and_answers(bench: Bench) -> None:
    assert bench.talk(b"oa first", b"-a second") == [b"OA FIRST", b"-A SECOND"]
    (wire,) = bench.wires
    (connection,) = bench.host.connections
    assert wire.heard == [Updated(True), b"oa first", b"-a second"]
    assert wire.timers == [1000.0]
    assert (connection.protocol, connection.protocol_state, connection.state) == ("h3", "open", ConnectionState.IDLE)
    assert (connection.bytes_in, connection.bytes_out) == (17, 17)
    assert (len(bench.port), bench.host.metrics.raw_data_in, bench.host.metrics.raw_data_out) == (1, 2, 2)
    assert connection.address == bench.client.getsockname()
    assert bench.dispatcher.asked == [(b"oa first", bench.client.getsockname(), 1000.0, False)]
    assert survey(bench.host)["h3"]["idle"] == 1
    assert ConnectionTable(bench.host).get(connection.id) is connection


def test_strangers(bench: Bench) -> None:
    assert bench.talk(b"rz", b"-z", b"fz data", b"") == [b"reply"]
    assert bench.forwarded == [(3, b"fz data", bench.client.getsockname(), None)]
    assert bench.wires == []


def test_a_datagram_from_another_worker(bench: Bench) -> None:
    origin = bench.client.getsockname()
    bench.port.deliver(b"oa", origin, None)
    bench.port.deliver(b"-a", origin, None)
    bench.loop.settle()
    assert bench.read() == [b"OA", b"-A"]
    assert bench.dispatcher.asked == [(b"oa", origin, 1000.0, True)]


def test_the_fake_dispatcher_is_like_the_real_one() -> None:
    """It has what the port calls, with the same parameters."""
    pytest.importorskip("aioquic")
    from fastserver.protocol.quic.dispatcher import Dispatcher

    called = set(re.findall(r"_dispatcher\.(\w+)\(", (ROOT / "fastserver" / "_speedups" / "udp.py").read_text("utf-8")))
    assert {name for name in vars(FakeDispatcher) if not name.startswith("_")} == called
    for name in called:
        fake, real = (inspect.signature(getattr(kind, name)).parameters for kind in (FakeDispatcher, Dispatcher))
        assert [(each.name, each.kind, each.default) for each in fake.values()] == [
            (each.name, each.kind, each.default) for each in real.values()
        ]


def test_what_a_wire_says_of_its_connection_ids(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.connection.note_handshake()
    wire.connection.note_connection_id(b"b", True)
    assert bench.talk(b"-b", b"-a") == [b"-B", b"-A"]
    wire.connection.note_connection_id(b"b", False)
    assert bench.talk(b"-b", b"-a") == [b"-A"]
    assert bench.dispatcher.handshakes == [wire.connection]
    assert bench.dispatcher.expired_at == [1000.0]


def test_a_turn_takes_so_many_and_no_more(bench: Bench) -> None:
    bench.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    bench.feed(b"oa", *([b"-a"] * 299))
    assert len(bench.wires[0].heard) == 1 + 256
    bench.feed()
    assert len(bench.wires[0].heard) == 1 + 300


def test_the_clock_moves_with_each_batch(bench: Bench) -> None:
    bench.loop.now += 0.25
    bench.feed(b"oa")
    assert bench.host.clock.now == 1000.25


# ---- One connection's fault ----------------------------------------------------------------------------------------


def test_a_fault_ends_its_connection_alone(bench: Bench) -> None:
    first, second = bench.open("a", "b")
    assert bench.talk(b"-a!", b"-b") == [b"-B"]
    assert first.heard[-1] == "closed"
    assert len(bench.port) == 1
    (fault,) = bench.loop.faults
    assert str(fault["exception"]) == "a fault of ours"
    bench.loop.faults.clear()
    assert second.heard[-1] == b"-b"


def test_a_wire_that_cannot_be_made(bench: Bench) -> None:
    assert bench.talk(b"oX", b"oa") == [b"OA"]
    (fault,) = bench.loop.faults
    assert str(fault["exception"]) == "no wire"
    bench.loop.faults.clear()
    assert (len(bench.port), len(bench.host.arriving)) == (1, 0)


# ---- Timers --------------------------------------------------------------------------------------------------------


def test_a_deadline(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.connection.set_timer(1000.5)
    bench.loop.advance(0.49)
    assert wire.timers == [1000.0]
    bench.loop.advance(0.01)
    assert wire.timers == [1000.0, 1000.5]
    bench.loop.advance(100)
    assert len(wire.timers) == 2


def test_the_last_word_about_a_deadline_counts(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.timers.clear()
    for when in (1001.0, 1003.0, 1002.0, 1005.0, 1004.0):
        wire.connection.set_timer(when)
    for _ in range(40):
        bench.loop.advance(0.125)
    assert wire.timers == [1004.0]
    wire.connection.set_timer(1006.0)
    wire.connection.set_timer(math.inf)
    bench.loop.advance(10)
    assert wire.timers == [1004.0]


def test_the_end_of_the_turn_may_be_taken_back(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.timers.clear()
    wire.connection.set_timer(0.0)
    wire.connection.set_timer(1002.0)
    bench.loop.settle()
    assert wire.timers == []
    bench.loop.advance(2)
    assert wire.timers == [1002.0]


def test_one_turn_asks_each_once(bench: Bench) -> None:
    wires = bench.open("a", "b")
    for wire in wires:
        wire.timers.clear()
        wire.connection.set_timer(0.0)
        wire.connection.set_timer(bench.host.clock.now)
    bench.loop.settle()
    assert [wire.timers for wire in wires] == [[1000.0], [1000.0]]


def test_many_deadlines_cost_one_timer(bench: Bench) -> None:
    wires = bench.open(*"abcdefgh")
    for index, wire in enumerate(wires):
        wire.connection.set_timer(1010.0 - index)
    assert bench.loop.count_timers() == 1
    bench.loop.advance(10)
    assert [wire.timers[1:] for wire in wires] == [[1010.0]] * 8


def test_deadlines_that_move_do_not_pile_up(bench: Bench) -> None:
    """Far, near, far, near: what a loss timer and an idle timer do."""
    (wire,) = bench.open("a")
    bench.loop.called_at.clear()
    for _ in range(5000):
        wire.connection.set_timer(bench.loop.now + 1e6)
        wire.connection.set_timer(bench.loop.now + 0.01)
        bench.loop.advance(0.01)
    assert len(wire.timers) == 1 + 5000
    assert len(bench.loop.called_at) <= 3 * 5000
    assert len(bench.port._deadlines) <= 2 + STALE_DEADLINES


def test_a_timer_that_comes_early_does_not_spin(bench: Bench) -> None:
    """uvloop rounds to milliseconds, and may call before the time."""
    (wire,) = bench.open("a")
    wire.timers.clear()
    when = bench.loop.now + 1
    wire.connection.set_timer(when)
    bench.loop.called_at.clear()
    bench.loop.now = when - TIMER_S / 4
    bench.port.on_timer()
    bench.loop.settle()
    assert wire.timers == []
    assert bench.loop.called_at == [bench.loop.now + TIMER_S]
    bench.loop.advance(TIMER_S)
    assert len(wire.timers) == 1


# ---- Writing -------------------------------------------------------------------------------------------------------


def test_nobody_is_asked_while_the_socket_is_full(strait: Bench) -> None:
    strait.deliver(b"oa", b"ob")
    first, second = strait.wires
    assert strait.sock.read() == [b"OA", b"OB"]
    strait.sock.fill()
    strait.deliver(b"-a 1", b"-a 2", b"-a 3")
    asked = len(first.timers), len(second.timers)
    strait.deliver(b"-b", b"rz")
    second.connection.set_timer(1000.5)
    second.connection.set_timer(0.0)
    first.connection.set_timer(1000.5)
    strait.loop.advance(1)
    strait.write_freely()  # a false alarm
    assert strait.loop.writers
    assert (len(first.timers), len(second.timers)) == asked
    assert strait.sock.read() == []
    strait.write_freely()
    assert strait.sock.read() == [b"-A 1", b"-A 2", b"-A 3", b"-B"]
    assert strait.loop.writers == {}
    assert (len(first.timers), len(second.timers)) == (asked[0] + 1, asked[1] + 1)
    strait.deliver(b"-a 4")
    assert strait.sock.read() == [b"-A 4"]


def test_order_is_kept_while_the_socket_is_full(strait: Bench) -> None:
    strait.deliver(b"oa")
    strait.sock.read()
    strait.sock.fill()
    strait.deliver(*(b"-a %d" % index for index in range(50)))
    found = []
    while strait.loop.writers:
        found += strait.sock.read(3)
        strait.write_freely()
    found += strait.sock.read()
    assert found == [b"-A %d" % index for index in range(50)]


def test_a_turn_that_says_much_writes_between(strait: Bench) -> None:
    """What waits in the port is what one connection said, not what all of them have to say."""
    strait.deliver(b"oa", b"ob", b"oc")
    strait.sock.read()
    strait.sock.fill()
    for wire in strait.wires:
        wire.answers = [RawData(b"%d" % index, strait.target) for index in range(300)]
        wire.connection.set_timer(0.0)
    strait.loop.settle()
    assert [len(wire.answers) for wire in strait.wires] == [0, 300, 300]
    found = []
    while strait.loop.writers:
        found += strait.sock.read()
        strait.write_freely()
    found += strait.sock.read()
    assert found == [b"%d" % index for index in range(300)] * 3
    assert [len(wire.answers) for wire in strait.wires] == [0, 0, 0]


def test_who_closes_waits_for_its_last_datagram(strait: Bench) -> None:
    strait.deliver(b"oa")
    strait.sock.read()
    (wire,) = strait.wires
    strait.sock.fill()
    strait.deliver(b"-a.")
    strait.deliver(b"-a late")
    assert (len(strait.port), wire.heard[-1]) == (1, b"-a.")
    strait.sock.read(1)
    strait.write_freely()
    assert (len(strait.port), wire.heard[-1]) == (0, "closed")
    assert strait.sock.read() == [b"BYE"]


# ---- The end -------------------------------------------------------------------------------------------------------


def test_a_wire_closes_its_connection(bench: Bench) -> None:
    (wire,) = bench.open("a")
    connection = wire.connection
    bench.feed(b"-a.", b"-a late")
    assert connection.state is ConnectionState.CLOSING
    assert wire.heard[-1] == b"-a."
    bench.loop.settle()
    assert bench.read() == [b"BYE"]
    assert wire.heard[-1] == "closed"
    assert wire.connection.state is ConnectionState.CLOSED
    assert bench.dispatcher.forgotten == [connection.id]
    assert (len(bench.port), bench.host.metrics.closed) == (0, 1)
    connection.set_timer(0.0)
    connection.set_timer(1001.0)
    connection.send(RawData(b"x"))
    connection.abort()
    bench.loop.advance(2)
    assert bench.read() == []
    assert len(wire.timers) == 1


def test_a_farewell_is_kept_for_a_while(bench: Bench) -> None:
    bench.open("a", "b", "c")
    bench.talk(b"-a.")
    ((until, farewell),) = bench.dispatcher.farewells
    assert (until, farewell.data, farewell.address, farewell.origin) == (
        1003.0, b"BYE", bench.client.getsockname(), bench.port,
    )  # fmt: skip
    bench.loop.advance(2)
    assert bench.talk(b"-b.", b"-c!") == [b"BYE"]
    bench.loop.faults.clear()
    assert len(bench.dispatcher.farewells) == 2
    assert bench.loop.count_timers() == 1
    bench.loop.advance(1.5)
    assert len(bench.dispatcher.farewells) == 1
    bench.loop.advance(2)
    assert bench.dispatcher.farewells == []
    assert (len(bench.dispatcher.expired_at), bench.loop.count_timers()) == (3, 0)


def test_a_port_that_closes_says_farewell_again(bench: Bench) -> None:
    bench.open("a", "b")
    assert bench.talk(b"-a.") == [b"BYE"]
    bench.port.close()
    assert bench.read() == [b"BYE"]


def test_abort(bench: Bench) -> None:
    wires = bench.open("a", "b")
    for wire in wires:
        wire.connection.set_timer(1001.0)
    abort(bench.host)
    bench.loop.settle()
    assert [wire.heard[-1] for wire in wires] == ["closed", "closed"]
    assert len(bench.port) == 0
    bench.loop.advance(2)
    assert [len(wire.timers) for wire in wires] == [1, 1]


def test_drain_empties_the_host(bench: Bench) -> None:
    (wire,) = bench.open("a")
    empty: list[bool] = []
    bench.host.on_empty = lambda: empty.append(True)
    drain(bench.host)
    assert wire.heard[-1] == "drain"
    bench.loop.now += 60
    bench.host.clock.tick(bench.loop.now, 0)
    sweep(bench.host)
    bench.loop.settle()
    assert (wire.heard[-1], empty) == ("closed", [True])


def test_close_loses_what_is_open(bench: Bench) -> None:
    (wire,) = bench.open("a")
    bench.feed(b"-a")
    bench.port.close()
    assert wire.heard[-1] == "closed"
    bench.port.deliver(b"oz", bench.target, None)
    assert len(bench.port) == 0


def test_a_connection_that_is_gone_is_collectable(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.connection.set_timer(2000.0)
    wire.connection.get_peer()
    references = weakref.ref(wire.connection), weakref.ref(wire)
    bench.facts.clear()
    gc.collect()
    gc.disable()
    try:
        bench.talk(b"-a.")
        bench.wires.clear()
        wire.connection = None
        del wire
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


# ---- Who is there --------------------------------------------------------------------------------------------------


def test_the_peer(bench: Bench) -> None:
    (wire,) = bench.open("a")
    connection = wire.connection
    peer = connection.get_peer()
    assert (peer.client, peer.server) == (bench.client.getsockname(), bench.target)
    assert (peer.scheme, peer.alpn, peer.tls) == ("https", "h3", None)
    bench.talk(b"-a")
    tls = connection.peer.tls
    assert tls == {"tls_version": 0x0304}
    asked = len(bench.facts)
    assert connection.get_peer() is connection.get_peer()
    connection.move(("192.0.2.1", 7))
    assert (connection.peer.client, connection.address) == (("192.0.2.1", 7), ("192.0.2.1", 7))
    assert connection.peer.tls is tls
    assert len(bench.facts) == asked


def test_a_datagram_without_address_goes_to_the_peer(bench: Bench) -> None:
    (wire,) = bench.open("a")
    wire.connection.send(RawData(b"to the peer"))
    bench.loop.settle()
    assert bench.read() == [b"to the peer"]


def test_what_quic_does_itself(bench: Bench) -> None:
    (wire,) = bench.open("a")
    connection = wire.connection
    connection.pause_reading()
    assert bench.talk(b"-a") == [b"-A"]
    connection.resume_reading()
    connection.finish_writing()
    assert bench.talk(b"-a") == [b"-A"]
    assert connection.is_readable() is False


# ---- In real loops -------------------------------------------------------------------------------------------------


async def receive_from(client: socket.socket) -> tuple[bytes, Address]:
    """What comes next, and from where; either loop can wait for a reader."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(client.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await asyncio.wait_for(ready, 5)
    finally:
        loop.remove_reader(client.fileno())
    data, address = client.recvfrom(65536)
    return data, address


def test_in_a_loop(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bench = Bench(loop)
        for index in range(20):
            bench.client.sendto(b"oa %d" % index if not index else b"-a %d" % index, bench.target)
        answers = [(await receive_from(bench.client))[0] for _ in range(20)]
        assert [answer.split()[1] for answer in answers] == [b"%d" % index for index in range(20)]
        (wire,) = bench.wires
        when = loop.time() + 0.03
        wire.timers.clear()
        wire.connection.set_timer(when)
        await wait_until(lambda: bool(wire.timers))
        assert when <= wire.timers[0] < when + 5
        bench.client.sendto(b"-a.", bench.target)
        assert (await receive_from(bench.client))[0] == b"BYE"
        await wait_until(lambda: not bench.host.connections)
        wire.connection.set_timer(loop.time() + 0.01)
        bench.client.sendto(b"ob", bench.target)
        await wait_until(lambda: len(bench.port) == 1)
        bench.wires[-1].connection.set_timer(loop.time() + 60)
        fd = bench.sock.fileno()
        bench.close()
        assert not loop.remove_reader(fd)

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="needs PKTINFO")
def test_an_answer_leaves_from_the_address_that_was_asked(run: Run) -> None:
    async def main() -> None:
        bench = Bench(asyncio.get_running_loop(), "0.0.0.0")
        target = ("127.0.0.2", bench.target[1])
        bench.client.sendto(b"oa", target)
        assert await receive_from(bench.client) == (b"OA", target)
        assert bench.wires[0].connection.peer.server == target
        bench.close()

    run(main())
