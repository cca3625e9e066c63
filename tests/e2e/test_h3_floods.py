"""Bad clients of QUIC and HTTP/3 beside a good one (FI-12, FI-30), which notices nothing.

Each attacker says on a real socket what no client says: it is cut with the code that its budget has, or contained, and
then the bound is stated with the attack.  In either case the good client's requests are answered, the worker's memory
stays, and the log says nothing of it.
"""

import os
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

pytest.importorskip("aioquic")

from tests.e2e.conftest import Serve, Served, read_rss
from tests.e2e.processes import PATIENCE_S
from tests.e2e.quicpeer import (
    DATAGRAM,
    HOST,
    Attacker,
    GoodClient,
    QuicPeer,
    collect,
    drain,
    make_first_datagram,
    make_socket,
)
from tests.h3wire import DATA, HEADERS, frame, varint

MIB = 1 << 20
APP = "tests.e2e.floodtarget:app"
#: What the worker's memory may grow by, and what a busy machine adds to an answer that is due at once.
GROWTH_BYTES = 32 * MIB
ANSWER_S = 2.0
#: RFC 9000 section 8.1.
AMPLIFICATION = 3
#: Codes (RFC 9000 section 20.1, RFC 9114 section 8.1).
FLOW_CONTROL_ERROR, PROTOCOL_VIOLATION = 0x3, 0xA
INVALID_TOKEN, CRYPTO_BUFFER_EXCEEDED = 0xB, 0xD
INTERNAL_ERROR, CONNECTION_ID_LIMIT_ERROR, UNEXPECTED_MESSAGE = 0x1, 0x9, 0x10A
NO_ERROR, EXCESSIVE_LOAD, QPACK_DECOMPRESSION_FAILED = 0x100, 0x107, 0x200
PING = 0x1


def stream_frame(stream: int, offset: int, data: bytes, ends: bool = False) -> bytes:
    return bytes([0x0E | ends]) + varint(stream) + varint(offset) + varint(len(data)) + data


@dataclass
class Bench:
    """A server that is attacked."""

    site: Served

    @property
    def port(self) -> int:
        return self.site.port

    @contextmanager
    def watch(self, visits: bool = True) -> Iterator[GoodClient]:
        """A good client asks while the body attacks; afterwards all is as it was."""
        before = read_rss(self.site.pids[0])
        good = GoodClient(self.port, visits)
        good.start()
        try:
            yield good
        finally:
            good.stop()
        assert sorted(good.latencies)[int(len(good.latencies) * 0.99)] < ANSWER_S
        assert read_rss(self.site.pids[0]) - before < GROWTH_BYTES
        assert self.site.server.process.poll() is None
        assert self.read_log() == []

    def read_log(self) -> list[str]:
        """Lines that are new."""
        waiting = self.site.server._lines
        return [waiting.get() for _ in range(waiting.qsize())]


def start(serve: Serve, *arguments: str) -> Bench:
    bench = Bench(serve(APP, "--http3", *arguments, tls=True))
    bench.site.server.wait_log("HTTP/3, UDP")
    with QuicPeer(bench.port) as peer:  # what is made once is made before memory is looked at
        assert peer.fetch("/pieces?16").status == 200
    bench.read_log()
    return bench


@pytest.fixture(name="bench", scope="module")
def start_bench(serve_long: Serve) -> Bench:
    return start(serve_long)


@pytest.fixture(name="strict", scope="module")
def start_strict(serve_long: Serve) -> Bench:
    """All clients prove their addresses, few may shake hands at once, and soon."""
    return start(serve_long, "--quic-retry", "always", "--quic-handshake-timeout", "1", "--quic-max-half-open", "64")


# Before there is a connection.


@pytest.mark.parametrize("retry", [False, True])
def test_q_1_a_silent_client_gets_three_times_its_bytes(bench: Bench, strict: Bench, retry: bool) -> None:
    """The victim of a forged address: it answers nothing, and the timeouts of a handshake pass."""
    target = strict if retry else bench
    with target.watch(), make_socket(target.port) as sock:
        first = make_first_datagram()
        sock.send(first)
        heard = collect(sock, 1.5)
    assert heard
    assert sum(map(len, heard)) <= (1 if retry else AMPLIFICATION) * len(first)


