"""Listening sockets on the real kernel: what is bound, what is refused and in which words, what a seal keeps."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastserver.config.bind import FDBind, TCPBind, UnixBind, parse_bind
from fastserver.transport import sockets
from fastserver.transport.sockets import BindError, Listener, open_listeners, release, seal

Opener = Callable[..., list[Listener]]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
needs_filter = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters SYNs")


@pytest.fixture
def open_binds() -> Iterator[Opener]:
    opened: list[Listener] = []

    def open_all(*binds: str, backlog: int = 64, **options: object) -> list[Listener]:
        listeners = open_listeners([parse_bind(bind) for bind in binds], backlog=backlog, **options)  # type: ignore[arg-type]
        opened.extend(listeners)
        return listeners

    yield open_all
    release(opened)


def connect(listener: Listener, timeout_s: float = 5.0) -> socket.socket:
    """A client of ``listener``, connected as far as the kernel is concerned."""
    address = listener.address
    family = socket.AF_UNIX if isinstance(address, str) else listener.sock.family
    client = socket.socket(family)
    client.settimeout(timeout_s)
    try:
        client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def accept_all(listener: Listener) -> list[socket.socket]:
    accepted = []
    while True:
        try:
            accepted.append(listener.sock.accept()[0])
        except BlockingIOError:
            return accepted


def close_all(*groups: list[socket.socket]) -> None:
    for group in groups:
        for sock in group:
            sock.close()


# What is bound.


def test_port_zero_is_told(open_binds: Opener) -> None:
    (listener,) = open_binds("127.0.0.1:0")
    port = listener.sock.getsockname()[1]
    assert port > 0
    assert listener.address == ("127.0.0.1", port)
    assert listener.sock.gettimeout() == 0.0
    assert listener.get_url("http") == f"http://127.0.0.1:{port}"


def test_a_tcp_socket_listens_only_when_told(open_binds: Opener) -> None:
    (listener,) = open_binds("127.0.0.1:0")
    with pytest.raises(ConnectionRefusedError):
        connect(listener)
    listener.listen()
    connect(listener).close()


@needs_ipv6
def test_ipv6_is_written_in_brackets(open_binds: Opener) -> None:
    (listener,) = open_binds("[::1]:0")
    assert listener.get_url("https") == f"https://[::1]:{listener.address[1]}"


@needs_ipv6
@pytest.mark.parametrize("dual_stack", [True, False])
def test_the_ipv6_wildcard_takes_ipv4_as_configured(open_binds: Opener, dual_stack: bool) -> None:
    (listener,) = open_binds("[::]:0", dual_stack=dual_stack)
    listener.listen()
    with socket.socket() as client:
        assert (client.connect_ex(("127.0.0.1", int(listener.address[1]))) == 0) is dual_stack


@needs_ipv6
@pytest.mark.parametrize("order", [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0"), ("127.0.0.1", "[::]")])
def test_both_families_share_a_port(open_binds: Opener, order: tuple[str, str]) -> None:
    (probe,) = open_binds("127.0.0.1:0")
    port = probe.address[1]
    release([probe])
    listeners = open_binds(*(f"{host}:{port}" for host in order))
    for listener in listeners:
        listener.listen()
    assert sorted(listener.sock.family for listener in listeners) == [socket.AF_INET, socket.AF_INET6]


def test_all_addresses_of_a_name_get_one_port(open_binds: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses],
    )
    listeners = open_binds("many.test:0")
    assert [listener.address[0] for listener in listeners] == addresses
    assert len({listener.address[1] for listener in listeners}) == 1


def test_an_address_that_is_missing_is_skipped(open_binds: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, **_: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("203.0.113.7", "127.0.0.1")
        ],
    )
    assert [listener.address[0] for listener in open_binds("half.test:0")] == ["127.0.0.1"]


def test_a_bind_given_twice_is_bound_once(open_binds: Opener) -> None:
    (probe,) = open_binds("127.0.0.1:0")
    port = probe.address[1]
    release([probe])
    assert len(open_binds(f"127.0.0.1:{port}", f"127.0.0.1:{port}")) == 1


# What is refused.


def test_a_taken_port_is_told_in_one_line(open_binds: Opener) -> None:
    (listener,) = open_binds("127.0.0.1:0")
    listener.listen()
    port = listener.address[1]
    with pytest.raises(BindError, match=rf"^cannot bind 127\.0\.0\.1:{port}: the address is in use$"):
        open_binds(f"127.0.0.1:{port}")


def test_one_bad_bind_takes_back_the_others(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with pytest.raises(BindError, match="this machine has no such address"):
        open_binds(f"unix:{path}", "203.0.113.7:0")
    assert not path.exists()


def test_who_comes_second_to_listen_is_told(open_binds: Opener) -> None:
    (first,) = open_binds("127.0.0.1:0")
    (second,) = open_binds(f"127.0.0.1:{first.address[1]}")  # both are bound, neither listens
    first.listen()
    with pytest.raises(BindError, match=r"^cannot listen on 127\.0\.0\.1:\d+: the address is in use$"):
        second.listen()


def test_an_unknown_host_is_told(open_binds: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(BindError, match="cannot bind nowhere:80: unknown host"):
        open_binds("nowhere:80")


# Unix sockets.


def test_a_unix_socket_has_its_mode_before_anybody_connects(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    old = os.umask(0o077)
    try:
        (listener,) = open_binds(f"unix:{path}", uds_permissions=0o660)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert listener.address == str(path)
    assert listener.get_url("http") == f"http+unix:{path}"
    connect(listener).close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_unix_socket_is_given_to_its_owner(open_binds: Opener, tmp_path: Path) -> None:
    open_binds(f"unix:{tmp_path}/app.sock", uds_permissions=0o620, owner=(65534, 12345))
    found = os.stat(tmp_path / "app.sock")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 12345, 0o620)


def test_a_stale_unix_socket_is_replaced(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = open_binds(f"unix:{path}")
    connect(listener).close()


def test_a_live_unix_socket_is_left_alone(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (first,) = open_binds(f"unix:{path}")
    with pytest.raises(BindError, match=r"app\.sock: a server is listening on it"):
        open_binds(f"unix:{path}")
    connect(first).close()


def test_a_file_that_is_no_socket_is_left_alone(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(BindError, match="the path exists and is not a socket"):
        open_binds(f"unix:{path}")
    assert path.read_text() == "data"


def test_a_unix_path_has_a_limit(open_binds: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    longest = "s" * sockets.UNIX_PATH_LIMIT_BYTES
    open_binds(f"unix:{longest}")
    with pytest.raises(BindError, match=f"at most {len(longest)} bytes"):
        open_binds(f"unix:{longest}s")


def test_a_missing_directory_is_told(open_binds: Opener, tmp_path: Path) -> None:
    with pytest.raises(BindError, match="its directory does not exist"):
        open_binds(f"unix:{tmp_path}/no/app.sock")


def test_only_its_own_socket_file_is_removed(open_binds: Opener, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    (old,) = open_binds(f"unix:{path}")
    path.unlink()
    open_binds(f"unix:{path}")
    release([old])
    assert path.exists()


# Inherited sockets.


def test_a_listening_descriptor_is_adopted_and_never_sealed(open_binds: Opener) -> None:
    parent = socket.create_server(("127.0.0.1", 0))
    with parent:
        (listener,) = open_binds(f"fd://{os.dup(parent.fileno())}")
        assert listener.address == parent.getsockname()
        seal([listener])
        connect(listener).close()
        release([listener])
        with socket.create_connection(parent.getsockname(), timeout=5):
            parent.accept()[0].close()


def test_a_bound_descriptor_is_made_to_listen(open_binds: Opener, tmp_path: Path) -> None:
    parent = socket.socket(socket.AF_UNIX)
    parent.bind(str(tmp_path / "app.sock"))
    (listener,) = open_binds(f"fd://{parent.detach()}")
    connect(listener).close()
    release([listener])
    assert (tmp_path / "app.sock").exists()


def test_descriptors_that_cannot_listen_are_refused(open_binds: Opener, tmp_path: Path) -> None:
    datagram = socket.socket(type=socket.SOCK_DGRAM)
    packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one, other = socket.socketpair()
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    closed = os.dup(file)
    os.close(closed)
    try:
        for fd, reason in (
            (datagram.fileno(), "a datagram socket; QUIC binds its own, at quic_bind"),
            (packets.fileno(), "not a stream socket"),
            (one.fileno(), "a connected socket, not a listening one"),
            (file, "not a socket"),
            (closed, "no such file descriptor is open"),
        ):
            with pytest.raises(BindError, match=f"^cannot use fd://{fd}: {reason}$"):
                open_binds(f"fd://{fd}")
        os.fstat(one.fileno())  # a refused descriptor is still its owner's
    finally:
        close_all([datagram, packets, one, other])
        os.close(file)


# Sealing.


@needs_filter
@pytest.mark.parametrize(
    "bind", ["127.0.0.1:0", pytest.param("[::1]:0", marks=needs_ipv6), pytest.param("[::]:0", marks=needs_ipv6)]
)
def test_a_sealed_tcp_socket_keeps_its_queue_and_takes_no_more(open_binds: Opener, bind: str) -> None:
    (listener,) = open_binds(bind)
    listener.listen()
    clients = [connect(listener) for _ in range(20)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    seal([listener])
    seal([listener])  # safe to repeat
    with pytest.raises(TimeoutError):
        connect(listener, timeout_s=0.2)
    accepted = accept_all(listener)
    # Segments of established connections pass: both ends still talk.
    assert [int(sock.recv(16)) for sock in accepted] == list(range(20))
    for sock, client in zip(accepted, clients, strict=True):
        client.sendall(b"more")
        assert sock.recv(16) == b"more"
        sock.sendall(b"answer")
        assert client.recv(16) == b"answer"
    listener.close()
    port = accepted[0].getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((accepted[0].getsockname()[0], port), timeout=5)
    close_all(clients, accepted)


@needs_filter
def test_a_seal_holds_in_every_process_that_shares_the_socket(open_binds: Opener) -> None:
    (listener,) = open_binds("127.0.0.1:0")
    listener.listen()
    fd = listener.sock.fileno()
    code = f"import socket, fastserver.transport.sockets as s; s.Listener(socket.socket(fileno={fd}), '', 1).seal()"
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[fd], timeout=60)
    with pytest.raises(TimeoutError):
        connect(listener, timeout_s=0.2)


def test_a_sealed_unix_socket_keeps_its_queue_and_takes_no_more(open_binds: Opener, tmp_path: Path) -> None:
    (listener,) = open_binds(f"unix:{tmp_path}/app.sock")
    clients = [connect(listener) for _ in range(20)]
    seal([listener])
    with pytest.raises(FileNotFoundError):
        connect(listener)
    accepted = accept_all(listener)
    assert len(accepted) == 20
    close_all(clients, accepted)


def test_a_handshake_gets_time_to_end_only_where_it_needs_it(open_binds: Opener, tmp_path: Path) -> None:
    assert [each.get_settle_s() for each in open_binds("127.0.0.1:0", f"unix:{tmp_path}/app.sock")] == [0.0, 0.0]
    assert open_binds("0.0.0.0:0")[0].get_settle_s() == sockets.SETTLE_S


def test_a_named_descriptor_that_nobody_handed_over_is_told(open_binds: Opener) -> None:
    with pytest.raises(BindError, match=r"^cannot use fd://web: no socket of that name was handed over$"):
        open_binds("fd://web")


def test_binds_name_themselves() -> None:
    assert [str(bind) for bind in (TCPBind("::1", 1), UnixBind("/a"), FDBind(3))] == ["[::1]:1", "unix:/a", "fd://3"]
