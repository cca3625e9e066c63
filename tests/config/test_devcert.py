"""The certificate for development: what it is, that it is made once, and what may be in its way."""

import asyncio
import builtins
import fcntl
import hashlib
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from fastserver.config import Config, ConfigError, devcert
from fastserver.config.devcert import DevCert, find_dev_cert, locate_cache, resolve_dev_cert
from fastserver.config.tls import create_ssl_context
from fastserver.server.server import Server
from fastserver.typing import Receive, Scope, Send
from tests.config.test_tls import shake_hands

ROOT = Path(__file__).parents[2]
DAY_S = 86400.0
OPENSSL = shutil.which("openssl")
NAMES, ADDRESSES = ["localhost", "*.localhost", "box.example"], ["127.0.0.1", "::1"]

Make = Callable[[], bytes]


def make_by_cryptography() -> bytes:
    return devcert.make_by_cryptography(NAMES, ADDRESSES)


def make_by_openssl() -> bytes:
    assert OPENSSL is not None
    return devcert.make_by_openssl(OPENSSL, NAMES, ADDRESSES)


MAKERS = [
    make_by_cryptography,
    pytest.param(make_by_openssl, marks=pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "fastserver"


def find(folder: Path, days: float = 0.0) -> DevCert:
    return find_dev_cert(folder, time.time() + days * DAY_S)


def refuse(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        find(folder)
    assert caught.value.key == "dev_cert"
    return caught.value.problem


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def hide_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse_one(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "cryptography":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse_one)


# What is made.


@pytest.mark.parametrize("make", MAKERS)
def test_what_the_certificate_says(make: Make) -> None:
    bundle = make()
    certificate = x509.load_pem_x509_certificate(bundle)
    key = load_pem_private_key(bundle, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key().public_bytes(*spki) == key.public_key().public_bytes(*spki)
    assert isinstance(certificate.signature_hash_algorithm, SHA256)
    assert certificate.subject == certificate.issuer
    certificate.verify_directly_issued_by(certificate)
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == devcert.VALID_DAYS < 397
    assert certificate.serial_number.bit_length() == 121
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == NAMES
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ADDRESSES
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())


@pytest.mark.parametrize("make", MAKERS)
def test_no_two_are_alike(make: Make) -> None:
    first, second = (x509.load_pem_x509_certificate(make()) for _ in range(2))
    assert first.serial_number != second.serial_number
    assert first.subject != second.subject


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "box.example"])
def test_a_client_that_trusts_it_shakes_hands(make: Make, host: str, tmp_path: Path) -> None:
    path = tmp_path / "localhost.pem"
    path.write_bytes(make())
    server = create_ssl_context(Config(certfile=str(path)))
    assert server is not None
    client = ssl.create_default_context(cafile=str(path))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # CPython 3.13 has it by default
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near, far = client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)
    for end in (near, far):
        with pytest.raises(ssl.SSLWantReadError):
            end.do_handshake()
    near.do_handshake()
    far.do_handshake()
    assert near.version() == "TLSv1.3"


def test_a_client_that_does_not_refuses(folder: Path) -> None:
    server = create_ssl_context(Config(certfile=find(folder).certfile))
    assert server is not None
    with pytest.raises(ssl.SSLCertVerificationError, match="self"):
        shake_hands(server, ssl.create_default_context())


