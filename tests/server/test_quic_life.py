"""HTTP/3 in the life of a server: when it starts, what clients over TCP hear of it, and how it goes down.

The parts that carry QUIC are fakes; sockets are real.
"""

import asyncio
import copy
import datetime
import logging
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fastserver import Config, Server
from fastserver.config.credentials import read_certificates
from fastserver.errors import StartupFailed
from fastserver.server.endpoints import open_endpoints
from fastserver.server.quic import QUICService, open_group, open_place
from fastserver.server.tls import get_certificates, load_tls
from tests.certificates import AUTHORITY, CERTIFICATE, write_server_pem
from tests.fakes import make_host, make_log
from tests.server.applications import Recorder, render_request
from tests.server.quicparts import FakeParts
from tests.site import run_in_loop

pytest.importorskip("aioquic")

from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.transport.udpgroup import QUICPlace, UDPGroup


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Of a server with TLS and HTTP/3."""
    return {
        "bind": "127.0.0.1:0",
        "certfile": write_server_pem(tmp_path),
        "quic_bind": "127.0.0.1:0",
        "timeout_keep_alive_min": 0.1,
        "timeout_graceful_shutdown": 5,
    }


async def fetch_fields(address: Any, alpn: str = "http/1.1") -> list[tuple[bytes, bytes]]:
    """The fields of a response over TLS, or without it where ``alpn`` is empty."""
    secure: dict[str, Any] = {}
    if alpn:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        context.set_alpn_protocols([alpn])
        secure = {"ssl": context, "server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection(*address, **secure)
    try:
        if alpn == "h2":
            return await fetch_h2_fields(reader, writer)
        writer.write(render_request("/metrics", "connection: close"))
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        lines = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
        return [(name.lower(), value) for name, _, value in lines]
    finally:
        writer.close()


async def fetch_h2_fields(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[tuple[bytes, bytes]]:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    names = {":method": "GET", ":path": "/", ":scheme": "https", ":authority": "localhost"}
    client.send_headers(1, list(names.items()), end_stream=True)
    writer.write(client.data_to_send())
    while True:
        for event in client.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                return [(bytes(name), bytes(value)) for name, value in event.headers]


def pick(fields: list[tuple[bytes, bytes]], name: bytes = b"alt-svc") -> list[bytes]:
    return [value for key, value in fields if key == name]


def test_it_is_served_and_announced(parts: FakeParts, settings: dict[str, Any]) -> None:
    async def main() -> None:
        given = {"metrics_bind": "127.0.0.1:0", "insecure_bind": "127.0.0.1:0"}
        async with Server(Recorder(), Config(**settings, **given)) as server:
            (port,) = parts.ports
            assert port.calls == ["start"]
            assert server.quic_addresses == [port.sock.getsockname()]
            (_, number) = server.quic_addresses[0]
            assert f"https://127.0.0.1:{number} (HTTP/3, UDP)" in server.urls
            assert len(server.urls) == 4
            line = f'h3=":{number}"; ma=86400'.encode()
            assert pick(await fetch_fields(server.addresses[0])) == [line]
            assert pick(await fetch_fields(server.addresses[0], "h2")) == [line]
            # Without TLS nobody is sent elsewhere.
            assert pick(await fetch_fields(server.addresses[1], "")) == []
            metrics = await fetch_fields(server.metrics_addresses[0], "")
            assert (pick(metrics), len(pick(metrics, b"content-type"))) == ([], 1)
        assert port.calls == ["start", "read", "close"]

    run_in_loop(asyncio.new_event_loop, main())


@pytest.mark.parametrize("given", [{"alt_svc": False}, {"header": "Alt-Svc: clear"}])
def test_it_is_served_and_not_announced(parts: FakeParts, settings: dict[str, Any], given: dict[str, Any]) -> None:
    async def main() -> None:
        async with Server(Recorder(), Config(**settings, **given)) as server:
            assert pick(await fetch_fields(server.addresses[0])) == ([b"clear"] if "header" in given else [])
            assert len(parts.ports) == 1

    run_in_loop(asyncio.new_event_loop, main())


@pytest.mark.parametrize("reason", ["aioquic", "port"])
def test_all_else_is_served_without_it(
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: str,
    parts: FakeParts,
) -> None:
    """One line says why, and nobody is sent where nothing is served."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if reason == "aioquic":
        monkeypatch.setitem(sys.modules, "aioquic.quic.configuration", None)
    else:
        taken.bind(("127.0.0.1", 0))
        settings["quic_bind"] = f"127.0.0.1:{taken.getsockname()[1]}"

    async def main() -> None:
        async with Server(Recorder(), Config(**settings)) as server:
            assert (server.quic_addresses, len(server.urls), parts.ports) == ([], 1, [])
            assert pick(await fetch_fields(server.addresses[0])) == []
            assert pick(await fetch_fields(server.addresses[0], "h2")) == []

    with taken, caplog.at_level(logging.INFO, "fastserver.error"):
        run_in_loop(asyncio.new_event_loop, main())
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [line.startswith("HTTP/3 is not served: ") for line in lines] == [True]


