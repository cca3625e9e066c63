"""Whose a datagram is, and what is said to those who have no connection."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("aioquic")

from fastserver._speedups.metrics import Metrics
from fastserver._speedups.quic.errors import CONNECTION_REFUSED, INVALID_TOKEN
from fastserver.protocol.quic import bounds
from fastserver.protocol.quic.cids import ConnectionIDs
from fastserver.protocol.quic.datagram import read_long_header
from fastserver.protocol.quic.tokens import ADDRESS_LIFE_S, RETRY_LIFE_S, Tokens
from fastserver.protocol.quic.verdicts import Forward, Open, Reply, Verdict
from tests.protocol.quic.clients import CLIENT, SECRET, V1, V2, Client, make_dispatcher

NOW = 1000.0
WALL = 1_700_000_000.0
TOKENS = Tokens(SECRET)
SHORT = b"\x40" + bytes(40)


class Site:
    """A dispatcher with what it asks for, to be changed by hand; connections are numbers."""

    def __init__(self, worker: int = 1, **options: Any) -> None:
        self.cids = ConnectionIDs(SECRET, worker)
        self.wall = WALL
        self.is_full = False
        self.fulls = 0
        self.living = {worker}
        self.metrics = Metrics()
        self.dispatcher = make_dispatcher(
            worker,
            read_wall=lambda: self.wall,
            is_full=lambda: self.is_full,
            note_full=self.note_full,
            is_living=lambda number: number in self.living,
            metrics=self.metrics,
            **options,
        )
        self.opened = 0
        #: Datagrams that were dropped, and those that were answered.
        self.told = [0, 0]

    def note_full(self) -> None:
        self.fulls += 1

    def admit(
        self, data: bytes, address: tuple[str, int] = CLIENT, now: float = NOW, is_forwarded: bool = False
    ) -> Verdict | None:
        assert self.dispatcher.find(data) is None
        verdict = self.dispatcher.admit(data, address, now, is_forwarded=is_forwarded)
        if isinstance(verdict, Reply):
            assert len(verdict.data) < len(data)
        self.told[0] += verdict is None
        self.told[1] += isinstance(verdict, Reply)
        counted = self.metrics.snapshot()
        assert [counted["datagrams"]["dropped"], sum(counted["quic_replies"].values())] == self.told
        assert self.metrics.half_open == self.dispatcher.half_open
        return verdict

    def fill(self, count: int) -> None:
        """So many connections whose handshakes are under way."""
        for _ in range(count):
            self.opened += 1
            self.dispatcher.note_opened(self.opened, os.urandom(9))

    def retry(self, client: Client, address: tuple[str, int] = CLIENT) -> bytes:
        """The Initial of ``client`` after it was asked to prove ``address``."""
        (again, *_) = client.receive(read_reply(self.admit(client.datagrams[0], address)))
        return again


def read_reply(verdict: Verdict | None) -> bytes:
    assert isinstance(verdict, Reply)
    return verdict.data


def get_close_code(client: Client, verdict: Verdict | None) -> int:
    client.receive(read_reply(verdict))
    return client.read_close_code()


def is_retry(verdict: Verdict | None) -> bool:
    return isinstance(verdict, Reply) and verdict.data[0] & 0xF0 == 0xF0


def make_long(first_byte: int, dcid: bytes, size: int = 1200, version: int = V1, scid: bytes = b"scid") -> bytes:
    """A packet of any type with a token and a payload of nothing."""
    head = bytes((first_byte,)) + version.to_bytes(4, "big") + bytes((len(dcid),)) + dcid + bytes((len(scid),)) + scid
    rest = size - len(head) - 3
    return head + b"\0" + (0x4000 | rest).to_bytes(2, "big") + bytes(rest)


# The way of one connection.


@pytest.mark.parametrize("version", [V1, V2])
def test_a_client_is_let_in(version: int) -> None:
    client = Client(version)
    assert Site().admit(client.datagrams[0]) == Open(client.original_cid, None)


def test_a_retransmitted_initial_finds_its_connection_until_the_handshake_is_done() -> None:
    site, client = Site(), Client()
    verdict = site.admit(client.datagrams[0])
    assert isinstance(verdict, Open)
    site.dispatcher.note_opened(7, verdict.initial_cid)
    assert [site.dispatcher.find(data) for data in client.datagrams] == [7] * len(client.datagrams)
    assert site.dispatcher.half_open == 1
    site.dispatcher.note_handshake_done(7, NOW)
    assert site.dispatcher.half_open == 0
    site.dispatcher.note_handshake_done(7, NOW + 1)
    assert site.dispatcher.expire(NOW + bounds.LATE_S - 0.1) == NOW + bounds.LATE_S
    assert site.dispatcher.find(client.datagrams[0]) == 7
    assert site.dispatcher.expire(NOW + bounds.LATE_S) == float("inf")
    assert site.dispatcher.find(client.datagrams[0]) is None
    assert len(site.dispatcher) == 0


def test_a_late_copy_of_a_first_packet_opens_nothing() -> None:
    """Not even where the connection has come and gone."""
    site, client = Site(), Client()
    site.dispatcher.note_opened(7, client.original_cid)
    site.dispatcher.note_handshake_done(7, NOW)
    site.dispatcher.forget(7, None, NOW)
    assert [site.admit(data) for data in client.datagrams] == [None] * len(client.datagrams)
    assert len(site.dispatcher) == 0
    site.dispatcher.expire(NOW + bounds.LATE_S)
    assert isinstance(site.admit(client.datagrams[0]), Open)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_so_many_first_packets_are_known(more: int) -> None:
    dispatcher = Site().dispatcher
    for number in range(bounds.MAX_LATE_IDS + more):
        dispatcher.note_opened(number, number.to_bytes(8, "big"))
        dispatcher.note_handshake_done(number, NOW)
    assert len(dispatcher) == len(dispatcher._late_cids) == min(bounds.MAX_LATE_IDS, bounds.MAX_LATE_IDS + more)
    assert dispatcher.find(b"\x40" + bytes(8)) == (None if more > 0 else 0)
    for number in range(bounds.MAX_LATE_IDS + more):
        dispatcher.forget(number, None, NOW)
    dispatcher.expire(NOW + bounds.LATE_S)
    assert (len(dispatcher), dispatcher._held, dispatcher._late_cids) == (0, {}, {})


def test_after_a_retry_the_ids_are_those_of_the_retry() -> None:
    site, client = Site(retry="always"), Client()
    original_cid = client.original_cid
    data = site.retry(client)
    verdict = site.admit(data)
    assert isinstance(verdict, Open)
    assert verdict.original_cid == original_cid
    assert verdict.retry_cid == verdict.initial_cid != original_cid
    assert site.cids.find_worker(verdict.initial_cid) == 1
    site.dispatcher.note_opened(7, verdict.initial_cid)
    assert site.dispatcher.find(data) == 7


def test_ids_come_and_go() -> None:
    dispatcher = Site().dispatcher
    dispatcher.register(7, b"12345678")
    dispatcher.register(7, b"abcdefgh")
    assert dispatcher.find(b"\x40" + b"12345678" + b"rest") == 7
    assert dispatcher.find(b"\xe0" + bytes(4) + b"\x08abcdefgh") == 7
    assert dispatcher.find(b"\x40" + b"1234567") is None
    dispatcher.unregister(7, b"12345678")
    dispatcher.unregister(7, b"12345678")
    assert dispatcher.find(b"\x40" + b"12345678" + b"rest") is None
    dispatcher.forget(7, None, NOW)
    dispatcher.forget(7, None, NOW)
    dispatcher.unregister(7, b"abcdefgh")
    assert len(dispatcher) == 0


def test_an_id_belongs_to_who_had_it_first() -> None:
    dispatcher = Site().dispatcher
    dispatcher.register(7, b"12345678")
    dispatcher.note_opened(8, b"12345678")
    assert dispatcher.find(b"\x40" + b"12345678") == 7
    dispatcher.note_handshake_done(8, NOW)
    dispatcher.forget(8, None, NOW)
    assert dispatcher.find(b"\x40" + b"12345678") == 7


@pytest.mark.parametrize("data", [b"", b"\x40", b"\x80", b"\xc0\0\0\0\1\xff", b"\xc0\0\0\0\1\xff123"])
def test_a_cut_datagram_is_nobodys(data: bytes) -> None:
    site = Site()
    site.dispatcher.register(7, b"12345678")
    assert site.admit(data) is None


def test_q_15_connections_leave_nothing_behind() -> None:
    site = Site()
    dispatcher = site.dispatcher
    for number in range(10_000):
        dispatcher.note_opened(number, os.urandom(8))
        cids = [site.cids.make() for _ in range(3)]
        for cid in cids:
            dispatcher.register(number, cid)
        if number % 3:
            dispatcher.note_handshake_done(number, NOW)
            dispatcher.unregister(number, cids[0])
        if number % 2:
            dispatcher.forget(number, None, NOW)
    for number in range(0, 10_000, 2):
        dispatcher.forget(number, None, NOW)
    assert (len(dispatcher), dispatcher.half_open, dispatcher._held) == (0, 0, {})


def test_q_15_one_end_touches_its_own_ids_alone() -> None:
    """Whatever else is in the table is not looked at."""

    class Table(dict[bytes, int]):
        touched = 0

        def __delitem__(self, key: bytes) -> None:
            self.touched += 1
            super().__delitem__(key)

        def __iter__(self) -> Any:
            raise AssertionError("the whole table is walked")

        keys = values = items = __iter__

    dispatcher = Site().dispatcher
    table = dispatcher._table = Table()
    for number in range(1000):
        dispatcher.register(number, number.to_bytes(8, "big"))
    dispatcher.register(5, b"another.")
    dispatcher.forget(5, None, NOW)
    assert (table.touched, len(table)) == (2, 999)


# Versions.


@pytest.mark.parametrize("size", [7, 1199, 1200, 1500])
def test_q_2_unknown_versions_are_told_of_ours_in_full_datagrams_only(size: int) -> None:
    data = (b"\x80\x1a\x2a\x3a\x4a\x08dcid5678\x04scid" + bytes(size))[:size]
    verdict = Site().admit(data)
    if size < 1200:
        assert verdict is None
        return
    header = read_long_header(read_reply(verdict))
    assert header is not None
    assert (header.version, header.dcid, header.scid) == (0, b"scid", b"dcid5678")


def test_q_2_a_negotiation_is_never_answered() -> None:
    site = Site()
    assert site.admit(make_long(0xC0, b"dcid5678", version=0)) is None
    answer = read_reply(site.admit(make_long(0xC0, b"dcid5678", version=0x1A2A3A4A)))
    assert site.admit(answer.ljust(1200, b"\0")) is None


def test_q_2_negotiations_have_a_rate() -> None:
    site = Site()
    data = make_long(0xC0, b"dcid5678", version=0x1A2A3A4A)
    answered = sum(site.admit(data) is not None for _ in range(int(bounds.NEGOTIATION_BURST) + 50))
    assert answered == bounds.NEGOTIATION_BURST
    assert site.admit(data, now=NOW + 1) is not None


# Initial packets that are none.


@pytest.mark.parametrize(
    ("data", "opens"),
    [
        (make_long(0xC0, b"dcid5678"), True),
        (make_long(0xC0, b"dcid5678", size=1199), False),
        (make_long(0xC0, b"dcid567"), False),
        (make_long(0xC0, b""), False),
        (make_long(0xC0, bytes(20)), True),
        (make_long(0xC0, bytes(21)), False),
        (make_long(0xC0, b"dcid5678", scid=bytes(20)), True),
        (make_long(0xC0, b"dcid5678", scid=bytes(21)), False),
        (make_long(0x80, b"dcid5678"), False),
        (make_long(0xC0, b"dcid5678", size=1300)[:1200], False),
    ],
)
def test_q_1_initial_packets_have_their_size_and_ids(data: bytes, opens: bool) -> None:
    verdict = Site().admit(data)
    assert isinstance(verdict, Open) if opens else verdict is None


@pytest.mark.parametrize("kind", [0xD0, 0xE0, 0xF0])
def test_other_long_packets_of_nobody_are_dropped(kind: int) -> None:
    site = Site()
    assert site.admit(make_long(kind, site.cids.make())) is None
    assert site.admit(make_long(kind, os.urandom(8))) is None


# Proof of an address.


@pytest.mark.parametrize(("half_open", "proves"), [(0, False), (63, False), (64, True), (255, True), (256, True)])
def test_q_3_a_quarter_of_the_handshakes_asks_for_proof(half_open: int, proves: bool) -> None:
    site = Site()
    site.fill(half_open)
    assert is_retry(site.admit(Client().datagrams[0])) is proves


@pytest.mark.parametrize("retry", ["auto", "always", "never"])
def test_q_3_no_more_handshakes_than_allowed(retry: str) -> None:
    site = Site(retry=retry, max_half_open=16)
    clients = [Client(), Client()]
    site.fill(15)
    last = clients[0].datagrams[0] if retry == "never" else site.retry(clients[0])
    assert isinstance(site.admit(last), Open)
    site.fill(1)
    more = clients[1].datagrams[0] if retry == "never" else site.retry(clients[1])
    assert site.admit(more) is None
    site.dispatcher.forget(1, None, NOW)
    # The same datagram, as a probe timeout repeats it.
    assert isinstance(site.admit(more), Open)


def test_q_3_who_was_here_lately_waits_too() -> None:
    site = Site(max_half_open=16)
    client = Client(token=TOKENS.seal_address(CLIENT, WALL))
    site.fill(16)
    assert site.admit(client.datagrams[0]) is None
    site.dispatcher.forget(1, None, NOW)
    assert isinstance(site.admit(client.datagrams[0]), Open)


def test_q_3_never_asks_for_no_proof_and_always_for_each() -> None:
    never, always = Site(retry="never"), Site(retry="always")
    never.fill(255)
    assert isinstance(never.admit(Client().datagrams[0]), Open)
    assert is_retry(always.admit(Client().datagrams[0]))


def test_q_3_a_done_handshake_makes_room() -> None:
    site = Site(max_half_open=4, retry="never")
    site.fill(4)
    client = Client()
    site.dispatcher.note_handshake_done(2, NOW)
    assert site.dispatcher.half_open == 3
    assert isinstance(site.admit(client.datagrams[0]), Open)


def test_q_3_refusals_have_a_rate() -> None:
    site = Site()
    site.is_full = True
    data = Client().datagrams[0]
    answered = sum(site.admit(data) is not None for _ in range(int(bounds.REFUSAL_BURST) + 50))
    assert (answered, site.fulls) == (bounds.REFUSAL_BURST, bounds.REFUSAL_BURST + 50)


def test_q_4_every_worker_takes_the_proof() -> None:
    one, other = Site(1, retry="always"), Site(2)
    client = Client()
    original_cid = client.original_cid
    verdict = other.admit(one.retry(client), is_forwarded=True)
    assert isinstance(verdict, Open)
    assert verdict.original_cid == original_cid


@pytest.mark.parametrize("retry", ["auto", "never"])
@pytest.mark.parametrize("fault", ["address", "port", "late", "cid", "forged"])
def test_q_4_a_proof_that_does_not_hold_is_the_end(fault: str, retry: str) -> None:
    client = Client()
    data = Site(retry="always").retry(client)
    site = Site(retry=retry)
    address = {"address": ("198.51.100.8", CLIENT[1]), "port": (CLIENT[0], CLIENT[1] + 1)}.get(fault, CLIENT)
    if fault == "late":
        site.wall += RETRY_LIFE_S + 1
    if fault == "cid":
        data = data[:6] + b"anything" + data[14:]
    if fault == "forged":
        header = read_long_header(data)
        assert header is not None
        # Behind the length of the token and its kind.
        data = data[: header.end + 2] + bytes(12) + data[header.end + 14 :]
    verdict = site.admit(data, address)
    if fault == "cid":
        # The client has not the keys of an ID that it did not use.
        assert read_reply(verdict)[0] & 0xF0 == 0xC0
    else:
        assert get_close_code(client, verdict) == INVALID_TOKEN


def test_q_4_who_was_here_lately_proves_nothing_again() -> None:
    site = Site(retry="always")
    client = Client(token=TOKENS.seal_address((CLIENT[0], 1), WALL))
    assert site.admit(client.datagrams[0]) == Open(client.original_cid, None)


@pytest.mark.parametrize("token", ["old", "another's", "unknown"])
def test_q_4_a_visit_that_does_not_count_is_as_none(token: str) -> None:
    made = {
        "old": TOKENS.seal_address(CLIENT, WALL - ADDRESS_LIFE_S - 1),
        "another's": TOKENS.seal_address(("203.0.113.1", 1), WALL),
        "unknown": b"of another server",
    }[token]
    data = Client(token=made).datagrams[0]
    assert is_retry(Site(retry="always").admit(data))
    assert isinstance(Site().admit(data), Open)


# No room, and the end.


@pytest.mark.parametrize("retry", ["auto", "always", "never"])
@pytest.mark.parametrize("version", [V1, V2])
def test_a_full_or_draining_server_refuses(version: int, retry: str) -> None:
    full, draining = Site(retry=retry), Site(retry=retry)
    full.is_full = True
    draining.dispatcher.stop_admitting(is_retiring=False)
    for site in (full, draining):
        client = Client(version)
        assert get_close_code(client, site.admit(client.datagrams[0])) == CONNECTION_REFUSED
    assert (full.fulls, draining.fulls) == (1, 0)


def test_a_draining_server_serves_whom_it_has() -> None:
    site, client = Site(), Client()
    site.dispatcher.note_opened(7, client.original_cid)
    site.dispatcher.stop_admitting(is_retiring=False)
    assert site.dispatcher.find(client.datagrams[0]) == 7


# Several workers.


def test_q_5_packets_of_a_living_workers_connections_are_forwarded() -> None:
    site, other = Site(1), Site(2)
    site.living.add(2)
    cid = other.cids.make()
    for data in (b"\x40" + cid + bytes(30), make_long(0xE0, cid, 100), make_long(0xD0, cid), make_long(0xC0, cid)):
        assert site.admit(data) == Forward(2)
    assert site.admit(make_long(0xC0, cid, 1199)) is None


@pytest.mark.parametrize("worker", [1, 2])
def test_q_5_packets_of_nobodys_connection_are_reset(worker: int) -> None:
    site = Site(1)
    cid = ConnectionIDs(SECRET, worker).make()
    reset = read_reply(site.admit(b"\x41" + cid + bytes(30)))
    assert reset.endswith(site.cids.make_reset_token(cid))
    assert len(reset) == 38


def test_q_5_packets_of_an_unknown_id_are_reset() -> None:
    assert isinstance(Site().admit(b"\x40\xff" + bytes(40)), Reply)


def test_q_5_a_forwarded_packet_is_not_forwarded_again() -> None:
    site = Site(1)
    site.living |= {2, 3}
    cid = ConnectionIDs(SECRET, 2).make()
    assert isinstance(site.admit(b"\x40" + cid + bytes(30), is_forwarded=True), Reply)
    assert site.admit(make_long(0xE0, cid), is_forwarded=True) is None
    assert isinstance(site.admit(make_long(0xC0, cid), is_forwarded=True), Open)


@pytest.mark.parametrize(("size", "answered"), [(1, False), (9, False), (21, False), (22, True), (1500, True)])
def test_q_5_a_reset_is_smaller_than_its_cause(size: int, answered: bool) -> None:
    assert (Site().admit(SHORT.ljust(1500, b"\0")[:size]) is not None) is answered


def test_q_5_two_servers_do_not_reset_each_other_for_ever() -> None:
    sites, data, turns = (Site(1), Site(2)), SHORT, 0
    while (verdict := sites[turns % 2].admit(data)) is not None:
        data = read_reply(verdict)
        turns += 1
    assert 0 < turns < 30


def test_q_5_resets_have_a_rate() -> None:
    site = Site()
    answered = sum(site.admit(SHORT) is not None for _ in range(int(bounds.RESET_BURST) + 50))
    assert answered == bounds.RESET_BURST


def test_no_fixed_bit_is_no_packet() -> None:
    assert Site().admit(b"\0" + bytes(40)) is None


def test_clients_of_one_socket_have_one_worker_each() -> None:
    """What an ID of theirs is for is the same wherever it is read, or a retransmission opens a second connection."""
    sites = {number: Site(number, choose_worker=lambda cid: 1 + cid[0] % 3) for number in (1, 2, 3)}
    for site in sites.values():
        site.living = {1, 2, 3}
    for _ in range(300):
        data = make_long(0xC0, os.urandom(8))
        homes = set()
        for number, site in sites.items():
            verdict = site.admit(data)
            if isinstance(verdict, Forward):
                assert isinstance(sites[verdict.worker].admit(data, is_forwarded=True), Open)
                number = verdict.worker
            homes.add(number)
        assert len(homes) == 1


@pytest.mark.parametrize("is_forwarded", [False, True])
def test_who_was_sent_to_a_worker_stays_there(is_forwarded: bool) -> None:
    site = Site(1, choose_worker=lambda cid: 2)
    assert isinstance(site.admit(make_long(0xC0, site.cids.make()), is_forwarded=is_forwarded), Open)


@pytest.mark.parametrize("is_forwarded", [False, True])
def test_a_retiring_worker_leaves_clients_to_the_others(is_forwarded: bool) -> None:
    site = Site(1, choose_worker=lambda cid: 2)
    site.living.add(2)
    site.dispatcher.stop_admitting(is_retiring=True)
    assert site.admit(make_long(0xC0, site.cids.make()), is_forwarded=is_forwarded) == Forward(2)
    foreign = make_long(0xC0, b"\xff" * 8)
    assert site.admit(foreign, is_forwarded=is_forwarded) == (None if is_forwarded else Forward(2))


def test_a_retiring_worker_that_knows_no_other_is_silent() -> None:
    alone, last = Site(), Site(choose_worker=lambda cid: 1)
    for site in (alone, last):
        site.dispatcher.stop_admitting(is_retiring=True)
        assert site.admit(Client().datagrams[0]) is None


def test_two_retiring_workers_do_not_toss_a_datagram_for_ever() -> None:
    """Each may believe for a moment that the other stays."""
    sites = {1: Site(1, choose_worker=lambda cid: 2), 2: Site(2, choose_worker=lambda cid: 1)}
    for site in sites.values():
        site.living = {1, 2}
        site.dispatcher.stop_admitting(is_retiring=True)
    for cid in [os.urandom(8) for _ in range(200)] + [ConnectionIDs(SECRET, 1).make(), ConnectionIDs(SECRET, 2).make()]:
        for number in sites:
            data, steps = make_long(0xC0, cid), 0
            verdict = sites[number].admit(data)
            while isinstance(verdict, Forward):
                steps += 1
                verdict = sites[verdict.worker].admit(data, is_forwarded=True)
            assert verdict is None
            assert steps <= 2


def test_each_answer_has_its_kind() -> None:
    """Retry, refusal, version and reset, as metrics tell them apart."""
    site = Site(retry="always")
    site.admit(Client().datagrams[0])
    site.is_full = True
    site.admit(Client().datagrams[0])
    site.admit(b"\xc0" + bytes.fromhex("0a0a0a0a") + b"\x08" + bytes(8) + b"\x08" + bytes(1200))
    site.admit(SHORT)
    assert site.metrics.snapshot()["quic_replies"] == {
        "retry": 1,
        "refusal": 1,
        "version": 1,
        "reset": 1,
        "farewell": 0,
    }