def test_q_1_an_address_that_was_moved_to_gets_three_times_its_bytes(bench: Bench) -> None:
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.fetch()
        attacker.move()
        request = attacker.craft(stream_frame(4, 0, attacker.head("/pieces?16"), ends=True))
        attacker.send(request)
        heard = collect(attacker.sock, 1.0)
        assert heard
        assert sum(map(len, heard)) <= AMPLIFICATION * len(request)


def test_q_1_small_initials_are_dropped(bench: Bench) -> None:
    with bench.watch(), make_socket(bench.port) as sock:
        for size in range(1, DATAGRAM, 7):
            sock.send(make_first_datagram()[:size])
        assert collect(sock, 0.3) == []


def test_q_2_other_versions_are_answered_in_less_and_not_always(bench: Bench) -> None:
    first = make_first_datagram()
    with bench.watch(), make_socket(bench.port) as sock:
        sock.send(first[:1] + b"\x1a\x2a\x3a\x4a" + first[5:-1])
        sock.send(first[:1] + bytes(4) + first[5:])
        assert collect(sock, 0.2) == []
        for _ in range(3000):
            sock.send(first[:1] + b"\x1a\x2a\x3a\x4a" + first[5:])
        heard = collect(sock, 0.5)
    assert 0 < len(heard) < 1500
    assert {len(data) for data in heard} < set(range(64))


def test_q_3_initials_from_many_ports_have_to_prove_their_addresses(serve: Serve) -> None:
    """Connections without proof: a quarter of 256, all of which the deadline ends."""
    bench = start(serve, "--quic-handshake-timeout", "1")
    with bench.watch():
        socks = [make_socket(bench.port) for _ in range(100)]
        for number in range(500):
            socks[number % 100].send(make_first_datagram())
        time.sleep(0.2)
        heard = [data for sock in socks for data in drain(sock)]
        retries = [data for data in heard if data[0] & 0xF0 == 0xF0]
        # Of a handshake come two or three datagrams, and some again.
        assert len(retries) > 200
        assert len(heard) - len(retries) < 64 * 3 * 3
        for number in range(2000):  # IDs of a client's choice, and nothing that can be opened
            socks[number % 100].send(first_of_nobody())
        deadline = time.monotonic() + 4.0
        while True:  # until a stranger needs no proof any more
            with make_socket(bench.port) as sock:
                sock.send(make_first_datagram())
                if any(data[0] & 0xF0 == 0xC0 for data in collect(sock, 0.1)):
                    break
            assert time.monotonic() < deadline
        for sock in socks:
            sock.close()


def first_of_nobody() -> bytes:
    head = b"\xc3\0\0\0\x01\x08" + os.urandom(8) + b"\x08" + os.urandom(8) + b"\0" + varint(1000)
    return head + os.urandom(DATAGRAM - len(head))


def test_q_3_handshakes_that_do_not_end_have_a_number_and_a_deadline(strict: Bench) -> None:
    """FI-12: all have proved their addresses; 64 are let in, the others hear nothing until a second is over."""
    with strict.watch(visits=False) as good:
        peers = [QuicPeer(strict.port) for _ in range(200)]
        asked = len(good.latencies)
        for _ in range(2):
            time.sleep(0.1)
            for peer in peers:
                for data in drain(peer.sock):
                    if peer.quic._retry_count == 0:
                        peer.quic.receive_datagram(data, (HOST, strict.port), time.monotonic())
                        peer.flush()
                    else:
                        peer.heard.append(data)
        let_in = [peer for peer in peers if any(len(data) >= DATAGRAM for data in peer.heard)]
        waiting = [peer for peer in peers if not peer.heard]
        assert 0 < len(let_in) <= 64
        assert len(let_in) + len(waiting) == len(peers)
        # By its own probes, with the proof that it has.
        waiting[0].wait(lambda: waiting[0].is_open, "a handshake")
        assert waiting[0].quic._retry_count == 1
        for peer in peers:
            peer.sock.close()
        assert len(good.latencies) > asked