@pytest.mark.parametrize("make", MAKERS)
def test_aioquic_takes_it(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("aioquic")
    from aioquic.quic.configuration import QuicConfiguration

    path = tmp_path / "localhost.pem"
    path.write_bytes(make())
    configuration = QuicConfiguration(is_client=False)
    configuration.load_cert_chain(path)
    assert isinstance(configuration.certificate, x509.Certificate)
    assert isinstance(configuration.private_key, ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("Box.Example", ["box.example"]),
        ("localhost", []),
        ("a_b", []),
        ("-a", []),
        ("a..b", []),
        ("x,IP:10.0.0.1", []),
        ("a" * 64, []),
        (".".join(["a" * 63] * 4), []),
        ("", []),
    ],
)
def test_the_host_name_is_named_where_it_is_one(name: str, listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    names = x509.load_pem_x509_certificate(devcert.make_bundle()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert found == [*devcert.NAMES, *listed]


# Who makes it.


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_the_command_makes_it_where_the_package_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_cryptography(monkeypatch)
    found = find(folder)
    assert find(folder) == found


def test_nothing_that_makes_one(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide_cryptography(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refuse(folder) == (
        "needs the package cryptography (it comes with the extra http3) or the command openssl: install one"
    )
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("script", "said"), [("echo not today >&2; exit 1", "'not today'"), ("exit 0", "''")])
def test_a_command_that_fails(script: str, said: str, tmp_path: Path) -> None:
    command = tmp_path / "openssl"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o700)
    with pytest.raises(ConfigError, match=rf"^dev_cert: the command .*/openssl has made no certificate: {said}$"):
        devcert.make_by_openssl(str(command), NAMES, ADDRESSES)
    with pytest.raises(ConfigError, match=r"^dev_cert: the command .*/missing has failed: "):
        devcert.make_by_openssl(str(tmp_path / "missing"), NAMES, ADDRESSES)


# Where it is kept, and for how long.


def test_it_is_made_once(folder: Path) -> None:
    old = os.umask(0)
    try:
        found = find(folder)
    finally:
        os.umask(old)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"localhost.pem", "localhost.crt"}
    assert (get_mode(folder), {get_mode(path) for path in folder.iterdir()}) == (0o700, {0o600})
    assert find(folder) == found
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    public = Path(found.public).read_bytes()
    assert public.count(b"-----BEGIN") == 1
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(public.decode())).hexdigest() == found.fingerprint
    assert Path(found.certfile).read_bytes().startswith(public)


