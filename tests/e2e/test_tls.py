"""TLS of real server processes: certificates that change under load, names, tickets, stalled handshakes (T-1 to 5)."""

import contextlib
import datetime
import http.client
import os
import re
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

pytest.importorskip("aioquic")

from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.processes import PATIENCE_S, ServerProcess
from tests.e2e.quicpeer import QuicPeer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

APP = "tests.e2e.applications:app"
HOST = "127.0.0.1"
AUTHORITY = trustme.CA()
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


class Files:
    """A certificate and its key, in two files that are written as a deployment does it."""

    def __init__(self, folder: Path) -> None:
        self.certfile, self.keyfile = folder / "c.pem", folder / "k.pem"
        self.good = self.issue()
        self.write(self.good)

    def issue(self, **facts: datetime.datetime) -> trustme.LeafCert:
        return AUTHORITY.issue_cert("localhost", **facts)  # type: ignore[arg-type]

    def write(self, certificate: trustme.LeafCert) -> None:
        self.certfile.write_bytes(render_chain(certificate))
        self.keyfile.write_bytes(certificate.private_key_pem.bytes())

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--certfile", str(self.certfile), "--keyfile", str(self.keyfile))


def render_chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def leaf_of(certificate: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def make_client(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    AUTHORITY.configure_trust(client)
    if version is not None:
        client.minimum_version = client.maximum_version = version
    return client


def connect(
    port: int, context: ssl.SSLContext | None = None, name: str = "localhost", session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    sock = socket.create_connection((HOST, port), PATIENCE_S)
    return (context or make_client()).wrap_socket(sock, server_hostname=name, session=session)


def get_shown(port: int, name: str = "localhost") -> bytes | None:
    """The certificate that a new connection is shown, DER."""
    with connect(port, name=name) as client:
        return client.getpeercert(binary_form=True)


def get_shown_over_quic(port: int) -> bytes:
    with QuicPeer(port) as peer:
        certificate = peer.quic.tls._peer_certificate
        assert certificate is not None
        return certificate.public_bytes(Encoding.DER)


def ask(connection: http.client.HTTPConnection, path: str = "/") -> int:
    """The process that answers."""
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    return int(response.read().split()[0])


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> float:
    """How long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "not in time"
        time.sleep(0.02)
    return time.monotonic() - start


def wait_quic(server: ServerProcess) -> int:
    """The UDP port, once the server listens there and over TCP."""
    server.wait_listening()
    return int(server.wait_log(r"listening on https://[^ ]*:(\d+) \(HTTP/3, UDP\)$")[1])


def wait_both(server: ServerProcess, wanted: bytes, quic_port: int) -> None:
    """Every worker shows ``wanted``: so many connections in a row, over TCP and QUIC."""
    wait_for(lambda: all(get_shown(server.port) == wanted for _ in range(8)))
    wait_for(lambda: all(get_shown_over_quic(quic_port) == wanted for _ in range(6)))


def test_t_5_rotation_under_load(files: Files) -> None:
    """FI-26: good, mismatched, truncated, expired and half-written files; no request fails, old connections go on."""
    bind = ("--bind", f"{HOST}:0", "--quic-bind", f"{HOST}:0")
    with ServerProcess(APP, *files.arguments, *bind, "--workers", "2", bind="") as server:
        quic_port = wait_quic(server)
        held = http.client.HTTPSConnection(HOST, server.port, timeout=PATIENCE_S, context=make_client())
        worker = ask(held)
        with run_load(server.port) as load:
            wait_both(server, leaf_of(files.good), quic_port)
            for spoil in (spoil_key, spoil_certificate, spoil_expired):
                spoil(files)
                line = server.wait_log(r"the certificates in use are kept: (.*)$")[1]
                assert line.startswith(("keyfile: ", "certfile: "))
                wait_both(server, leaf_of(files.good), quic_port)
            renew_in_pieces(files)
            wait_both(server, leaf_of(files.good), quic_port)
            server.wait_log(r"new certificate in '.*': serial [0-9a-f]+, valid until .* UTC$")
            new = files.issue()
            files.write(new)
            wait_both(server, leaf_of(new), quic_port)
        assert load["failures"] == 0
        assert load["answers"] > 20
        assert ask(held) == worker
        assert len(re.findall("certificates in use are kept", server.text)) == 3


def spoil_key(files: Files) -> None:
    files.keyfile.write_bytes(files.issue().private_key_pem.bytes())


def spoil_certificate(files: Files) -> None:
    files.write(files.good)
    files.certfile.write_bytes(render_chain(files.good)[:300])


def spoil_expired(files: Files) -> None:
    files.write(files.issue(not_after=PAST))


def renew_in_pieces(files: Files) -> None:
    """The certificate is there long before its key is, and the key comes in two pieces: nothing of it is an error."""
    files.good = files.issue()
    chain, key = render_chain(files.good), files.good.private_key_pem.bytes()
    for file, data in ((files.certfile, chain), (files.keyfile, key)):
        for end in (len(data) // 2, len(data)):
            file.write_bytes(data[:end])
            time.sleep(0.6)


@contextlib.contextmanager
def run_load(port: int) -> Iterator[dict[str, int]]:
    """One connection after the other, each with a few requests, until the end of the block."""
    found = {"answers": 0, "failures": 0}
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            connection = http.client.HTTPSConnection(HOST, port, timeout=PATIENCE_S, context=make_client())
            try:
                for _ in range(3):
                    ask(connection, "/echo?1")
                    found["answers"] += 1
            except (OSError, http.client.HTTPException, AssertionError):
                found["failures"] += 1
            finally:
                connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def test_certificates_by_name(files: Files, tmp_path: Path) -> None:
    """Over TCP and QUIC; the tls extension tells which it was.  A name that is none leaves nothing in the log."""
    wild = AUTHORITY.issue_cert("*.b.example")
    path = tmp_path / "wild.pem"
    wild.private_key_and_cert_chain_pem.write_to_path(str(path))
    arguments = ("--sni-cert", f"*.b.example={path}", "--quic-bind", f"{HOST}:0", "--workers", "1")
    with ServerProcess("tests.e2e.tlsfacts:app", *files.arguments, *arguments) as server:
        quic_port = wait_quic(server)
        for name, certificate in (("x.b.example", wild), ("b.example", files.good), ("localhost", files.good)):
            assert get_shown(server.port, name) == leaf_of(certificate)
            with connect(server.port, name=name) as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            assert answer.partition(b"\r\n\r\n")[2] == certificate.cert_chain_pems[0].bytes()
            with QuicPeer(quic_port, name=name) as peer:
                assert bytes(peer.fetch().body) == certificate.cert_chain_pems[0].bytes()
        with socket.create_connection((HOST, server.port), PATIENCE_S) as sock:
            sock.sendall(make_hello().replace(b"localhost", b"l\xffcalhost"))
            assert sock.recv(1) in (b"", b"\x15")  # an alert, or not even that
        assert get_shown(server.port) == leaf_of(files.good)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert "Error" not in server.text


def make_hello() -> bytes:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        make_client().wrap_bio(to_client, to_server, server_hostname="localhost").do_handshake()
    return to_server.read()


def test_t_1_renegotiation_and_compression(files: Files) -> None:
    """CVE-2011-1473, CVE-2012-4929: a client that asks for another handshake gets none."""
    crypto = pytest.importorskip("OpenSSL.SSL")
    with ServerProcess(APP, *files.arguments).wait_listening() as server:
        with connect(server.port, make_client(ssl.TLSVersion.TLSv1_2)) as client:
            assert client.compression() is None
        context = crypto.Context(crypto.TLS_CLIENT_METHOD)
        context.set_max_proto_version(crypto.TLS1_2_VERSION)
        peer = crypto.Connection(context, None)
        sock = socket.create_connection((HOST, server.port), PATIENCE_S)
        peer.set_connect_state()
        exchange(peer, sock, peer.do_handshake, crypto.WantReadError)
        assert peer.renegotiate()
        with pytest.raises(crypto.Error):
            exchange(peer, sock, peer.do_handshake, crypto.WantReadError)
        sock.close()


def exchange(peer: object, sock: socket.socket, act: Callable[[], object], again: type[Exception]) -> None:
    """Carry records between pyOpenSSL's ``peer`` and ``sock`` until ``act`` is done, or raises."""
    while True:
        try:
            act()
        except again:
            pass
        else:
            flush(peer, sock)
            return
        flush(peer, sock)
        data = sock.recv(65536)
        if not data:
            raise AssertionError("closed")
        peer.bio_write(data)  # type: ignore[attr-defined]


def flush(peer: object, sock: socket.socket) -> None:
    import OpenSSL.SSL as crypto

    with contextlib.suppress(crypto.WantReadError):
        while True:
            sock.sendall(peer.bio_read(65536))  # type: ignore[attr-defined]


def test_t_2_a_stalled_handshake_ends(files: Files) -> None:
    with ServerProcess(APP, *files.arguments, "--timeout-handshake", "0.5").wait_listening() as server:
        hello = make_hello()
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection((HOST, server.port), PATIENCE_S)) for _ in range(3)]
            silent[1].sendall(hello[:20])
            silent[2].sendall(hello)
            ends = []
            for sock in silent:
                with contextlib.suppress(ConnectionError):
                    while sock.recv(65536):
                        pass
                ends.append(sock)
            assert len(ends) == 3
        assert get_shown(server.port) == leaf_of(files.good)


def read_rss(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_t_3_memory_of_idle_and_of_stalled_connections(files: Files) -> None:
    """FI-12: 64 KiB for an idle connection, 128 KiB for a handshake that never ends; measured in docs/tls.md."""
    count = 300
    with ServerProcess(APP, *files.arguments).wait_listening() as server:
        context = make_client()
        pid = server.process.pid
        for _ in range(20):
            get_shown(server.port)
        with contextlib.ExitStack() as stack:
            before = read_rss(pid)
            for _ in range(count):
                stack.enter_context(connect(server.port, context))
            idle = (read_rss(pid) - before) / count
            before = read_rss(pid)
            stalled = [stack.enter_context(socket.create_connection((HOST, server.port))) for _ in range(count)]
            hello = make_hello()
            for sock in stalled:
                sock.sendall(hello)
            for sock in stalled:
                assert select.select([sock], [], [], PATIENCE_S)[0]
            waiting = (read_rss(pid) - before) / count
            assert get_shown(server.port) == leaf_of(files.good)
        print(f"{idle / 1024:.1f} KiB idle, {waiting / 1024:.1f} KiB stalled")
        assert idle < 64 * 1024
        assert waiting < 128 * 1024


def test_t_4_a_ticket_of_one_worker_is_good_at_another(files: Files) -> None:
    """Before and after a new certificate, with which tickets get another key."""
    with ServerProcess(APP, *files.arguments, "--workers", "2") as server:
        workers = set(server.wait_ready(2))
        context = make_client(ssl.TLSVersion.TLSv1_2)
        first = get_session(server.port, context)
        check_known(server.port, context, first, workers)
        new = files.issue()
        files.write(new)
        wait_for(lambda: all(get_shown(server.port) == leaf_of(new) for _ in range(8)))
        # The old ticket is good nowhere any more, the new one everywhere.
        assert not visit_again(server.port, context, first)[0]
        check_known(server.port, context, get_session(server.port, context), workers)


def check_known(port: int, context: ssl.SSLContext, session: ssl.SSLSession, workers: set[int]) -> None:
    """Every worker knows a client with this ticket again."""
    seen: set[int] = set()
    while seen != workers:
        reused, pid = visit_again(port, context, session)
        assert reused
        seen.add(pid)


def get_session(port: int, context: ssl.SSLContext) -> ssl.SSLSession:
    with connect(port, context) as client:
        ask_on(client)
        assert client.session is not None
        return client.session


def visit_again(port: int, context: ssl.SSLContext, session: ssl.SSLSession) -> tuple[bool, int]:
    with connect(port, context, session=session) as client:
        return bool(client.session_reused), ask_on(client)


def ask_on(client: ssl.SSLSocket) -> int:
    client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answer = b"".join(iter(lambda: client.recv(65536), b""))
    return int(answer.partition(b"\r\n\r\n")[2].split()[0])


def test_a_worker_that_is_started_later_shows_the_new_certificate(files: Files) -> None:
    """Also where the supervisor still has the old one; and what it was forked with where the files are bad."""
    with ServerProcess(APP, *files.arguments, "--workers", "1") as server:
        (worker,) = server.wait_ready(1)
        new = files.issue()
        files.write(new)
        server.wait_log("new certificate")
        os.kill(worker, signal.SIGKILL)
        server.wait_log(r"worker \[\d+\] is ready")
        assert get_shown(server.port) == leaf_of(new)


def test_insecure_bind(files: Files) -> None:
    with ServerProcess(APP, *files.arguments, "--insecure-bind", f"{HOST}:0") as server:
        server.wait_listening()
        insecure = int(server.wait_log(r"listening on http://[^ ]*:(\d+)$")[1])
        plain = http.client.HTTPConnection(HOST, insecure, timeout=PATIENCE_S)
        assert ask(plain) == server.process.pid
        assert get_shown(server.port) == leaf_of(files.good)
        with pytest.raises(ssl.SSLError):
            get_shown(insecure)
