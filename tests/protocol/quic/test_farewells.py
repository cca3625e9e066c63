"""What clients hear of connections that are over."""

import pytest

pytest.importorskip("aioquic")

from fastserver._speedups.metrics import Metrics
from fastserver.protocol.quic.bounds import FAREWELL_S, MAX_FAREWELLS
from fastserver.protocol.quic.datagram import LONG_BIT, Address
from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.protocol.quic.farewells import Farewell
from fastserver.protocol.quic.verdicts import Reply
from tests.protocol.quic.clients import CLIENT, V1, make_dispatcher

NOW = 1000.0
OTHER: Address = ("203.0.113.9", 4711)
BYE = b"farewell, and thirty bytes long"
CID = b"12345678"
SHORT = b"\x40" + CID + bytes(31)


def close(dispatcher: Dispatcher[int], cid: bytes = CID, data: bytes = BYE, now: float = NOW, origin: int = 1) -> None:
    dispatcher.register(7, cid)
    dispatcher.forget(7, Farewell(data, CLIENT, None, origin), now)


def hear(dispatcher: Dispatcher[int], data: bytes = SHORT, now: float = NOW) -> bytes | None:
    assert dispatcher.find(data) is None
    verdict = dispatcher.admit(data, OTHER, now, is_forwarded=False)
    assert isinstance(verdict, Reply | None)
    return None if verdict is None else verdict.data


def test_a_farewell_is_repeated_ever_more_rarely() -> None:
    metrics = Metrics()
    dispatcher = make_dispatcher(metrics=metrics)
    close(dispatcher)
    answered = [number for number in range(1, 101) if hear(dispatcher) == BYE]
    assert answered == [1, 2, 4, 8, 16, 32, 64]
    counted = metrics.snapshot()
    assert (counted["quic_replies"]["farewell"], counted["quic_replies"]["reset"]) == (7, 0)
    assert counted["datagrams"]["dropped"] == 93


def test_all_ids_of_a_connection_lead_to_its_farewell() -> None:
    dispatcher = make_dispatcher()
    dispatcher.note_opened(7, b"chosen by a client")
    close(dispatcher)
    initial = bytes((LONG_BIT | 0x40,)) + V1.to_bytes(4, "big") + b"\x12chosen by a client\0\0\x44\xc9" + bytes(1225)
    assert dispatcher.half_open == 0
    assert [hear(dispatcher, data) for data in (initial, SHORT, SHORT, SHORT)] == [BYE, BYE, None, BYE]
    handshake = bytes((LONG_BIT | 0x60,)) + V1.to_bytes(4, "big") + b"\x08" + CID + b"\0" + bytes(100)
    assert [hear(dispatcher, handshake) for _ in range(4)] == [None, None, None, BYE]


def test_answers_are_no_larger_than_what_has_come() -> None:
    dispatcher = make_dispatcher()
    close(dispatcher, data=bytes(100))
    said = [hear(dispatcher) is not None for _ in range(100)]
    assert said[:3] == [False, False, True]
    assert all(100 * sum(said[:count]) <= count * len(SHORT) for count in range(101))
    assert sum(said) == 7


def test_it_is_forgotten_in_time() -> None:
    dispatcher = make_dispatcher()
    assert dispatcher.expire(NOW) == float("inf")
    close(dispatcher)
    close(dispatcher, b"abcdefgh", now=NOW + 1)
    assert dispatcher.expire(NOW + FAREWELL_S - 0.1) == NOW + FAREWELL_S
    assert hear(dispatcher) == BYE
    assert dispatcher.expire(NOW + FAREWELL_S) == NOW + FAREWELL_S + 1
    assert hear(dispatcher) not in (None, BYE)  # a stateless reset
    assert dispatcher.expire(NOW + FAREWELL_S + 1) == float("inf")
    assert (len(dispatcher._farewells), dispatcher._farewells._table) == (0, {})


def test_without_a_farewell_strangers_get_what_strangers_get() -> None:
    dispatcher = make_dispatcher()
    dispatcher.register(7, CID)
    dispatcher.forget(7, None, NOW)
    assert hear(dispatcher) not in (None, BYE)
    assert len(dispatcher._farewells) == 0


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_no_more_than_so_many_are_kept(more: int) -> None:
    dispatcher = make_dispatcher()
    for number in range(MAX_FAREWELLS + more):
        close(dispatcher, number.to_bytes(8, "big"))
    assert len(dispatcher._farewells) == len(dispatcher._farewells._table) == min(MAX_FAREWELLS, MAX_FAREWELLS + more)
    kept = [hear(dispatcher, b"\x40" + number.to_bytes(8, "big") + bytes(31)) == BYE for number in range(2)]
    assert kept == [more < 1, True]


def test_a_port_takes_its_own_when_it_ends() -> None:
    dispatcher = make_dispatcher()
    close(dispatcher)
    close(dispatcher, b"abcdefgh", origin=2)
    assert dispatcher.take_farewells(1) == [Farewell(BYE, CLIENT, None, 1)]
    assert dispatcher.take_farewells(1) == []
    assert hear(dispatcher) not in (None, BYE)
    assert hear(dispatcher, b"\x40abcdefgh" + bytes(31)) == BYE


def test_an_id_that_is_used_again_is_its_new_owners() -> None:
    dispatcher = make_dispatcher()
    close(dispatcher)
    close(dispatcher, data=b"another")
    dispatcher.register(8, CID)
    assert dispatcher.find(SHORT) == 8
    dispatcher.unregister(8, CID)
    assert hear(dispatcher) == b"another"