@pytest.mark.parametrize(("days", "is_same"), [(300, True), (357.9, True), (358.1, False), (400, False)])
def test_it_is_renewed_before_it_ends(
    days: float, is_same: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find(folder)
    if is_same:
        assert find(folder, days) == first
        return
    renewed = make_by_cryptography()
    monkeypatch.setattr(devcert, "make_bundle", lambda: renewed)
    # What is made today is out of date on that day too: it is refused, and stays for today.
    with pytest.raises(ConfigError, match="does not work here"):
        find(folder, days)
    assert Path(first.certfile).read_bytes() == renewed
    assert find(folder).fingerprint != first.fingerprint


def test_one_that_has_ended_is_replaced(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bundle = make_by_cryptography()
    past = x509.load_pem_x509_certificate(bundle)
    builder = x509.CertificateBuilder(past.subject, past.subject, key.public_key(), 1)
    now = past.not_valid_before_utc
    builder = builder.not_valid_before(now.replace(year=now.year - 2, day=1))
    builder = builder.not_valid_after(now.replace(year=now.year - 1, day=1))
    for extension in past.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    first = find(folder)
    old = builder.sign(key, SHA256()).public_bytes(Encoding.PEM) + bundle.partition(b"CERTIFICATE-----\n")[2]
    Path(first.certfile).write_bytes(old)
    assert find(folder).fingerprint != first.fingerprint


def damage_key(text: bytes) -> bytes:
    return (
        text[: text.index(b"-----BEGIN PRIVATE")] + make_by_cryptography().partition(b"-----END CERTIFICATE-----\n")[2]
    )


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda text: b"",
    "cut": lambda text: text[:-60],
    "no key": lambda text: text[: text.index(b"-----BEGIN PRIVATE")],
    "another key": damage_key,
    "rubbish": lambda text: bytes(range(256)) * 400,
    "not base64": lambda text: text.replace(b"MII", b"\xff\xff\xff"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_one_is_replaced(damage: Callable[[bytes], bytes], folder: Path) -> None:
    first = find(folder)
    path = Path(first.certfile)
    path.write_bytes(damage(path.read_bytes()))
    second = find(folder)
    assert second.fingerprint != first.fingerprint
    assert find(folder) == second
    assert create_ssl_context(Config(certfile=second.certfile)) is not None


def test_the_public_copy_is_mended_alone(folder: Path) -> None:
    first = find(folder)
    Path(first.public).write_bytes(b"something else")
    assert find(folder) == first
    Path(first.public).unlink()
    assert find(folder) == first
    assert ssl.PEM_cert_to_DER_cert(Path(first.public).read_text())


def test_a_key_that_others_could_read_is_replaced(folder: Path) -> None:
    first = find(folder)
    os.chmod(first.certfile, 0o640)
    second = find(folder)
    assert second.fingerprint != first.fingerprint
    assert get_mode(Path(second.certfile)) == 0o600


def test_links_are_replaced_and_not_followed(folder: Path, tmp_path: Path) -> None:
    first = find(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(Path(first.certfile).read_bytes())
    elsewhere.chmod(0o600)
    for path in map(Path, (first.certfile, first.public)):
        path.unlink()
        path.symlink_to(elsewhere)
    second = find(folder)
    assert second.fingerprint != first.fingerprint
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert elsewhere.read_bytes().count(b"-----BEGIN") == 2


def test_a_pipe_in_its_place_is_replaced(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / "localhost.pem", 0o600)
    assert Path(find(folder).certfile).is_file()


def test_a_directory_in_its_place(folder: Path) -> None:
    (folder / "localhost.pem").mkdir(parents=True)
    assert "cannot be used: Is a directory; XDG_CACHE_HOME may name another place" in refuse(folder)
    assert [path.name for path in folder.iterdir()] == ["localhost.pem"]  # the draft is gone


def test_the_directory_is_closed_to_others(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    find(folder)
    assert get_mode(folder) == 0o700


def test_a_linked_directory_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert "cannot be used: " in refuse(folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_where_the_directory_should_be(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    assert "cannot be used: Not a directory" in refuse(folder)


def test_anothers_directory_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert refuse(folder).endswith("belongs to another user; XDG_CACHE_HOME may name another place")
    assert list(folder.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used: Not a directory" in refuse(tmp_path / "file" / "cache" / "fastserver")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        assert "cannot be used: Permission denied" in refuse(tmp_path / "closed" / "fastserver")


def test_a_file_system_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_lock(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse_lock)
    assert find(folder) == find(folder)


FIND = """
import sys, time
from pathlib import Path
from fastserver.config.devcert import find_dev_cert
print("ready", flush=True)
sys.stdin.read()
print(find_dev_cert(Path(sys.argv[1]), time.time()).fingerprint)
"""


def test_processes_that_start_at_once_agree(folder: Path) -> None:
    command = [sys.executable, "-c", FIND, str(folder)]
    racers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    told = [racer.communicate(timeout=20)[0] for racer in racers]
    assert {racer.returncode for racer in racers} == {0}
    assert set(told) == {find(folder).fingerprint + "\n"}
    assert {path.name for path in folder.iterdir()} == {"localhost.pem", "localhost.crt"}


# The cache, and the setting.


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate_cache({"XDG_CACHE_HOME": "/var/cache/me"}) == Path("/var/cache/me/fastserver")
    for unset in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert locate_cache(unset) == tmp_path / ".cache" / "fastserver"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="set XDG_CACHE_HOME"):
        locate_cache({})


def test_the_setting_becomes_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told: list[str] = []
    config = Config(dev_cert=True, workers=3, http1=False)
    assert config.has_tls
    resolved = resolve_dev_cert(config, time.time(), told.append)
    assert (resolved.dev_cert, resolved.keyfile, resolved.workers, resolved.has_tls) == (False, None, 3, True)
    assert resolved.certfile == str(tmp_path / "fastserver" / "localhost.pem")
    assert create_ssl_context(resolved) is not None
    (line,) = told
    assert re.search(rf"{re.escape(str(tmp_path))}/fastserver/localhost\.crt, SHA-256 [0-9a-f]{{64}}; ", line)
    assert resolve_dev_cert(resolved, time.time(), told.append) is resolved
    assert len(told) == 1


def test_without_the_setting_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = Config()
    assert resolve_dev_cert(config, time.time(), pytest.fail) is config
    assert not config.has_tls
    assert list(tmp_path.iterdir()) == []


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_an_embedded_server_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    async def ask() -> bytes:
        async with Server(greet, Config(bind="127.0.0.1:0", dev_cert=True, lifespan="off")) as server:
            assert server.config.certfile == str(tmp_path / "fastserver" / "localhost.pem")
            assert server.urls[0].startswith("https://127.0.0.1:")
            trust = ssl.create_default_context(cafile=str(tmp_path / "fastserver" / "localhost.crt"))
            address = server.addresses[0]
            assert not isinstance(address, str)
            reader, writer = await asyncio.open_connection(*address, ssl=trust)
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(asyncio.wait_for(ask(), 20)).startswith(b"HTTP/1.1 204 ")
