"""What workers inherit of TLS, and what they make of it later."""

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.config.credentials import read_certificates
from fastserver.config.tls import make_blank
from fastserver.server.tls import STOCK, TICKET_KEY_S, ContextStock, TLSMaterial, get_certificates, load_tls
from tests.config.test_tls import shake_hands

AUTHORITY = trustme.CA()


def write(folder: Path, name: str = "localhost") -> str:
    path = folder / f"{name}.pem"
    AUTHORITY.issue_cert(name, "localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def load(config: Config, stock: int = 0, clock: list[float] | None = None) -> TLSMaterial:
    certificates = read_certificates(config)
    assert certificates is not None
    now = clock or [0.0]
    return TLSMaterial(config, certificates, ["http/1.1"], stock, None, lambda: now[0])


def renew(material: TLSMaterial) -> None:
    certificates = read_certificates(material.config)
    assert certificates is not None
    material.renew(certificates, material.make_context(certificates))


def make_client(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    client = ssl.create_default_context()
    AUTHORITY.configure_trust(client)
    client.maximum_version = version
    return client


def resume(first: ssl.SSLContext, second: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether ``second`` knows a client again that has a ticket of ``first``."""
    session = shake_hands(first, client)[1].session
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = second.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    for end in (client_end, server_end, client_end, server_end, client_end):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert bool(server_end.session_reused) == bool(client_end.session_reused)
    return bool(client_end.session_reused)


def test_without_tls_there_is_nothing() -> None:
    assert load_tls(Config()) is None
    assert get_certificates(None) is None


def test_what_is_loaded_needs_no_files(tmp_path: Path) -> None:
    path = write(tmp_path)
    material = load_tls(Config(certfile=path))
    assert material is not None
    assert get_certificates(material) is material.certificates
    os.unlink(path)
    context = material.make_context(material.certificates)
    assert context is not material.context
    for each in (context, material.context):
        facts = shake_hands(each, make_client())[1].getpeercert(binary_form=True)
        assert facts is not None
        assert each.server_cert_pem == ssl.DER_cert_to_PEM_cert(facts)


def test_a_bad_file_is_an_error_and_uses_up_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    material = load(Config(certfile=path), stock=1)
    Path(path).write_text(AUTHORITY.issue_cert("x").private_key_pem.bytes().decode() + Path(path).read_text())
    certificates = read_certificates(material.config)
    assert certificates is not None
    with pytest.raises(ConfigError, match="does not belong"):
        material.make_context(certificates)
    assert material.make_context(material.certificates) is not material.context
    assert shake_hands(material.context, make_client())


def test_by_name(tmp_path: Path) -> None:
    names = [f"localhost={write(tmp_path, 'special')}", f"*.b.example={write(tmp_path, 'wild')}"]
    material = load(Config(certfile=write(tmp_path, "default"), sni_cert=names))
    shown = {}
    for asked in ("localhost", "x.b.example", "b.example", "y.x.b.example", "LOCALHOST", None):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        AUTHORITY.configure_trust(client)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_end = material.context.wrap_bio(to_server, to_client, server_side=True)
        client_end = client.wrap_bio(to_client, to_server, server_hostname=asked)
        for end in (client_end, server_end, client_end, server_end):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        found = client_end.getpeercert()
        assert found
        alternatives: Any = found["subjectAltName"]
        shown[asked] = alternatives[0][1]
        der = client_end.getpeercert(binary_form=True)
        assert der is not None
        # The context of the connection says what it was shown.
        assert server_end.context.server_cert_pem == ssl.DER_cert_to_PEM_cert(der)  # type: ignore[attr-defined]
    assert shown == {
        "localhost": "special",
        "LOCALHOST": "special",
        "x.b.example": "wild",
        "b.example": "default",
        "y.x.b.example": "default",
        None: "default",
    }


# T-4: ticket keys.


def test_t_4_ticket_keys_are_renewed(tmp_path: Path) -> None:
    """A client is known again by the context of its ticket alone: not after a change, and not a day later."""
    clock = [0.0]
    material = load(Config(certfile=write(tmp_path)), stock=3, clock=clock)
    contexts = []
    for change in range(3):
        if change == 1:
            write(tmp_path)
        if change == 2:
            clock[0] = TICKET_KEY_S - 1
            assert not material.needs_ticket_key()
            clock[0] = TICKET_KEY_S + 1
            assert material.needs_ticket_key()
        if change:
            renew(material)
        assert not material.needs_ticket_key()
        contexts.append(material.context)
    assert [resume(one, other, make_client()) for one in contexts for other in contexts] == [
        one is other for one in contexts for other in contexts
    ]


def test_t_4_the_stock_in_two_processes() -> None:
    """The child names what the parent finds, and takes the same blank: its tickets are good in the parent."""
    stock = ContextStock(2)
    blanks = list(stock._blanks)
    pid = os.fork()
    if pid == 0:
        stock.take(b"a" * 32)
        stock.take(b"b" * 32)
        os._exit(0)
    os.waitpid(pid, 0)
    assert stock.take(b"b" * 32) is blanks[1]
    assert stock.take(b"a" * 32) is blanks[0]
    # Taken before, or beyond the stock: one of its own.
    assert stock.take(b"a" * 32) not in blanks
    assert stock.take(b"c" * 32) not in blanks
    assert ContextStock(0).take(b"a" * 32).server_cert_pem is None


def test_a_stock_is_kept_for_workers_alone(tmp_path: Path) -> None:
    path = write(tmp_path)
    for workers, size in ((0, 0), (1, STOCK)):
        material = load_tls(Config(certfile=path, workers=workers))
        assert material is not None
        assert len(material._stock._blanks) == size
    assert make_blank().server_cert_pem is None
