"""Reading and writing datagrams on real sockets of the loopback: both texts of `datagrams` held to the same results."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from fastserver._speedups import udpsocket
from tests._speedups.twin import DATAGRAMS, needs_extension

Address: TypeAlias = tuple[str, int]
Datagram: TypeAlias = tuple[bytes, Address, bytes | None]
OpenSocket: TypeAlias = Callable[..., socket.socket]

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
LIMIT = 64


@pytest.fixture
def open_socket() -> Iterator[OpenSocket]:
    """Opens UDP sockets that are bound to a free port, prepared unless `plain`."""
    sockets: list[socket.socket] = []

    def make(host: str = "127.0.0.1", *, plain: bool = False) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        sockets.append(sock)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, 0))
        if plain:
            sock.setblocking(False)
        else:
            udpsocket.prepare_socket(sock)
        return sock

    yield make
    for sock in sockets:
        sock.close()


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    yield
    for text in DATAGRAMS:
        text.allow(True, True)


def get_port(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def read_all(datagrams: Any, sock: socket.socket) -> list[Datagram]:
    found: list[Datagram] = []
    while batch := datagrams.receive(sock.fileno(), LIMIT):
        found += batch
    return found


HOSTS = [
    pytest.param("127.0.0.1", "127.0.0.1", id="ipv4"),
    pytest.param("::1", "::1", id="ipv6"),
    pytest.param("::", "127.0.0.1", id="mapped"),
]


@pytest.mark.parametrize(("bound", "host"), HOSTS)
def test_a_round_trip(datagrams: Any, open_socket: OpenSocket, bound: str, host: str) -> None:
    server, client = open_socket(bound), open_socket(host)
    assert datagrams.receive(server.fileno(), LIMIT) == []
    target = (host, get_port(server))
    assert datagrams.send(client.fileno(), [(b"one", target, None), (b"", target, None), (b"three", target, None)]) == 3
    found = read_all(datagrams, server)
    origin = (host, get_port(client))
    assert [(data, address) for data, address, _ in found] == [(b"one", origin), (b"", origin), (b"three", origin)]
    assert [type(part) for part in found[0][1]] == [str, int]
    answers = [(data.upper(), address, local) for data, address, local in found]
    assert datagrams.send(server.fileno(), answers) == 3
    assert read_all(datagrams, client) == [(b"ONE", target, None), (b"", target, None), (b"THREE", target, None)]


@needs_linux
@pytest.mark.parametrize(("bound", "asked"), [("0.0.0.0", "127.0.0.2"), ("::", "127.0.0.2"), ("::", "::1")])
def test_an_answer_leaves_from_where_it_was_asked(
    datagrams: Any, open_socket: OpenSocket, bound: str, asked: str
) -> None:
    server, client = open_socket(bound), open_socket("::1" if ":" in asked else "127.0.0.1")
    target = (asked, get_port(server))
    client.sendto(b"one", target)
    client.sendto(b"another", target)
    (first, second) = read_all(datagrams, server)
    assert datagrams.render_local(first[2]) == asked
    assert first[1] == second[1] == (client.getsockname()[0], get_port(client))
    # Alone, and as one run.
    assert datagrams.send(server.fileno(), [first]) == 1
    assert datagrams.send(server.fileno(), [first, first]) == 2
    assert [address for _, address, _ in read_all(datagrams, client)] == [target] * 3


def test_no_local_address_where_there_is_one_alone(datagrams: Any, open_socket: OpenSocket) -> None:
    server, client = open_socket(), open_socket("0.0.0.0")
    client.sendto(b"x", server.getsockname())
    assert read_all(datagrams, server) == [(b"x", ("127.0.0.1", get_port(client)), None)]


@needs_extension
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_a_steady_peer_costs_no_objects(open_socket: OpenSocket, bound: str) -> None:
    server, client = open_socket(bound), open_socket()
    for _ in range(2):
        client.sendto(b"x", ("127.0.0.1", get_port(server)))
    (_, address, local), (_, again, local_again) = read_all(DATAGRAMS.active, server)
    assert address is again
    assert local is local_again


SIZES = {
    "one": [1200],
    "run": [1200] * 10,
    "short last": [1200] * 9 + [7],
    "short between": [1200, 1200, 7, 1200, 1200],
    "growing": [7, 8, 9],
    "empty between": [1200, 0, 1200],
    "64": [1000] * 64,
    "65": [1000] * 65,
    "more than one message": [1452] * 130,
    "the largest": [65507, 65507],
    "small": [1] * 300,
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("is_prepared", [True, False], ids=["joined", "plain"])
def test_sizes(datagrams: Any, open_socket: OpenSocket, sizes: list[int], is_prepared: bool) -> None:
    """What is written as one message is read as what it was, by who knows of joining and by who does not."""
    server, client = open_socket(plain=not is_prepared), open_socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sent = [(bytes([index % 251]) * size, server.getsockname(), None) for index, size in enumerate(sizes)]
    assert datagrams.send(client.fileno(), sent) == len(sent)
    assert [data for data, _, _ in read_all(datagrams, server)] == [data for data, _, _ in sent]


def test_runs_end_where_the_peer_changes(datagrams: Any, open_socket: OpenSocket) -> None:
    servers = [open_socket(), open_socket()]
    client = open_socket()
    names = [server.getsockname() for server in servers]
    sent = [(bytes([index]) * 100, names[index % 3 == 2], None) for index in range(30)]
    assert datagrams.send(client.fileno(), sent) == 30
    for server, name in zip(servers, names, strict=True):
        assert [data for data, _, _ in read_all(datagrams, server)] == [data for data, to, _ in sent if to == name]


@pytest.mark.parametrize(("segments", "batches"), [(True, False), (False, True), (False, False)])
def test_what_the_kernel_refuses_is_done_one_by_one(
    datagrams: Any, open_socket: OpenSocket, segments: bool, batches: bool
) -> None:
    datagrams.allow(segments, batches)
    server, client = open_socket(), open_socket()
    sent = [(bytes([index]) * 1200, server.getsockname(), None) for index in range(100)]
    assert datagrams.send(client.fileno(), sent) == 100
    assert [data for data, _, _ in read_all(datagrams, server)] == [data for data, _, _ in sent]


@needs_linux
def test_a_run_that_no_device_offloads_goes_one_by_one(datagrams: Any, open_socket: OpenSocket) -> None:
    """The kernel refuses to split where it may not compute checksums (EIO); it does not where it need not split."""
    server, client = open_socket(), open_socket()
    client.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
    sent = [(bytes([index]) * 1200, server.getsockname(), None) for index in range(5)]
    for _ in range(2):
        assert datagrams.send(client.fileno(), sent) == 5
        assert [data for data, _, _ in read_all(datagrams, server)] == [data for data, _, _ in sent]


def test_the_limit(datagrams: Any, open_socket: OpenSocket) -> None:
    server, client = open_socket(), open_socket(plain=True)
    for index in range(100):
        client.sendto(b"%d" % index, server.getsockname())
    counts = [len(datagrams.receive(server.fileno(), limit)) for limit in (1, 17, 64, 64)]
    assert counts == [1, 17, 64, 18]


def test_a_joined_message_is_given_whole(datagrams: Any, open_socket: OpenSocket) -> None:
    server, client = open_socket(), open_socket()
    sent = [(b"x" * 1200, server.getsockname(), None)] * 40
    assert DATAGRAMS.active.send(client.fileno(), sent) == 40
    count = len(datagrams.receive(server.fileno(), 1))
    assert 1 <= count <= 40
    assert count + len(read_all(datagrams, server)) == 40


@needs_linux
def test_a_cut_datagram_is_dropped(datagrams: Any, open_socket: OpenSocket) -> None:
    """Nothing that UDP carries is larger than the buffer; a packet socket of another kind may be."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        for end in (one, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        one.send(bytes(100_000))
        assert datagrams.receive(other.fileno(), LIMIT) == []