def test_q_4_tokens_that_nobody_sealed(strict: Bench) -> None:
    with strict.watch():
        with QuicPeer(strict.port) as visitor:  # of a NEW_TOKEN frame, if any
            visitor.fetch()
        stolen = visitor.quic._peer_token
        assert stolen[:1] == b"\x01"
        for token in (b"\x01" + os.urandom(60), b"\x01", stolen, stolen[:-1] + b"\0"):
            peer = QuicPeer(strict.port, token)
            assert peer.wait_over().error_code == INVALID_TOKEN
            peer.sock.close()
        for token in (b"\x02" + os.urandom(40), b"\x00", os.urandom(300)[:200].replace(b"\x01", b"\x03")):
            peer = QuicPeer(strict.port, token)
            with peer:
                assert peer.fetch().status == 200


def test_q_5_resets_are_small_few_and_never_of_the_living(bench: Bench) -> None:
    """RFC 9000 section 21.11: an ID that is in use gives no token away, wherever it is shown."""
    with bench.watch(), QuicPeer(bench.port) as living, make_socket(bench.port) as sock:
        living.fetch()
        cids = [living.quic._peer_cid.cid, *(each.cid for each in living.quic._peer_cid_available)]
        assert len(cids) == 4
        for cid in cids:
            sock.send(b"\x41" + cid + os.urandom(60))
        assert collect(sock, 0.3) == []
        for _ in range(3000):
            sock.send(b"\x41" + os.urandom(68))
        heard = collect(sock, 0.5)
        assert 0 < len(heard) < 1500
        assert max(map(len, heard)) < 69
        assert living.fetch().status == 200


def test_q_5_a_new_address_for_each_packet(bench: Bench) -> None:
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.fetch()
        for _ in range(300):
            attacker.move()
            attacker.say(bytes([PING]))
            attacker.pump()


def test_q_5_garbage_is_dropped(bench: Bench) -> None:
    """Random, cut and bent datagrams, of strangers and of connections."""
    rng = random.Random(7)
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.fetch()
        real = [make_first_datagram(), attacker.craft(bytes([PING]) * 40), attacker.craft(bytes(40))]
        for _ in range(3000):
            data = bytearray(rng.choice(real))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data
            attacker.send(bytes(data) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1500)))
        assert attacker.fetch().status == 200


# Within a connection.


