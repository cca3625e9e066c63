"""UDP sockets of many workers on the real kernel: which of them gets a datagram, alone and in forked children."""

import logging
import os
import random
import select
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastserver.config.bind import TCPBind
from fastserver.transport import udpgroup
from fastserver.transport.sockets import BindError
from fastserver.transport.udpgroup import UDPGroup
from tests.transport.test_sockets import needs_ipv6
from tests.transport.test_steering import CONSTANTS, choose_number, make_cid, make_long, make_short

LOG = logging.getLogger("tests.udpgroup")
LOCAL = TCPBind("127.0.0.1", 0)
CHANCE = random.Random(9)

needs_steering = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers")

Opener = Callable[..., UDPGroup]


@pytest.fixture
def open_group() -> Iterator[Opener]:
    opened: list[UDPGroup] = []

    def make(*binds: TCPBind, numbers: int = 6, **options: object) -> UDPGroup:
        group = UDPGroup(binds or (LOCAL,), numbers, CONSTANTS, LOG, **options)  # type: ignore[arg-type]
        opened.append(group)
        return group

    yield make
    for group in opened:
        group.close()


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


def read_all(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(65535))
        except BlockingIOError:
            return found


def get_socket(group: UDPGroup, number: int, port: int = 0) -> socket.socket:
    sock = group._ports[port][number]
    assert sock is not None
    return sock


def send_to(client: socket.socket, group: UDPGroup, data: bytes, port: int = 0) -> None:
    client.sendto(data, group.addresses[port])


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# Binding.


def test_one_number_is_a_plain_socket_and_serves_at_once(open_group: Opener, client: socket.socket) -> None:
    group = open_group(numbers=1)
    assert (group.steered, group.get_inbox(0), group.get_outbox(0)) == (False, None, None)
    assert (group.is_living(0), group.pick(b"12345678", 0)) == (True, 0)
    (sock,) = group.take(0)
    send_to(client, group, b"hello")
    assert read_all(sock) == [b"hello"]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


@pytest.mark.parametrize("numbers", [1, 6])
def test_a_port_that_is_taken_is_refused(open_group: Opener, numbers: int) -> None:
    first = open_group(numbers=numbers)
    port = first.addresses[0][1]
    with pytest.raises(BindError) as caught:
        open_group(TCPBind("127.0.0.1", port), numbers=numbers)
    assert str(caught.value) == f"cannot bind 127.0.0.1:{port}: the address is in use"


@needs_steering
def test_a_port_that_another_server_would_share_is_refused(open_group: Opener) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        with pytest.raises(BindError, match="in use"):
            open_group(TCPBind("127.0.0.1", other.getsockname()[1]))


def test_an_unknown_host_is_one_line(open_group: Opener) -> None:
    with pytest.raises(BindError, match=r"cannot bind no\.such\.host\.invalid:1: unknown host"):
        open_group(TCPBind("no.such.host.invalid", 1))