UNSENDABLE: dict[str, tuple[bytes, Any]] = {
    "too large": (bytes(65508), ("127.0.0.1", 9)),
    "no such network": (b"x", ("255.255.255.255", 9)),
    "another family": (b"x", ("::1", 9)),
    "a name": (b"x", ("localhost", 9)),
    "no port": (b"x", ("127.0.0.1", 0)),
    "a port too large": (b"x", ("127.0.0.1", 70000)),
    "a bad scope": (b"x", ("127.0.0.1%lo", 9)),
}


@pytest.mark.parametrize(("data", "address"), UNSENDABLE.values(), ids=UNSENDABLE)
def test_what_cannot_be_sent_is_passed_over(
    datagrams: Any, open_socket: OpenSocket, data: bytes, address: Address
) -> None:
    server, client = open_socket(), open_socket()
    good = (b"good", server.getsockname(), None)
    bad = (data, address, None)
    assert datagrams.send(client.fileno(), [bad, good, bad, bad, good]) == 5
    assert [data for data, _, _ in read_all(datagrams, server)] == [b"good", b"good"]


@needs_linux
def test_a_foreign_local_address_is_passed_over(datagrams: Any, open_socket: OpenSocket) -> None:
    server, client = open_socket(), open_socket("0.0.0.0")
    foreign = socket.inet_aton("192.0.2.1")
    sent = [(b"bad", server.getsockname(), foreign), (b"bad", server.getsockname(), foreign)]
    assert datagrams.send(client.fileno(), [*sent, (b"good", server.getsockname(), None)]) == 3
    assert [data for data, _, _ in read_all(datagrams, server)] == [b"good"]