def fill(one: bytes) -> bytes:
    """As many of these frames as a packet takes."""
    return one * (1150 // len(one))


def number_ids(number: int) -> bytes:
    """New connection IDs without end."""
    ids = range(8 + 30 * number, 38 + 30 * number)
    return b"".join(b"\x18" + varint(n) + b"\0\x08" + n.to_bytes(8, "big") + bytes(16) for n in ids)


#: What each packet says, and the code that ends it; ``None`` where it may go on, since it costs no more than its bytes.
FLOODS: dict[str, tuple[Callable[[int], bytes], int | None]] = {
    "pings": (lambda number: fill(bytes([PING])), PROTOCOL_VIOLATION),
    "padding": (lambda number: b"\x01".ljust(1150, b"\0"), EXCESSIVE_LOAD),
    "challenges": (lambda number: fill(b"\x1a" + number.to_bytes(8, "big")), PROTOCOL_VIOLATION),
    "as many challenges as may be": (lambda number: (b"\x1a" + number.to_bytes(8, "big")) * 32, PROTOCOL_VIOLATION),
    "as many pings as may be": (lambda number: bytes([PING]) * 512, EXCESSIVE_LOAD),
    "responses": (lambda number: fill(b"\x1b" + number.to_bytes(8, "big")), PROTOCOL_VIOLATION),
    "retired ids": (lambda number: b"\x19" + varint(number + 1000), PROTOCOL_VIOLATION),
    "new ids": (number_ids, CONNECTION_ID_LIMIT_ERROR),
    "connection windows": (lambda number: fill(b"\x10" + varint(1 << 60)), EXCESSIVE_LOAD),
    "stream counts": (lambda number: fill(b"\x13" + varint(1 << 60)), EXCESSIVE_LOAD),
    "blocked": (lambda number: fill(b"\x14\x07"), PROTOCOL_VIOLATION),
    "acknowledgements": (lambda number: fill(b"\x02\0\0\0\0"), PROTOCOL_VIOLATION),
    "of packets never sent": (lambda number: b"\x02" + varint((1 << 62) - 1) + b"\0\0" + b"\0", PROTOCOL_VIOLATION),
    "crypto": (lambda number: b"\x06" + varint(4 * number) + b"\x04" + bytes(4), UNEXPECTED_MESSAGE),
    "crypto far ahead": (lambda number: b"\x06" + varint(300 * number) + b"\x01\0", UNEXPECTED_MESSAGE),
    "tokens": (lambda number: b"\x07\x02xy", PROTOCOL_VIOLATION),
}


@pytest.mark.parametrize("name", FLOODS)
def test_q_6_frames_that_cost_nothing(bench: Bench, name: str) -> None:
    make, code = FLOODS[name]
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.flood(make, 4.0)
        assert attacker.over is not None
        assert attacker.over.error_code == code


def test_q_6_packets_with_gaps_that_acknowledge_nothing(bench: Bench) -> None:
    """64 ranges are kept, 4096 packets are remembered."""
    with bench.watch(), Attacker(bench.port) as attacker:
        for _ in range(20000):
            attacker.quic._packet_number += 1
            attacker.say(bytes([PING]))


def test_q_6_keys_that_change_all_the_time(bench: Bench) -> None:
    with bench.watch(), Attacker(bench.port) as attacker:
        for _ in range(200):
            attacker.quic.request_key_update()
            attacker.say(bytes([PING]))
            attacker.pump()
        drain(attacker.sock)


def test_q_7_windows_are_not_walked(bench: Bench) -> None:
    """One byte at the end of the window, again and again: it does not move, and nothing is filled with zeros."""
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.say(stream_frame(0, 0, attacker.head("/never", b"POST")))
        for offset in (262143, 262143, 262143):
            attacker.say(stream_frame(0, offset, b"x"))
            attacker.pump(time.monotonic() + 0.05)
        assert attacker.over is None
        attacker.say(stream_frame(0, 262144, b"x"))
        assert attacker.wait_over().error_code == FLOW_CONTROL_ERROR


def test_q_7_gaps_are_bounded(bench: Bench) -> None:
    with bench.watch(), Attacker(bench.port) as attacker:
        attacker.flood(lambda number: b"".join(stream_frame(0, 40 * number + 2 * n + 1, b"x") for n in range(20)), 3.0)
        assert attacker.over is not None
        assert attacker.over.error_code == INTERNAL_ERROR


def test_q_8_who_does_not_read_is_not_written_for(bench: Bench) -> None:
    """64 responses of 10 MB whose client acknowledges nothing more: 64 KiB of each wait, 1 MiB of all."""
    with bench.watch(), Attacker(bench.port, window=1 << 30) as attacker:
        for number in range(64):
            attacker.say(stream_frame(4 * number, 0, attacker.head("/pieces?160"), ends=True))
        collect(attacker.sock, 1.0)


def test_q_8_optimistic_acknowledgements_open_no_memory(bench: Bench) -> None:
    """RFC 9000 section 21.4: 4 MiB are in flight at the most, whatever is acknowledged."""
    with bench.watch(), Attacker(bench.port, window=1 << 30) as attacker:
        attacker.say(stream_frame(0, 0, attacker.head("/pieces?100000"), ends=True))
        for _ in range(20):
            for largest in range(300):
                attacker.say(b"\x02" + varint(largest) + b"\0\0\0")
            drain(attacker.sock)


@pytest.mark.parametrize("is_begun", [True, False])
def test_q_9_requests_that_are_taken_back(bench: Bench, is_begun: bool) -> None:
    """The 201st in 30 s is the end, whether their heads have come or not."""
    with bench.watch(), Attacker(bench.port) as attacker:
        deadline = time.monotonic() + 4.0
        while attacker.over is None and time.monotonic() < deadline:
            for _ in range(20):
                if attacker.next_id >= 4 * attacker.quic._remote_max_streams_bidi:
                    break
                stream = attacker.take_id()
                attacker.quic.send_stream_data(stream, attacker.head("/never") if is_begun else b"")
                if is_begun:
                    attacker.flush()
                attacker.quic.reset_stream(stream, 0x10C)
                attacker.quic.stop_stream(stream, 0x10C)
            attacker.flush()
            attacker.pump(time.monotonic() + 0.02)
        assert attacker.over is not None
        assert attacker.over.error_code == EXCESSIVE_LOAD


def test_q_9_frames_and_pieces_of_one_byte(bench: Bench) -> None:
    """A body in DATA frames of a byte, in STREAM frames of a byte: all of it is taken, at the client's cost."""
    body = b"".join(frame(DATA, b"x") for _ in range(20000))
    with bench.watch(), Attacker(bench.port) as attacker:
        stream = attacker.request("/take", b"", ends=False)
        offset = attacker.quic._streams[stream].sender._buffer_stop
        deadline = time.monotonic() + 3.0
        while body and time.monotonic() < deadline and attacker.over is None:
            attacker.say(b"".join(stream_frame(stream, offset + n, body[n : n + 1]) for n in range(190)))
            body = body[190:]
            offset += 190
            attacker.pump()


#: What a stream begins with, and what comes of it: a status, or the code that ends the connection.
BOMBS: dict[str, tuple[bytes, int]] = {
    "thousands of fields": (frame(HEADERS, b"\0\0" + b"\xd1" * 32000), 431),
    "an announced size": (varint(HEADERS) + varint(1 << 30), 431),
    "a table that does not exist": (frame(HEADERS, b"\x02\0\x80"), QPACK_DECOMPRESSION_FAILED),
}


@pytest.mark.parametrize("name", BOMBS)
def test_q_10_field_sections_that_grow(bench: Bench, name: str) -> None:
    """32 KiB are decoded and no more, and no table is kept."""
    said, outcome = BOMBS[name]
    with bench.watch(), Attacker(bench.port) as attacker:
        for _ in range(30):
            stream = attacker.take_id()
            attacker.quic.send_stream_data(stream, said)
            attacker.flush()
            until = time.monotonic() + ANSWER_S
            while stream not in attacker.answers and attacker.over is None and time.monotonic() < until:
                attacker.pump(until)
            if attacker.over is not None:
                break
        found = {answer.status for answer in attacker.answers.values()}
        assert (found if attacker.over is None else {attacker.over.error_code}) == {outcome}


def test_q_10_heads_that_never_end(bench: Bench) -> None:
    """100 heads in pieces of a byte: each may have 32 KiB, as its HEADERS frame announces, and 10 s."""
    with bench.watch(), Attacker(bench.port) as attacker:
        for number in range(100):
            attacker.say(stream_frame(4 * number, 0, varint(HEADERS) + varint(32000)))
        at = len(varint(HEADERS) + varint(32000))
        attacker.flood(lambda n: b"".join(stream_frame(4 * m, at + n, b"\xd1") for m in range(100)), 1.5)


# Connections.


def collect_one(sock: socket.socket, for_s: float) -> list[bytes]:
    """What comes first, or nothing in so much time."""
    select.select([sock], [], [], for_s)
    return drain(sock)


def test_q_15_connections_that_come_and_go(bench: Bench) -> None:
    with bench.watch():
        for _ in range(200):
            with QuicPeer(bench.port):
                pass


def test_q_15_clients_that_vanish(serve: Serve) -> None:
    """They are forgotten once they have been silent for long: then their IDs are a stranger's, and get a reset.

    The time is one that a handshake on a busy machine does not take: it holds for the clients too.
    """
    bench = start(serve, "--quic-idle-timeout", "3")
    with bench.watch(), make_socket(bench.port) as sock:
        cids = []
        for _ in range(100):
            peer = QuicPeer(bench.port).__enter__()
            cids.append(peer.quic._peer_cid.cid)
            peer.sock.close()
        deadline = time.monotonic() + 3.0 + PATIENCE_S
        for cid in cids:
            while True:
                sock.send(b"\x41" + cid + os.urandom(60))
                if collect_one(sock, 0.05):
                    break
                assert time.monotonic() < deadline


def test_a_client_that_has_not_heard_of_its_end_is_told_again(serve: Serve) -> None:
    """What comes in two seconds is lost, and the end of the idle connection with it."""
    bench = start(serve, "--timeout-keep-alive", "0.5")
    with QuicPeer(bench.port) as peer:
        assert peer.fetch("/pieces?16").status == 200
        assert collect(peer.sock, 2.0)
        peer.quic.send_ping(1)
        peer.flush()
        assert peer.wait_over(2.0).error_code == NO_ERROR
