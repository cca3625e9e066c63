"""Datagrams from worker to worker: the message, the pair of sockets, and what does not fit."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator

import pytest

from fastserver.config.bind import TCPBind
from fastserver.protocol.quic.datagram import Address
from fastserver.transport.handoff import Handoff, pack, unpack
from fastserver.transport.udpgroup import UDPGroup
from tests.transport.test_steering import CONSTANTS

LOCAL = TCPBind("127.0.0.1", 0)
PEER = ("192.0.2.7", 50000)

Taken = list[tuple[bytes, Address, bytes | None, int]]


@pytest.fixture(params=[True, False], ids=["steered", "shared"])
def group(request: pytest.FixtureRequest) -> Iterator[UDPGroup]:
    group = UDPGroup((LOCAL, LOCAL), 4, CONSTANTS, logging.getLogger("tests.handoff"), steered=request.param)
    group.steer({0, 1}, {0, 1, 2})
    yield group
    group.close()


def open_end(group: UDPGroup, number: int) -> tuple[Handoff, Taken]:
    taken: Taken = []
    return Handoff(group, number, lambda *datagram: taken.append(datagram)), taken


@pytest.mark.parametrize("data", [b"", b"x", bytes(65507)])
@pytest.mark.parametrize("local", [None, bytes([127, 0, 0, 1]), bytes(16)])
@pytest.mark.parametrize("address", [PEER, ("fe80::1%wlan0", 65535), ("2001:db8:1111:2222:3333:4444:5555:6666", 1)])
def test_a_message_holds_all_of_a_datagram(data: bytes, local: bytes | None, address: Address) -> None:
    assert unpack(pack(data, address, local, 255)) == (data, address, local, 255)


def test_what_is_sent_is_taken_in_order(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    receiver, taken = open_end(group, 2)
    assert sender.send(2, b"one", PEER, None, 0)
    assert sender.send(2, b"two", PEER, bytes(4), 1)
    receiver.on_readable()
    assert taken == [(b"one", PEER, None, 0), (b"two", PEER, bytes(4), 1)]


def test_the_longest_datagram_passes(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    receiver, taken = open_end(group, 1)
    data = os.urandom(65507)
    assert sender.send(1, data, PEER, bytes(16), 1)
    receiver.on_readable()
    assert taken == [(data, PEER, bytes(16), 1)]


def test_nobody_is_sent_nothing(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    assert not sender.send(3, b"x", PEER, None, 0)


def test_a_full_inbox_drops(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    receiver, taken = open_end(group, 1)
    count = 0
    while sender.send(1, bytes(1200), PEER, None, 0):
        count += 1
        assert count < 100_000
    assert count >= 64
    while len(taken) < count:
        receiver.on_readable()
    assert sender.send(1, b"again", PEER, None, 0)


def test_a_batch_leaves_the_rest_for_the_next_turn(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    receiver, taken = open_end(group, 1)
    for _ in range(65):
        assert sender.send(1, b"x", PEER, None, 0)
    receiver.on_readable()
    assert len(taken) == 64
    receiver.on_readable()
    assert len(taken) == 65


def test_one_that_closes_while_it_takes_is_left_alone(group: UDPGroup) -> None:
    sender, _ = open_end(group, 0)
    taken: list[bytes] = []

    def take(data: bytes, *facts: object) -> None:
        taken.append(data)
        receiver.close()

    receiver = Handoff(group, 1, take)
    assert sender.send(1, b"x", PEER, None, 0)
    assert sender.send(1, b"y", PEER, None, 0)
    receiver.on_readable()
    receiver.close()
    assert taken == [b"x"]


def test_the_loop_reads_the_inbox_until_the_close(group: UDPGroup) -> None:
    async def main() -> None:
        arrived = asyncio.Event()
        sender, _ = open_end(group, 0)
        receiver = Handoff(group, 1, lambda *datagram: arrived.set())
        receiver.start()
        assert sender.send(1, b"x", PEER, None, 0)
        await asyncio.wait_for(arrived.wait(), 5)
        inbox = group.get_inbox(1)
        assert inbox is not None
        descriptor = inbox.fileno()
        receiver.close()
        assert not asyncio.get_running_loop().remove_reader(descriptor)

    asyncio.run(main())


def test_a_group_of_one_has_nothing_to_hand_over() -> None:
    group = UDPGroup((LOCAL,), 1, CONSTANTS, logging.getLogger("tests.handoff"))

    async def main() -> None:
        end, taken = open_end(group, 0)
        end.start()
        assert not end.send(0, b"x", PEER, None, 0)
        end.on_readable()
        end.close()
        assert taken == []

    try:
        asyncio.run(main())
    finally:
        group.close()


def test_a_forked_owner_gets_what_a_sibling_read(group: UDPGroup) -> None:
    """The shared way: one worker reads the socket and hands over what is another's."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            group.take(2)
            inbox = group.get_inbox(2)
            assert inbox is not None
            inbox.setblocking(True)
            inbox.settimeout(10)
            message = unpack(inbox.recv(70000))
            os.write(write, repr(message).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    sockets = group.take(1)
    end, _ = open_end(group, 1)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.sendto(b"for another", sockets[1].getsockname())
            peer = client.getsockname()
            if group.steered:  # the kernel has put it into a socket of worker 0 or 1; this one hands over anything
                data = b"for another"
            else:
                sockets[1].setblocking(True)
                sockets[1].settimeout(10)
                data, peer = sockets[1].recvfrom(2048)
            assert end.send(2, data, peer, None, 1)
        found = os.read(read, 4096)
    finally:
        os.close(read)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0
    assert found == repr((b"for another", peer, None, 1)).encode()