def test_the_files_are_read_once(parts: FakeParts, settings: dict[str, Any]) -> None:
    """Before privileges are dropped: a worker needs none of them, over TCP or QUIC."""
    config = Config(**settings)
    log, records = make_log()
    tls = load_tls(config)
    place = open_place(config, [], log, get_certificates(tls))
    assert place is not None
    assert records == []

    async def main() -> None:
        endpoints = open_endpoints(config)
        Path(settings["certfile"]).unlink()
        async with Server(Recorder(), config, endpoints=endpoints, tls=tls, quic=place) as server:
            assert len(server.quic_addresses) == len(parts.ports) == 1
            assert len(pick(await fetch_fields(server.addresses[0]))) == 1
        with pytest.raises(OSError, match="Bad file descriptor"):
            _ = place.group.addresses

    run_in_loop(asyncio.new_event_loop, main())


def test_new_certificates(parts: FakeParts, settings: dict[str, Any], tmp_path: Path) -> None:
    """Who comes afterwards gets them, by name too; what aioquic cannot use changes nothing."""
    other = AUTHORITY.issue_cert("a.example")
    path = tmp_path / "other.pem"
    other.private_key_and_cert_chain_pem.write_to_path(str(path))
    settings["sni_cert"] = f"a.example={path}"

    def make_engine(port: Any) -> tuple[Any, ...]:
        made: tuple[Any, ...] = port.protocol.open(object(), port.host, b"original", b"retried.")[3](object())
        return made

    async def main() -> None:
        async with Server(Recorder(), Config(**settings)) as server:
            (port,) = parts.ports
            before = make_engine(port)
            certificate, chain, key, pem = before[-1]("a.EXAMPLE")
            assert pem == other.cert_chain_pems[0].bytes().decode()
            assert (certificate.public_key(), chain) == (key.public_key(), [])
            assert before[-1]("b.example") is None
            new = AUTHORITY.issue_cert("localhost")
            new.private_key_and_cert_chain_pem.write_to_path(settings["certfile"])
            assert server.reload_certificates()
            after = make_engine(port)
            assert (before[-2] == after[-2], after[-2]) == (False, new.cert_chain_pems[0].bytes().decode())
            assert after[2].certificate != before[2].certificate
            assert after[2].private_key.public_key() == after[2].certificate.public_key()
            write_p521(path)
            assert not server.reload_certificates()
            assert make_engine(port)[2] is after[2]
            assert len(pick(await fetch_fields(server.addresses[0]))) == 1

    run_in_loop(asyncio.new_event_loop, main())


