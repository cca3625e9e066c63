"""The engine against aioquic's client: requests, both halves' flow control, closing, hostile packets, other paths."""

import ast
import gc
import inspect
import random
import textwrap
import weakref
from pathlib import Path

import pytest

pytest.importorskip("aioquic")

from aioquic.quic import connection
from aioquic.quic.connection import QuicConnection, QuicConnectionId, QuicConnectionState, QuicNetworkPath
from aioquic.quic.crypto import CryptoContext, CryptoPair
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite, Epoch
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic import engine
from fastserver._speedups.quic.bounds import BASE_DATAGRAM, CONNECTION_IDS, LARGE_DATAGRAM
from fastserver._speedups.quic.end import End
from fastserver._speedups.quic.errors import UNEXPECTED_MESSAGE
from fastserver._speedups.quic.handshake import FrameShelf
from fastserver._speedups.quic.keys import SUITES, KeyPair
from fastserver._speedups.quic.packets import Space
from fastserver._speedups.quic.protection import Sealer
from tests._speedups.quic.pair import (
    CLIENT,
    SERVER,
    Pair,
    connect,
    make_client,
    make_server_configuration,
    stream_frame,
)
from tests.certificates import AUTHORITY

OTHER = ("198.51.100.7", 50001)

#: What stands for the connection in its methods and in the functions that handle packets.
OURSELVES = ("self", "sender", "engine")
#: What we override, read or call of aioquic's connection beyond its interface.
PRIVATE = (
    "_ack_delay", "_ack_eliciting_sent_since_receipt", "_alpn_handler", "_abandon_path_validation",
    "_amplification_blocked_timers", "_close_at", "_close_end", "_close_event", "_close_pending", "_configuration",
    "_crypto_buffers", "_crypto_streams", "_cryptos", "_cryptos_initial", "_events", "_handle_ack_frame",
    "_handle_crypto_frame",
    "_handshake_complete", "_handshake_confirmed", "_handshake_done_pending", "_host_cid_seq", "_host_cids",
    "_idle_timeout", "_initialize", "_local_ack_delay_exponent",
    "_local_active_connection_id_limit", "_local_initial_source_connection_id",
    "_local_max_data", "_local_max_stream_data_bidi_local", "_local_max_stream_data_bidi_remote",
    "_local_max_stream_data_uni", "_local_max_streams_bidi", "_local_max_streams_uni", "_logger", "_loss",
    "_network_paths", "_on_new_connection_id_delivery", "_pacing_at", "_packet_number",
    "_parse_transport_parameters", "_path_validation_deadline",
    "_payload_received", "_peer_cid", "_probe_pending", "_QuicConnection__frame_handlers",
    "_remote_active_connection_id_limit", "_remote_max_data", "_remote_max_idle_timeout",
    "_remote_max_stream_data_bidi_local", "_remote_max_stream_data_uni", "_remote_max_streams_uni",
    "_replenish_connection_ids", "_retire_connection_ids", "_serialize_transport_parameters", "_set_state", "_spaces",
    "_state",
    "_update_traffic_key", "_version", "_write_application", "_write_handshake_done_frame",
    "_write_new_connection_id_frame", "_write_path_challenge_frame", "_write_path_response_frame",
    "_write_retire_connection_id_frame",
)  # fmt: skip


def echo(pair: Pair) -> None:
    """The server answers each request with what it was."""

    def answer(stream_id: int, data: bytes, ends: bool) -> None:
        pair.server.consume(stream_id, len(data))
        pair.server.send(stream_id, data, ends)

    pair.ear.on_data = answer


def test_what_we_need_of_aioquic_is_there() -> None:
    client = QuicConnection(configuration=make_client().configuration)
    missing = [name for name in PRIVATE if not hasattr(client, name)]
    assert not missing
    assert set(inspect.signature(QuicNetworkPath).parameters) == {"addr", "is_validated"}
    for name in ("local_challenge_sent", "remote_challenges", "validation_deadline", "bytes_received", "bytes_sent"):
        assert hasattr(QuicNetworkPath(CLIENT), name)
    context = CryptoContext()
    context.setup(cipher_suite=CipherSuite.AES_128_GCM_SHA256, secret=bytes(32), version=1)
    assert context.aead is not None
    assert context.hp is not None
    assert callable(context.aead._aead.encrypt)
    assert isinstance(context.aead._iv, int)
    assert callable(context.hp._mask)
    assert context.hp._is_chacha20 is False
    assert callable(context.hp._encryptor.update)
    assert callable(CryptoPair._update_key)


