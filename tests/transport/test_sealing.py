"""Sealing with a filter and without the privilege for one."""

import socket
import sys
from collections.abc import Iterator

import pytest

from fastserver.transport import sealing
from fastserver.transport.sealing import IP_MINTTL, IPV6_MINHOPCOUNT, admit, can_filter, seal_tcp
from tests.transport.test_sockets import needs_ipv6

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux")


@pytest.fixture(
    params=[
        "127.0.0.1",
        pytest.param("::1", marks=needs_ipv6),
        pytest.param("::", marks=needs_ipv6),
    ]
)
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in request.param else socket.AF_INET) as sock:
        if request.param == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((request.param, 0))
        sock.listen(8)
        yield sock


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that may have no filter."""

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    can_filter.cache_clear()
    monkeypatch.setattr(sealing, "attach", refuse)
    yield
    can_filter.cache_clear()


def connect(listener: socket.socket, timeout_s: float = 10.0) -> socket.socket:
    host, port, *_ = listener.getsockname()
    hosts = {"::": "127.0.0.1"}
    client = socket.socket(socket.AF_INET if host in ("::", "127.0.0.1") else socket.AF_INET6)
    client.settimeout(timeout_s)
    try:
        client.connect((hosts.get(host, host), port))
    except BaseException:
        client.close()
        raise
    return client


def test_without_a_filter_it_keeps_its_queue_and_takes_no_more(listener: socket.socket, bare: None) -> None:
    assert not can_filter()
    with connect(listener) as early:
        seal_tcp(listener)
        seal_tcp(listener)
        with pytest.raises(TimeoutError):
            connect(listener, 0.3)
        accepted = listener.accept()[0]
        early.sendall(b"x")
        accepted.settimeout(10)
        assert accepted.recv(1) == b"x"
        accepted.close()


def test_what_a_connection_has_inherited_is_lifted(listener: socket.socket) -> None:
    option = (
        (socket.IPPROTO_IP, IP_MINTTL)
        if listener.getsockname()[0] != "::1"
        else (socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT)
    )
    with connect(listener) as client:
        accepted = listener.accept()[0]
        accepted.setsockopt(*option, 255)  # as a handshake has it that ends after the seal
        client.sendall(b"x")
        accepted.settimeout(0.1)
        with pytest.raises(TimeoutError):
            accepted.recv(1)
        admit(accepted)
        accepted.settimeout(10)
        assert accepted.recv(1) == b"x"  # it was sent again
        accepted.close()


def test_other_sockets_have_nothing_to_lift() -> None:
    one, other = socket.socketpair()
    admit(one)
    one.close()
    admit(one)
    seal_tcp(other)
    other.close()
    seal_tcp(other)