def write_p521(path: Path) -> None:
    """A certificate that OpenSSL can use and aioquic cannot."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    key = ec.generate_private_key(ec.SECP521R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    )


@pytest.mark.parametrize("shared", [False, True])
def test_new_connections_are_refused_or_left_to_others(
    parts: FakeParts,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
) -> None:
    heard: list[bool] = []
    monkeypatch.setattr(Dispatcher, "stop_admitting", lambda self, *, is_retiring: heard.append(is_retiring))

    async def main() -> None:
        server = Server(Recorder(), Config(**settings))
        await server.start()
        await server.shutdown(shared=shared)
        assert parts.ports[0].calls == ["start", "read", "close"]

    run_in_loop(asyncio.new_event_loop, main())
    assert heard == [shared]


def test_a_start_that_fails_gives_the_port_back(settings: dict[str, Any], parts: FakeParts) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("no database")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    settings["quic_bind"] = f"127.0.0.1:{address[1]}"

    async def main() -> None:
        with pytest.raises(StartupFailed):
            await Server(app, Config(**settings, lifespan="on")).start()

    run_in_loop(asyncio.new_event_loop, main())
    assert parts.ports == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(address)


def test_what_a_connection_is_made_of(parts: FakeParts, settings: dict[str, Any]) -> None:
    async def main() -> None:
        async with Server(Recorder(), Config(**settings, h3_max_concurrent_streams=7)):
            (port,) = parts.ports
            connection, listener = object(), object()
            kind, wired, host, make_engine = port.protocol.open(connection, port.host, b"original", b"retried.")
            assert (kind, wired, host) == ("wire", connection, port.host)
            engine, heard, configuration, limits, *facts = make_engine(listener)
            cids, original, retried, make_token, pem, choose = facts
            assert (pem, choose) == (CERTIFICATE.cert_chain_pems[0].bytes().decode(), None)
            assert (engine, heard, original, retried) == ("engine", listener, b"original", b"retried.")
            assert (limits is host.limits.h3, limits.streams) == (True, 7)
            assert cids.find_worker(cids.make()) == 0
            assert make_token(("127.0.0.1", 1)) != make_token(("127.0.0.1", 1))
            assert configuration.is_client is False
            wire = SimpleNamespace(engine=SimpleNamespace(cipher_suite=None, server_cert_pem="shown"))
            assert port.protocol.make_tls_facts(wire) is None
            wire.engine.cipher_suite = 0x1303
            assert port.protocol.make_tls_facts(wire) == {
                "server_cert": "shown",
                "client_cert_chain": [],
                "client_cert_name": None,
                "client_cert_error": None,
                "tls_version": 0x0304,
                "cipher_suite": 0x1303,
            }

    run_in_loop(asyncio.new_event_loop, main())


def test_datagrams_from_worker_to_worker(parts: FakeParts, settings: dict[str, Any]) -> None:
    """Each says on which port it came, and that port has it in the other worker."""
    settings["quic_bind"] = ["127.0.0.1:0", "127.0.0.1:0"]
    config = Config(**settings)
    log, _ = make_log()
    certificates = read_certificates(config)
    assert certificates is not None
    group = open_group(config, [], 2, log, certificates)
    assert group is not None
    group.steer({0, 1}, {0, 1})
    # As after a fork: two copies of the group, each of which closes what is the other's.
    twin = copy_group(group)

    async def main() -> None:
        host = make_host(Recorder(), asyncio.get_running_loop())
        places = [QUICPlace(each, number) for number, each in enumerate((group, twin))]
        services = [QUICService(place, config, certificates, host) for place in places]
        for service in services:
            service.start()
        parts.ports[1].forward(1, b"data", ("192.0.2.1", 5), b"\x7f\x00\x00\x01")
        parts.ports[2].forward(0, b"back", ("192.0.2.1", 6), None)
        parts.ports[0].forward(3, b"lost", ("192.0.2.1", 7), None)  # there is no such worker
        while any(len(port.calls) < 2 for port in (parts.ports[3], parts.ports[0])):
            await asyncio.sleep(0)
        assert host.metrics.snapshot()["datagrams"] == {"in": 0, "out": 0, "dropped": 1, "forwarded": 2}
        for service in services:
            service.close()

    run_in_loop(asyncio.new_event_loop, main())
    assert [port.calls for port in parts.ports] == [
        ["start", (b"back", ("192.0.2.1", 6), None), "close"],
        ["start", "close"],
        ["start", "close"],
        ["start", (b"data", ("192.0.2.1", 5), b"\x7f\x00\x00\x01"), "close"],
    ]


def copy_group(group: UDPGroup) -> UDPGroup:
    twin = copy.copy(group)
    twin._ports = [[each and each.dup() for each in port] for port in group._ports]
    twin._inboxes = [each and each.dup() for each in group._inboxes]
    twin._outboxes = [each and each.dup() for each in group._outboxes]
    return twin


IMPORTS = """
import asyncio, sys
from fastserver import Config, Server
import fastserver.processes.run

async def app(scope, receive, send): ...

async def main():
    async with Server(app, Config(lifespan="off", **{settings!r})):
        pass

asyncio.run(main())
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("aioquic", "pylsqpack", "cryptography")))
"""


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_aioquic_is_imported_for_http3_alone(settings: dict[str, Any], is_asked_for: bool) -> None:
    if not is_asked_for:
        del settings["quic_bind"]
    command = [sys.executable, "-c", IMPORTS.format(settings=settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert ("aioquic.quic.configuration" in done.stdout) is is_asked_for
    assert bool(done.stdout.strip()) is is_asked_for