@pytest.mark.parametrize("batches", [True, False])
def test_a_full_socket_takes_a_part(datagrams: Any, batches: bool) -> None:
    """UDP over the loopback is never full for its writer; a pair of Unix sockets is, and needs no names."""
    datagrams.allow(True, batches)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        other.setblocking(False)
        sent = [(b"%d" % index, ("", 0), None) for index in range(100_000)]
        count = datagrams.send(one.fileno(), sent)
        assert 0 < count < len(sent)
        assert datagrams.send(one.fileno(), sent[count:]) == 0
        assert [other.recv(100) for _ in range(count)] == [data for data, _, _ in sent[:count]]
        with pytest.raises(BlockingIOError):
            other.recv(100)
        assert datagrams.send(one.fileno(), sent[count : count + 1]) == 1


@needs_linux
def test_errors_of_the_network_are_passed_over(datagrams: Any, open_socket: OpenSocket) -> None:
    """IP_RECVERR has the kernel report that nobody listens, at the next reading and the next writing."""
    gone, server, client = open_socket(), open_socket(), open_socket()
    client.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    name = gone.getsockname()
    gone.close()
    client.sendto(b"x", name)
    server.sendto(b"here", client.getsockname())
    assert [data for data, _, _ in read_all(datagrams, client)] == [b"here"]
    client.sendto(b"x", name)
    sent = [(b"lost", server.getsockname(), None), (b"good", server.getsockname(), None)]
    assert datagrams.send(client.fileno(), sent) == 2
    assert b"good" in [data for data, _, _ in read_all(datagrams, server)]


def test_a_descriptor_that_is_no_socket(datagrams: Any, open_socket: OpenSocket) -> None:
    sock = open_socket()
    fd = os.dup(sock.fileno())
    os.close(fd)
    with pytest.raises(OSError, match="Errno 9"):
        datagrams.receive(fd, LIMIT)
    with pytest.raises(OSError, match="Errno 9"):
        datagrams.send(fd, [(b"x", sock.getsockname(), None)])


@needs_linux
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_prepare_socket(open_socket: OpenSocket, host: str) -> None:
    sock = open_socket(host)
    assert sock.getblocking() is False
    assert sock.getsockopt(socket.IPPROTO_UDP, udpsocket.UDP_GRO) == 1
    assert sock.getsockopt(socket.IPPROTO_IP, udpsocket.IP_MTU_DISCOVER) == udpsocket.PMTUDISC_PROBE
    is_wildcard = host in udpsocket.WILDCARDS
    if ":" in host:
        mtu_discover = sock.getsockopt(socket.IPPROTO_IPV6, udpsocket.IPV6_MTU_DISCOVER)
        assert mtu_discover == udpsocket.PMTUDISC_PROBE
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) == is_wildcard
    else:
        assert sock.getsockopt(socket.IPPROTO_IP, udpsocket.IP_PKTINFO) == is_wildcard
    with open("/proc/sys/net/core/rmem_max") as file:
        allowed = int(file.read())
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 * min(allowed, udpsocket.BUFFER_BYTES)


class RefusingSocket(socket.socket):
    """A system that knows none of the options."""

    def setsockopt(self, *arguments: Any) -> None:
        raise OSError(92, "Protocol not available")


def test_a_socket_without_options_serves(datagrams: Any) -> None:
    with RefusingSocket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        udpsocket.prepare_socket(server)
        assert datagrams.send(server.fileno(), [(b"x", server.getsockname(), None)]) == 1
        assert read_all(datagrams, server) == [(b"x", server.getsockname(), None)]


def find_link_local() -> tuple[str, int]:
    """A link-local address of this machine and its interface's number."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for address, interface, *_ in map(str.split, lines):
        if address.startswith("fe80"):
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)), int(interface, 16)
    pytest.skip("no interface has a link-local address")


@pytest.mark.parametrize("is_wildcard", [True, False])
def test_a_link_local_peer(datagrams: Any, is_wildcard: bool) -> None:
    host, scope = find_link_local()
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("::", 0) if is_wildcard else (host, 0, 0, scope))
        client.bind((host, 0, 0, scope))
        for sock in (server, client):
            udpsocket.prepare_socket(sock)
        client.sendto(b"x", (host, get_port(server), 0, scope))
        found = read_all(datagrams, server)
        assert [(data, address) for data, address, _ in found] == [(b"x", (f"{host}%{scope}", get_port(client)))]
        assert datagrams.send(server.fileno(), found) == 1
        assert client.recvfrom(100) == (b"x", (host, get_port(server), 0, scope))