@pytest.mark.parametrize("numbers", [0, 257])
def test_numbers_fit_a_byte(numbers: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        UDPGroup((LOCAL,), numbers, CONSTANTS, LOG)


@needs_ipv6
def test_all_addresses_of_a_bind_share_a_port(open_group: Opener) -> None:
    group = open_group(TCPBind("", 0))
    hosts, ports = zip(*group.addresses, strict=True)
    assert set(hosts) == {"0.0.0.0", "::"}
    assert len(set(ports)) == 1


@needs_ipv6
def test_dual_stack_follows_the_setting(open_group: Opener) -> None:
    for dual_stack in (True, False):
        group = open_group(TCPBind("::", 0), dual_stack=dual_stack)
        for number in range(group.numbers if group.steered else 1):
            sock = get_socket(group, number)
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == (not dual_stack)


def test_two_binds_with_port_zero_are_two_ports(open_group: Opener) -> None:
    group = open_group(LOCAL, LOCAL)
    assert len({port for _, port in group.addresses}) == 2


def test_descriptors_do_not_leak(open_group: Opener) -> None:
    before = count_descriptors()
    for options in ({}, {"steered": False}, {"numbers": 1}):
        open_group(**options).close()
    taken = open_group(numbers=1)
    inside = count_descriptors()
    with pytest.raises(BindError):
        open_group(LOCAL, TCPBind("127.0.0.1", taken.addresses[0][1]))
    assert count_descriptors() == inside
    taken.close()
    assert count_descriptors() == before


def test_the_sockets_of_64_workers_fit_the_usual_limit(open_group: Opener) -> None:
    before = count_descriptors()
    group = open_group(LOCAL, LOCAL, numbers=130)
    assert count_descriptors() - before <= 600
    group.take(3)
    assert count_descriptors() - before <= 200
    assert [group.get_inbox(3) is not None, group.get_inbox(4) is None] == [True, True]
    assert [group.get_outbox(3) is None, group.get_outbox(4) is not None] == [True, True]


# Steering.


@needs_steering
def test_this_kernel_steers_whoever_asks(open_group: Opener) -> None:
    """Classic BPF needs no privilege: a child that gives up its own still gets it."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            group = UDPGroup((LOCAL,), 6, CONSTANTS, LOG)
            status = 0 if group.steered and group.steer({1, 2}, {1, 2, 3}) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@needs_steering
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_datagrams_reach_the_socket_of_their_worker(open_group: Opener, host: str) -> None:
    group = open_group(TCPBind(host, 0), numbers=8)
    accepting, living = {1, 2, 6}, {1, 2, 4, 6}
    assert group.steer(accepting, living)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    clients = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(4)]
    try:
        for _ in range(60):
            sent: dict[int, list[bytes]] = {number: [] for number in range(8)}
            for _ in range(50):
                cid = make_cid(CHANCE.randrange(8))
                data = CHANCE.choice([make_short(cid), make_long(cid), make_long(CHANCE.randbytes(18)), cid[:5]])
                CHANCE.choice(clients).sendto(data, group.addresses[0])
                sent[choose_number(data, accepting, living)].append(data)
                if len(data) > 13 and data[0] & 0x80 and data[5] == 18:
                    assert group.pick(data[6:24], 0) == choose_number(data, accepting, living)
            assert {number: read_all(get_socket(group, number)) for number in range(8)} == sent
    finally:
        for sock in clients:
            sock.close()


@needs_steering
@needs_ipv6
def test_a_socket_for_both_families_steers_both(open_group: Opener, client: socket.socket) -> None:
    group = open_group(TCPBind("::", 0))
    assert group.steer({1}, {1, 4})
    port = group.addresses[0][1]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        client.sendto(first := make_short(make_cid(4)), ("127.0.0.1", port))
        other.sendto(second := make_short(make_cid(4)), ("::1", port))
    client.sendto(third := make_long(CHANCE.randbytes(18)), ("127.0.0.1", port))
    assert read_all(get_socket(group, 4)) == [first, second]
    assert read_all(get_socket(group, 1)) == [third]


@needs_steering
def test_nothing_is_lost_while_the_order_changes(open_group: Opener, client: socket.socket) -> None:
    """A child floods while the numbers come and go; every datagram is read by a socket that lives."""
    group = open_group(numbers=6)
    group.steer({0}, {0})
    count = 4000
    got: list[bytes] = []
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(ready_write)
            for index in range(count):
                send_to(client, group, b"\xc0\0\0\0\1\x10" + index.to_bytes(8, "big") + bytes(30))
                if index % 20 == 19:
                    os.read(ready_read, 1)  # so that no receive buffer overflows
            status = 0
        finally:
            os._exit(status)
    try:
        # The numbers 1 to 4 live throughout; which of them take new clients changes all the time.
        while len(got) < count:
            os.write(ready_write, b"x")
            expected = min(len(got) + 20, count)
            while len(got) < expected:
                group.steer(set(CHANCE.sample(range(1, 5), CHANCE.randrange(1, 5))) | {0}, {0, 1, 2, 3, 4})
                socks = [get_socket(group, number) for number in range(5)]
                readable, _, _ = select.select(socks, [], [], 5)
                assert readable, f"{len(got)} of {expected} datagrams came"
                for sock in readable:
                    got += read_all(sock)
    finally:
        os.close(ready_read)
        os.close(ready_write)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0
    assert sorted(int.from_bytes(data[6:14], "big") for data in got) == list(range(count))


@needs_steering
def test_numbers_without_a_worker_are_deaf_and_empty(open_group: Opener, client: socket.socket) -> None:
    group = open_group()
    send_to(client, group, make_short(make_cid(3)))
    group.steer({3}, {3})
    assert [read_all(get_socket(group, number)) for number in range(6)] == [[]] * 6
    send_to(client, group, b"x" * 50)
    outbox, inbox = group.get_outbox(3), group.get_inbox(3)
    assert outbox is not None
    assert inbox is not None
    outbox.send(b"handed over")
    group.steer(set(), set())
    send_to(client, group, b"y" * 50)
    group.steer({3}, {3})
    assert (read_all(get_socket(group, 3)), read_all(inbox)) == ([], [])


@needs_steering
def test_with_nobody_accepting_the_living_answer(open_group: Opener, client: socket.socket) -> None:
    group = open_group()
    group.steer(set(), {2})
    send_to(client, group, data := make_long(CHANCE.randbytes(18)))
    assert read_all(get_socket(group, 2)) == [data]
    assert group.pick(b"12345678", 5) == 2


def test_with_nobody_alive_a_client_is_for_who_has_it(open_group: Opener) -> None:
    assert open_group().pick(b"12345678", 4) == 4


@needs_steering
def test_a_kernel_that_refuses_leaves_one_socket_to_share(
    open_group: Opener, client: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(udpgroup, "attach", refuse)
    with caplog.at_level(logging.INFO, LOG.name):
        group = open_group()
    assert caplog.messages == ["the kernel does not steer UDP (Operation not permitted): workers share a socket"]
    assert (group.steered, [len(port) for port in group._ports]) == (False, [1])
    assert group.steer({4}, {4})
    (sock,) = group.take(4)
    send_to(client, group, b"hello")
    assert read_all(sock) == [b"hello"]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


@needs_steering
def test_an_order_that_the_kernel_refuses_is_told(
    open_group: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = open_group()
    assert group.steer({1}, {1})

    def refuse(*arguments: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(udpgroup, "attach", refuse)
    assert not group.steer({1, 2}, {1, 2})
    assert "Cannot allocate memory" in caplog.text
    assert {group.pick(CHANCE.randbytes(8), 5) for _ in range(50)} == {1, 2}


# Many processes.


def serve_child(group: UDPGroup, number: int, commands: int, report: int) -> None:
    """In a child: read what arrives until the command pipe ends, then tell the connection IDs."""
    sockets = group.take(number)
    os.write(report, b"+")
    found = b""
    while True:
        readable, _, _ = select.select([*(sock.fileno() for sock in sockets), commands], [], [], 20)
        for sock in sockets:
            found += b"".join(data[1:9] for data in read_all(sock))
        if commands in readable or not readable:
            os.write(report, found)
            return


@needs_steering
def test_forked_workers_get_their_own(open_group: Opener, client: socket.socket) -> None:
    group = open_group(LOCAL, LOCAL, numbers=4)
    commands, stop = os.pipe()
    children: list[tuple[int, int]] = []
    try:
        for number in range(4):
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    os.close(stop)
                    serve_child(group, number, commands, write)
                    status = 0
                finally:
                    os._exit(status)
            os.close(write)
            children.append((pid, read))
        assert [os.read(read, 1) for _, read in children] == [b"+"] * 4
        group.steer(range(4), range(4))
        cids: list[list[bytes]] = [[] for _ in range(4)]
        for index in range(800):
            cid = make_cid(index % 4)
            send_to(client, group, b"\x40" + cid + bytes(30), port=index // 4 % 2)
            cids[index % 4].append(cid)
    finally:
        os.close(stop)
        found = [Path(f"/proc/self/fd/{read}").read_bytes() for _, read in children]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in children]
        for descriptor in (commands, *(read for _, read in children)):
            os.close(descriptor)
    assert codes == [0] * 4
    for number in range(4):
        got = [found[number][start : start + 8] for start in range(0, len(found[number]), 8)]
        assert sorted(got) == sorted(cids[number])
