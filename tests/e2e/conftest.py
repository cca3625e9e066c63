"""Servers that the tests of one file share, and the certificate that they show."""

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import trustme

from tests.e2e.processes import ServerProcess

AUTHORITY = trustme.CA()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a key and certificate for ``localhost`` and 127.0.0.1."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    AUTHORITY.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the authority that its clients trust."""
    path = tmp_path_factory.mktemp("ca") / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """A client's context that trusts the authority and settles nothing by ALPN."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def h2_trust() -> ssl.SSLContext:
    """The same, for HTTP/2 alone."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    return context


@dataclass
class Served:
    """One running server: where it listens, and its process."""

    server: ServerProcess
    scheme: str
    pids: list[int] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.port

    def url(self, path: str = "/", scheme: str = "") -> str:
        return f"{scheme or self.scheme}://127.0.0.1:{self.port}{path}"

    @property
    def ws(self) -> str:
        return self.url("/", "wss" if self.scheme == "https" else "ws")


Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def serve_long(certificate: str) -> Iterator[Serve]:
    """``serve`` for all tests of a file."""
    yield from _serve(certificate)


@pytest.fixture
def serve(certificate: str) -> Iterator[Serve]:
    """Starts ``app`` with these arguments, behind TLS where ``tls``; at the end it is killed."""
    yield from _serve(certificate)


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest, serve_long: Serve) -> Served:
    """The ``APP`` of a test file without TLS, with its ``ARGUMENTS`` where it has some."""
    return serve_long(request.module.APP, *getattr(request.module, "ARGUMENTS", ()))


@pytest.fixture(scope="module")
def secure(request: pytest.FixtureRequest, serve_long: Serve) -> Served:
    """The same over TLS."""
    return serve_long(request.module.APP, *getattr(request.module, "ARGUMENTS", ()), tls=True)


@pytest.fixture(scope="module")
def http3(request: pytest.FixtureRequest, serve_long: Serve) -> Served:
    """The same over TLS, and over QUIC on the UDP port of the same number."""
    return serve_long(request.module.APP, "--http3", *getattr(request.module, "ARGUMENTS", ()), tls=True)


@pytest.fixture(params=["plain", "secure"])
def site(request: pytest.FixtureRequest) -> Served:
    """Both, one after the other; a file may have a ``site`` of its own."""
    served = request.getfixturevalue(request.param)
    assert isinstance(served, Served)
    return served


def _serve(certificate: str) -> Iterator[Serve]:
    servers: list[ServerProcess] = []

    def start(app: str, *arguments: str, tls: bool = False, workers: int = 0) -> Served:
        options = ["--certfile", certificate] if tls else []
        server = ServerProcess(app, *options, *arguments, "--workers", str(workers))
        servers.append(server)
        pids = server.wait_ready(workers) if workers else []
        if not pids:
            server.wait_listening()
        return Served(server, "https" if tls else "http", pids or [server.process.pid])

    try:
        yield start
    finally:
        for server in servers:
            server.__exit__()


def read_rss(pid: int) -> int:
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