ROOM = Path(str(engine.__file__)).parent
#: What stands for a path and for a connection ID of aioquic's.
THEIRS = {"path": QuicNetworkPath(CLIENT), "connection_id": QuicConnectionId(b"", 0)}
#: What of aioquic's cryptography is private.
INNER = {"_aead", "_iv", "_mask", "_is_chacha20", "_encryptor", "_update_key"}


def list_attributes(text: str) -> list[tuple[str, str]]:
    """What is asked of what in a text: the last name before the dot, and the name behind it."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            value = node.value.value if isinstance(node.value, ast.Subscript) else node.value
            if isinstance(value, ast.Name | ast.Attribute):
                found.append((value.id if isinstance(value, ast.Name) else value.attr, node.attr))
    return found


def test_the_list_of_private_names_is_whole() -> None:
    client = make_client()
    used: set[str] = set()
    for path in ROOM.glob("*.py"):
        text = path.read_text("utf-8")
        for owner, name in list_attributes(text):
            if owner in THEIRS:
                assert hasattr(THEIRS[owner], name), (path.name, owner, name)
            is_private = name[0] == "_" and name[:2] != "__"
            if owner in OURSELVES and path.stem in ("handshake", "sender", "engine"):
                used.add(name)
            elif is_private and owner not in OURSELVES:
                assert name in INNER, (path.name, owner, name)
        if path.stem in ("handshake", "sender", "engine"):
            used.update(node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    assert {name for name in used if name[0] == "_" and name[:2] != "__" and hasattr(client, name)} == set(PRIVATE)


def test_what_aioquic_asks_of_ours_is_there() -> None:
    """Its connection calls our recovery and our spaces; its methods that write a frame have our shelf as a builder."""
    ours = {"_loss": connect().server._loss, "space": Space(True)}
    asked = list_attributes(inspect.getsource(connection))
    assert {owner for owner, _ in asked} >= set(ours)
    # The pacer is asked where 1-RTT packets are written, which we do ourselves.
    missing = [(owner, name) for owner, name in asked if owner in ours and not hasattr(ours[owner], name)]
    assert set(missing) == {("_loss", "_pacer")}
    writers = [name for name in PRIVATE if name[:7] == "_write_" and name[-6:] == "_frame"]
    assert len(writers) == 5
    for name in writers:
        text = textwrap.dedent(inspect.getsource(getattr(QuicConnection, name)))
        calls = [attribute for owner, attribute in list_attributes(text) if owner == "builder"]
        assert "start_frame" in calls
        assert all(hasattr(FrameShelf(), attribute) for attribute in calls)


@pytest.mark.parametrize("version", [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2])
def test_keys_are_derived_as_aioquic_derives_them(version: QuicProtocolVersion) -> None:
    ours, theirs = KeyPair(), CryptoPair()
    for pair in (ours, theirs):
        pair.setup_initial(cid=b"12345678", is_client=False, version=version)
    assert ours.encrypt_packet(b"\x40\0", bytes(40), 7) == theirs.encrypt_packet(b"\x40\0", bytes(40), 7)
    for suite in SUITES:
        for pair in (ours, theirs):
            pair.recv.setup(cipher_suite=suite, secret=bytes(range(48)), version=version)
        assert ours.recv.encrypt_packet(b"\x40\0", b"x" * 40, 9) == theirs.recv.encrypt_packet(b"\x40\0", b"x" * 40, 9)


def test_requests_are_answered_and_streams_forgotten() -> None:
    pair = connect()
    echo(pair)
    for number in range(300):
        pair.client.send_stream_data(4 * number, b"x" * number, end_stream=True)
    pair.run(lambda: len(pair.got_end) == 300)
    pair.settle(1)
    assert all(pair.got.get(4 * number, b"") == b"x" * number for number in range(300))
    assert sorted(pair.ear.closed) == list(range(0, 1200, 4))
    assert not pair.server._table.streams
    assert pair.server._table.bidi.opened == 300


def test_handshake_is_told_with_the_connection_ids() -> None:
    pair = connect()
    assert pair.ear.told == [("handshake",)]
    assert pair.ear.cids == [connection_id.cid for connection_id in pair.server._host_cids]
    assert len(pair.ear.cids) == CONNECTION_IDS
    assert pair.server.address == CLIENT
    tokens = {cid.cid: cid.stateless_reset_token for cid in pair.client._peer_cid_available}
    assert tokens
    assert all(token == pair.cids.make_reset_token(cid) for cid, token in tokens.items())


def test_what_only_the_handshake_needs_is_let_go() -> None:
    pair = Pair()
    pair.client.connect(SERVER, pair.now)
    first = [data for data, _ in pair.client.datagrams_to_send(pair.now)]
    for data in first:
        pair.server.receive(data, CLIENT, pair.now)
    context = weakref.ref(pair.server.tls)
    secret = weakref.ref(pair.server._cryptos[Epoch.HANDSHAKE])
    pair.run(lambda: bool(pair.ear.told))
    pair.settle()
    gc.collect()
    assert (context(), secret()) == (None, None)
    assert pair.server.tls.key_schedule.cipher_suite is CipherSuite.AES_128_GCM_SHA256
    assert pair.server._loss.spaces == [pair.server._space]
    # What comes late of the handshake is passed over, in whatever version.
    for data in first:
        for version in (b"\0\0\0\x01", b"\x6b\x33\x43\xcf"):
            pair.server.receive(data[:1] + version + data[5:], CLIENT, pair.now)
    echo(pair)
    pair.client.send_stream_data(0, b"x", end_stream=True)
    pair.run(lambda: 0 in pair.got_end)
    assert pair.ear.terminated is None


def test_a_message_of_tls_after_the_handshake() -> None:
    pair = connect()
    pair.inject(b"\x06\x00\x04\x18\x00\x00\x01")
    pair.settle(0.05)
    assert pair.ear.terminated == (End.FAULT, UNEXPECTED_MESSAGE)


def test_a_transfer_both_ways_at_once() -> None:
    pair = connect()
    pair.ear.on_data = lambda stream_id, data, ends: pair.server.consume(stream_id, len(data))
    pair.client.send_stream_data(0, bytes(range(256)) * 4096, end_stream=True)
    pair.run(lambda: 0 in pair.ear.data)
    pair.server.send(0, b"answer!!" * 131072, True)
    pair.run(lambda: 0 in pair.got_end and 0 in pair.ear.ended)
    assert pair.ear.data[0] == bytes(range(256)) * 4096
    assert pair.got[0] == b"answer!!" * 131072
    assert pair.server._loss.size.current == LARGE_DATAGRAM
    assert pair.server.unsent == 0


@pytest.mark.parametrize("seed", range(4))
def test_transfers_survive_loss_reordering_and_duplicates(seed: int) -> None:
    pair = connect(loss=0.05, twice=0.02, jitter_s=0.003, seed=seed)
    pair.ear.on_data = lambda stream_id, data, ends: pair.server.consume(stream_id, len(data))
    blob = random.Random(seed).randbytes(2 << 20)
    pair.client.send_stream_data(0, blob, end_stream=True)
    pair.run(lambda: 0 in pair.ear.data)
    parts = [blob[at : at + 65536] for at in range(0, len(blob), 65536)]

    def feed() -> None:
        while parts and pair.server.get_unsent(0) <= 65536:
            pair.server.send(0, parts.pop(0), not parts)

    pair.server_acts = feed
    pair.run(lambda: 0 in pair.got_end and 0 in pair.ear.ended, most_s=300)
    assert pair.ear.data[0] == blob
    assert pair.got[0] == blob


def test_streams_progress_evenly() -> None:
    pair = connect()
    for number in range(32):
        pair.client.send_stream_data(4 * number, b"x", end_stream=True)
    pair.run(lambda: len(pair.ear.ended) == 32)
    for number in range(32):
        pair.server.send(4 * number, bytes(64_000), True)
    pair.run(lambda: sum(map(len, pair.got.values())) > 1_000_000)
    sizes = [len(pair.got[4 * number]) for number in range(32)]
    assert max(sizes) - min(sizes) <= 4 * LARGE_DATAGRAM


def test_a_packet_visits_only_streams_that_speak() -> None:
    pair = connect(H3Limits(streams=1000))
    for number in range(900):
        pair.client.send_stream_data(4 * number, b"x")
    pair.run(lambda: len(pair.ear.data) == 900)
    pair.server.send(0, b"answer", False)
    table = pair.server._table
    assert list(table.ready) == [table.streams[0]]
    assert not table.has_words()
    pair.server.take_datagrams(pair.now)
    assert not table.ready


def test_credit_for_streams_comes_as_they_close() -> None:
    pair = connect(H3Limits(streams=4))
    echo(pair)
    for number in range(50):
        pair.client.send_stream_data(4 * number, b"x", end_stream=True)
    pair.run(lambda: len(pair.got_end) == 50)
    assert pair.server._table.bidi.opened == 50


def test_long_lived_streams_do_not_hold_back_the_credit_of_others() -> None:
    pair = connect(H3Limits(streams=8))
    echo(pair)
    for number in range(7):
        pair.client.send_stream_data(4 * number, b"x")
    for number in range(7, 30):
        pair.client.send_stream_data(4 * number, b"x", end_stream=True)
    pair.run(lambda: len(pair.got_end) == 23)


def test_a_stopped_stream_gives_its_credit_back() -> None:
    window = 65536
    pair = connect(H3Limits(stream_window=window, connection_window=window))
    pair.client.send_stream_data(0, bytes(1 << 20), end_stream=True)
    pair.run(lambda: len(pair.ear.data.get(0, b"")) == window)
    pair.server.stop(0, 0x10C)
    pair.client.send_stream_data(4, bytes(window), end_stream=True)
    pair.run(lambda: 4 in pair.ear.ended)
    assert len(pair.ear.data[0]) == window
    pair.server.reset(0, 0x10C)
    pair.settle(1)
    assert 0 in pair.ear.closed


def test_a_reset_stream_gives_its_credit_back() -> None:
    window = 65536
    pair = connect(H3Limits(stream_window=window, connection_window=window))
    pair.client.send_stream_data(0, bytes(window))
    pair.run(lambda: len(pair.ear.data.get(0, b"")) == window)
    pair.client.reset_stream(0, 7)
    pair.client.send_stream_data(4, bytes(window), end_stream=True)
    pair.run(lambda: 4 in pair.ear.ended)
    assert ("reset", 0) in pair.ear.told


def test_stop_sending_resets_our_half() -> None:
    pair = connect()
    pair.client.send_stream_data(0, b"x", end_stream=True)
    pair.settle()
    pair.server.send(0, bytes(10_000_000), True)
    pair.client.stop_stream(0, 9)
    pair.settle(2)
    assert ("stop", 0) in pair.ear.told
    assert pair.server.unsent == 0
    assert pair.ear.closed == [0]
    pair.server.send(0, b"late", True)
    pair.server.reset(0, 1)
    pair.server.stop(0, 1)
    pair.server.consume(0, 1)
    assert pair.server.get_unsent(0) == 0


def test_our_streams_go_one_way() -> None:
    pair = connect()
    first, second = pair.server.open_stream(), pair.server.open_stream()
    assert (first, second) == (3, 7)
    pair.server.send(first, b"settings", False)
    pair.server.send(second, b"encoder", False)
    pair.settle()
    assert pair.got == {3: b"settings", 7: b"encoder"}


def test_close_is_told_once_and_frees_everything() -> None:
    pair = connect()
    pair.server.close(0x100, "done")
    pair.settle(0.03)
    assert pair.ear.terminated == (End.OURS, 0x100)
    assert pair.server._state is not QuicConnectionState.TERMINATED
    pair.settle(10)
    assert pair.server._state is QuicConnectionState.TERMINATED
    assert pair.ear.cids == []
    assert pair.server.get_deadline() == float("inf")
    assert pair.server.take_datagrams(pair.now) == []


def test_a_closed_engine_leaves_no_circle() -> None:
    gc.collect()
    gc.disable()
    try:
        pair = connect()
        echo(pair)
        pair.client.send_stream_data(0, bytes(5000), end_stream=True)
        pair.run(lambda: 0 in pair.got_end)
        pair.server.close(0x100, "done")
        pair.settle(10)
        assert pair.server._state is QuicConnectionState.TERMINATED
        left = weakref.ref(pair.server)
        pair.server = None
        pair.ear.on_data = lambda stream_id, data, ends: None
        assert left() is None
    finally:
        gc.enable()


def test_a_peer_that_never_acknowledges_costs_no_memory() -> None:
    pair = connect()
    before = len(pair.server._space.sent_packets)
    for _ in range(1000):
        pair.inject(b"\x01")
        pair.now += 0.01
        pair.server.on_deadline(pair.now)
        pair.server.take_datagrams(pair.now)
    assert len(pair.server._space.sent_packets) <= before + 1


def test_an_address_that_does_not_answer_is_given_up() -> None:
    pair = connect()
    pair.server.receive(pair.craft(stream_frame(0, 0, b"x")), OTHER, pair.now)
    assert pair.ear.told[-1] == ("path", OTHER)
    while pair.server.address == OTHER:
        pair.now = max(pair.now, pair.server.get_deadline())
        pair.server.on_deadline(pair.now)
        sent = pair.server.take_datagrams(pair.now)
        assert sum(len(data) for data, address in sent if address == OTHER) <= 3 * 100
    assert pair.ear.told[-1] == ("path", CLIENT)
    assert pair.ear.terminated is None


def test_a_close_leaves_its_datagram_behind() -> None:
    pair = connect()
    pair.server.close(0x100, "done")
    assert pair.server.farewell is None
    ((first, _),) = pair.server.take_datagrams(pair.now)
    pair.inject(b"\x01")
    assert pair.server.take_datagrams(pair.now) == []
    assert pair.server.farewell == first
    pair.client.receive_datagram(first, SERVER, pair.now)
    assert pair.client._close_event is not None
    assert pair.client._close_event.error_code == 0x100


@pytest.mark.parametrize("how", ["by the peer", "in silence"])
def test_another_end_leaves_nothing_behind(how: str) -> None:
    pair = connect()
    if how == "by the peer":
        pair.client.close(0x100)
        pair.settle()
    else:
        pair.server.on_deadline(pair.now + 1000)
        pair.server.take_datagrams(pair.now + 1000)
    assert pair.ear.terminated is not None
    assert pair.server.farewell is None


def test_the_peers_close_is_told() -> None:
    pair = connect()
    pair.client.close(0x10C, reason_phrase="bye")
    pair.settle(0.05)
    assert pair.ear.terminated == (End.PEER, 0x10C)


def test_silence_ends_the_connection() -> None:
    pair = connect()
    while pair.server.get_deadline() < float("inf"):
        pair.now = max(pair.now, pair.server.get_deadline())
        pair.server.on_deadline(pair.now)
        pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated == (End.IDLE, 0)
    assert pair.server._state is QuicConnectionState.TERMINATED


def test_a_handshake_that_does_not_end_is_dropped() -> None:
    pair = Pair(H3Limits(timeout_handshake=2.0))
    pair.client.connect(("192.0.2.1", 443), pair.now)
    (first, _), *_ = pair.client.datagrams_to_send(pair.now)
    pair.server.receive(first, CLIENT, pair.now)
    started = pair.now
    while pair.server._state is not QuicConnectionState.TERMINATED:
        pair.now = pair.server.get_deadline()
        pair.server.on_deadline(pair.now)
        pair.server.take_datagrams(pair.now)
    assert pair.now - started == pytest.approx(2.0)
    assert pair.ear.terminated == (End.HANDSHAKE, 0)


def test_acknowledgements_ride_or_wait_or_go_at_once() -> None:
    pair = connect()
    pair.settle(1)
    pair.inject(b"\x01")
    assert pair.server.take_datagrams(pair.now) == []
    assert pair.now < pair.server.get_deadline() <= pair.now + 0.025
    pair.inject(b"\x01")
    assert pair.server.get_deadline() <= pair.now
    assert len(pair.server.take_datagrams(pair.now)) == 1
    pair.inject(stream_frame(0, 0, b"x", ends=True))
    pair.server.send(0, b"answer", True)
    assert len(pair.server.take_datagrams(pair.now)) == 1
    assert pair.server._space.ack_at is None


def test_duplicates_and_garbage_are_dropped() -> None:
    pair = connect()
    data = pair.craft(stream_frame(0, 0, b"x"))
    for _ in range(3):
        pair.server.receive(data, CLIENT, pair.now)
    broken = data[:-1] + bytes([data[-1] ^ 1])
    for garbage in (broken, data[:20], b"", b"\x40", bytes(1200), b"\xff" * 1200, data[:9] + bytes(40)):
        pair.server.receive(garbage, CLIENT, pair.now)
    assert pair.ear.data == {0: b"x"}
    assert pair.ear.terminated is None


def test_the_client_moves() -> None:
    pair = connect()
    echo(pair)
    pair.address = OTHER
    pair.client.send_stream_data(0, bytes(50_000), end_stream=True)
    pair.run(lambda: 0 in pair.got_end)
    pair.settle(1)
    assert ("path", OTHER) in pair.ear.told
    assert pair.server.address == OTHER
    assert pair.server._network_paths[0].is_validated
    assert pair.server._network_paths[0].addr == OTHER


def test_the_client_changes_its_connection_id_and_keys() -> None:
    pair = connect()
    echo(pair)
    pair.client.change_connection_id()
    pair.client.request_key_update()
    pair.client.send_stream_data(0, bytes(5000), end_stream=True)
    pair.run(lambda: 0 in pair.got_end)
    pair.settle(1)
    assert len(pair.ear.cids) == CONNECTION_IDS
    assert pair.cids.made == CONNECTION_IDS + 1
    assert pair.client._cryptos[Epoch.ONE_RTT].key_phase == 1


def test_our_key_is_changed_in_time() -> None:
    pair = connect()
    pair.client.send_stream_data(0, b"x")
    pair.settle()
    pair.server._sealer = Sealer(pair.server._cryptos[Epoch.ONE_RTT].send, pair.server._peer_cid.cid, 1 << 23)
    pair.server.send(0, bytes(100_000), True)
    pair.run(lambda: 0 in pair.got_end)
    assert pair.client._cryptos[Epoch.ONE_RTT].key_phase == 1


def test_large_datagrams_that_vanish_are_given_up() -> None:
    pair = connect()
    pair.client.send_stream_data(0, b"x")
    pair.settle()
    pair.server.send(0, bytes(200_000), False)
    pair.run(lambda: len(pair.got.get(0, b"")) == 200_000)
    assert pair.server._loss.size.current == LARGE_DATAGRAM
    put = pair.put
    pair.put = lambda to_server, data, address: (  # type: ignore[method-assign]
        None if not to_server and len(data) > BASE_DATAGRAM else put(to_server, data, address)
    )
    pair.server.send(0, bytes(200_000), True)
    pair.run(lambda: 0 in pair.got_end)
    assert pair.server._loss.size.current == BASE_DATAGRAM


def test_a_smaller_payload_limit_of_the_peer_is_kept() -> None:
    pair = connect()
    pair.server._loss.size.limit(1300)
    pair.client.send_stream_data(0, b"x")
    pair.settle()
    pair.server.send(0, bytes(200_000), True)
    pair.run(lambda: 0 in pair.got_end)
    assert max(map(len, pair.datagrams)) == 1300


# Certificates by name.


def issue_named(name: str) -> tuple[object, list[object], object, str]:
    """As the engine takes it: the certificate, its chain, its key, and what stands for the PEM."""
    leaf = AUTHORITY.issue_cert(name)
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    return certificate, [], load_pem_private_key(leaf.private_key_pem.bytes(), None), name


@pytest.mark.parametrize("name", ["a.example", "localhost"])
def test_the_certificate_of_the_name_that_a_client_asks_for(name: str) -> None:
    found = issue_named("a.example")
    asked = []

    def choose(name: str | None) -> tuple[object, list[object], object, str] | None:
        asked.append(name)
        return found if name == "a.example" else None

    configuration = make_server_configuration()
    client = make_client()
    client.configuration.server_name = name
    pair = Pair(client=client)
    original = client.original_destination_connection_id
    server = engine.Engine(pair.ear, configuration, pair.limits, pair.cids, original, None, None, "usual", choose)
    pair.server = server
    pair.connect()
    assert asked == [name]
    wanted, pem = (found[0], found[3]) if name == "a.example" else (configuration.certificate, "usual")
    assert client.tls._peer_certificate == wanted
    assert server.server_cert_pem == pem
