"""Whether and where HTTP/3 is served, what is said where it is not, and what aioquic is told."""

import importlib.util
import logging
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fastserver import Config
from fastserver.config.bind import TCPBind
from fastserver.config.credentials import read_certificates
from fastserver.server import quic
from fastserver.server.endpoints import Endpoint, open_endpoints
from fastserver.server.quic import (
    Unavailable,
    describe_group,
    make_configuration,
    open_group,
    render_alt_svc,
)
from fastserver.transport.sockets import release
from tests.certificates import CERTIFICATE, write_server_pem
from tests.fakes import make_log
from tests.server.applications import Recorder
from tests.server.quicparts import FakeParts

HTTP3_LINE = "HTTP/3 is not served: "
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

needs_aioquic = pytest.mark.skipif(importlib.util.find_spec("aioquic") is None, reason="aioquic is not installed")


@pytest.fixture
def certfile(tmp_path: Path) -> str:
    path = tmp_path / "c.pem"
    path.write_bytes(b"".join(blob.bytes() for blob in CERTIFICATE.cert_chain_pems))
    return str(path)


@pytest.fixture
def keyfile(tmp_path: Path) -> str:
    return write_key(tmp_path, load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None))


def write_key(folder: Path, key: Any, password: bytes = b"", form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    lock: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    path = folder / "k.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, form, lock))
    return str(path)


def open_and_close(config: Config, workers: int = 1) -> tuple[list[tuple[str, int]] | None, list[logging.LogRecord]]:
    """The addresses that ``open_group`` has bound, and what it has logged."""
    log, records = make_log()
    endpoints = open_endpoints(config)
    try:
        group = open_group(config, endpoints, workers, log, read_certificates(config))
    finally:
        release(endpoint.listener for endpoint in endpoints)
    if group is None:
        return None, records
    addresses = group.addresses
    group.close()
    return addresses, records


# Whether it is served.


def test_who_does_not_ask_hears_nothing(certfile: str, keyfile: str) -> None:
    assert open_and_close(Config(bind="127.0.0.1:0", certfile=certfile, keyfile=keyfile)) == (None, [])


@needs_aioquic
@pytest.mark.parametrize("workers", [1, 3])
def test_it_is_served_where_it_is_asked_for(parts: FakeParts, certfile: str, keyfile: str, workers: int) -> None:
    config = Config(bind="127.0.0.1:0", quic_bind="127.0.0.1:0", certfile=certfile, keyfile=keyfile)
    addresses, records = open_and_close(config, workers)
    assert [record for record in records if record.levelno >= logging.WARNING] == []
    assert addresses is not None
    ((host, port),) = addresses
    assert (host, port > 0) == ("127.0.0.1", True)


def test_what_the_log_says_of_the_addresses() -> None:
    group: Any = SimpleNamespace(addresses=[("127.0.0.1", 1), ("::1", 2)])
    assert describe_group(group) == ["https://127.0.0.1:1 (HTTP/3, UDP)", "https://[::1]:2 (HTTP/3, UDP)"]


def complain(config: Config, workers: int = 1) -> tuple[int, str]:
    """Level and text of the one line that says why HTTP/3 is not served."""
    addresses, (record,) = open_and_close(config, workers)
    assert addresses is None
    text = record.getMessage()
    assert text.startswith(HTTP3_LINE)
    assert "\n" not in text
    return record.levelno, text.removeprefix(HTTP3_LINE)


def test_an_old_python(monkeypatch: pytest.MonkeyPatch, certfile: str, keyfile: str) -> None:
    monkeypatch.setattr(quic, "PYTHON", (99, 1))
    level, text = complain(Config(bind="127.0.0.1:0", http3=True, certfile=certfile, keyfile=keyfile))
    assert (level, text) == (logging.WARNING, "it needs CPython 99.1, and this is an older one")


def test_aioquic_is_missing(monkeypatch: pytest.MonkeyPatch, certfile: str, keyfile: str) -> None:
    monkeypatch.setattr(quic, "PYTHON", (3, 0))
    monkeypatch.setitem(sys.modules, "aioquic.quic.configuration", None)
    level, text = complain(Config(bind="127.0.0.1:0", http3=True, certfile=certfile, keyfile=keyfile))
    assert (level, text) == (logging.WARNING, "aioquic is not installed: pip install 'fastserver[http3]'")


@needs_aioquic
def test_something_else_is_missing(monkeypatch: pytest.MonkeyPatch, certfile: str, keyfile: str) -> None:
    monkeypatch.setitem(sys.modules, "fastserver._speedups.udp", None)
    level, text = complain(Config(bind="127.0.0.1:0", http3=True, certfile=certfile, keyfile=keyfile))
    assert level == logging.WARNING
    assert text.endswith("cannot be imported: pip install 'fastserver[http3]'")


@needs_aioquic
@pytest.mark.parametrize("mode", ["optional", "required"])
def test_client_certificates_are_not_gone_around(certfile: str, keyfile: str, mode: str) -> None:
    settings = {"certfile": certfile, "keyfile": keyfile, "ca_certs": certfile, "verify_mode": mode}
    level, text = complain(Config(bind="127.0.0.1:0", http3=True, **settings))
    assert level == logging.WARNING
    assert text == (
        f"it cannot ask for client certificates, as verify_mode={mode} does over TCP: "
        "leave out verify_mode, or quic_bind and http3"
    )


@needs_aioquic
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_is_taken(parts: FakeParts, certfile: str, keyfile: str, workers: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        config = Config(bind="127.0.0.1:0", quic_bind=where, certfile=certfile, keyfile=keyfile)
        level, text = complain(config, workers)
    assert (level, text) == (logging.ERROR, f"cannot bind {where}: the address is in use")


@needs_aioquic
def test_more_workers_than_have_numbers(parts: FakeParts, certfile: str, keyfile: str) -> None:
    config = Config(bind="127.0.0.1:0", quic_bind="127.0.0.1:0", certfile=certfile, keyfile=keyfile)
    level, text = complain(config, 1000)
    assert (level, text.partition(":")[0]) == (logging.ERROR, "workers")


# Where.


def list_real(*binds: str, **settings: Any) -> tuple[list[TCPBind], list[int]]:
    """What ``list_binds`` makes of a configuration, and the ports of its TCP sockets."""
    config = Config(bind=binds, certfile="c", **settings)
    endpoints: list[Endpoint] = open_endpoints(config)
    try:
        found = [endpoint.listener.sock.getsockname()[1] for endpoint in endpoints]
        return quic.list_binds(config, endpoints), found
    finally:
        release(endpoint.listener for endpoint in endpoints)


def test_http3_takes_the_ports_that_tcp_has_got() -> None:
    binds, found = list_real("127.0.0.1:0", "127.0.0.1:0", http3=True, quic_bind="127.0.0.1:0")
    assert binds == [TCPBind("127.0.0.1", 0), *(TCPBind("127.0.0.1", port) for port in found)]


@pytest.mark.parametrize(
    ("given", "binds"),
    [
        ([":443", "[::1]:5"], [TCPBind("", 443), TCPBind("::1", 5)]),
        (["a:0", "a:0"], [TCPBind("a", 0), TCPBind("a", 0)]),
        ("127.0.0.1:8000", [TCPBind("127.0.0.1", 8000)]),  # a TCP port takes no UDP port
    ],
)
def test_addresses_of_its_own(given: Any, binds: list[TCPBind]) -> None:
    assert quic.list_binds(Config(certfile="c", quic_bind=given), []) == binds


def test_no_address_is_served_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    binds, (port,) = list_real(where, http3=True, quic_bind=where)
    assert binds == [TCPBind("127.0.0.1", port)]


def test_other_addresses_are_none_for_http3(tmp_path: Path) -> None:
    binds, found = list_real(
        "127.0.0.1:0",
        f"unix:{tmp_path / 's'}",
        http3=True,
        metrics_bind="localhost:0",
        insecure_bind="127.0.0.1:0",
        protocols={"localhost:0": Recorder},
    )
    assert binds == [TCPBind("127.0.0.1", found[0])]


@pytest.mark.parametrize(
    ("settings", "addresses", "line"),
    [
        ({}, [("127.0.0.1", 443)], b'alt-svc: h3=":443"; ma=86400\r\n'),
        (
            {"alt_svc_max_age": 60.9},
            [("::", 1), ("0.0.0.0", 1), ("::1", 2)],
            b'alt-svc: h3=":1"; ma=60, h3=":2"; ma=60\r\n',
        ),
        ({}, [], b""),
        ({"alt_svc": False}, [("127.0.0.1", 443)], b""),
        ({"header": "alt-svc: clear"}, [("127.0.0.1", 443)], b""),
    ],
)
def test_alt_svc(settings: dict[str, Any], addresses: list[tuple[str, int]], line: bytes) -> None:
    assert render_alt_svc(Config(**settings), addresses) == line


# What aioquic is told.


def configure(config: Config) -> Any:
    certificates = read_certificates(config)
    assert certificates is not None
    return make_configuration(config, certificates)


@needs_aioquic
def test_the_configuration(certfile: str, keyfile: str) -> None:
    made = configure(
        Config(
            certfile=certfile,
            keyfile=keyfile,
            quic_idle_timeout=7,
        )
    )
    assert (made.is_client, made.alpn_protocols, made.max_datagram_size) == (False, ["h3"], 1200)
    assert made.idle_timeout == 7
    pems = [each.public_bytes(Encoding.PEM) for each in (made.certificate, *made.certificate_chain)]
    assert pems == [blob.bytes() for blob in CERTIFICATE.cert_chain_pems]
    assert made.private_key.public_key() == made.certificate.public_key()


@needs_aioquic
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key(tmp_path: Path, certfile: str, form: PrivateFormat) -> None:
    key = load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)
    locked = write_key(tmp_path, key, b"hunter2", form)
    made = configure(Config(certfile=certfile, keyfile=locked, keyfile_password="hunter2"))
    assert made.private_key.public_key() == made.certificate.public_key()
    with pytest.raises(Unavailable, match=r"the private key in .* cannot be used"):
        configure(Config(certfile=certfile, keyfile=locked, keyfile_password="hunter3"))


@needs_aioquic
def test_a_password_that_is_not_needed(certfile: str, keyfile: str) -> None:
    assert configure(Config(certfile=certfile, keyfile=keyfile, keyfile_password="x")).private_key is not None


@needs_aioquic
def test_certificate_and_key_in_one_file(tmp_path: Path) -> None:
    made = configure(Config(certfile=write_server_pem(tmp_path)))
    assert made.private_key.public_key() == made.certificate.public_key()


@needs_aioquic
@pytest.mark.parametrize(
    ("key", "is_fit"),
    [
        (rsa.generate_private_key(65537, 2048), True),
        (ec.generate_private_key(ec.SECP384R1()), True),
        (ed25519.Ed25519PrivateKey.generate(), True),
        (ed448.Ed448PrivateKey.generate(), True),
        (ec.generate_private_key(ec.SECP521R1()), False),
    ],
    ids=["RSA", "P-384", "Ed25519", "Ed448", "P-521"],
)
def test_kinds_of_keys(tmp_path: Path, certfile: str, key: Any, is_fit: bool) -> None:
    config = Config(certfile=certfile, keyfile=write_key(tmp_path, key))
    if is_fit:
        assert configure(config).private_key is not None
        return
    with pytest.raises(Unavailable, match=r"take one of RSA, P-256, P-384 or Ed25519$"):
        configure(config)
