"""The TLS context: what it takes part in, and one line for each file that cannot be used."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fastserver.config import Config, ConfigError
from fastserver.config.setting import quote
from fastserver.config.tls import ServerContext, create_ssl_context

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")


@pytest.fixture
def certfile(tmp_path: Path) -> str:
    path = tmp_path / "cert.pem"
    path.write_bytes(b"".join(blob.bytes() for blob in CERTIFICATE.cert_chain_pems))
    return str(path)


@pytest.fixture
def keyfile(tmp_path: Path) -> str:
    path = tmp_path / "key.pem"
    path.write_bytes(CERTIFICATE.private_key_pem.bytes())
    return str(path)


@pytest.fixture(params=[PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def locked_keyfile(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    key = load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)
    path = tmp_path / "locked.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, request.param, BestAvailableEncryption(b"hunter2")))
    return str(path)


def open_context(config: Config) -> ServerContext:
    context = create_ssl_context(config)
    assert context is not None
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a handshake in memory; raises what either end raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    )
    pending = list(ends)
    for _ in range(10):
        for end in tuple(pending):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(end)
    assert not pending
    return ends


def make_client(*, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    client = ssl.create_default_context()
    AUTHORITY.configure_trust(client)
    if certificate is not None:
        certificate.configure_cert(client)
    return client


def test_no_certificate_no_tls() -> None:
    assert create_ssl_context(Config()) is None


def test_the_context(certfile: str, keyfile: str) -> None:
    context = open_context(Config(certfile=certfile, keyfile=keyfile))
    assert context.protocol == ssl.PROTOCOL_TLS_SERVER
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    if hasattr(ssl, "OP_NO_RENEGOTIATION"):
        assert context.options & ssl.OP_NO_RENEGOTIATION
    for cipher in context.get_ciphers():
        assert cipher["aead"]
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake(certfile: str, keyfile: str, version: ssl.TLSVersion) -> None:
    client = make_client()
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    server_end, client_end = shake_hands(open_context(Config(certfile=certfile, keyfile=keyfile)), client)
    assert server_end.selected_alpn_protocol() == client_end.selected_alpn_protocol() == "http/1.1"
    assert client_end.version() == version.name.replace("_", ".")
    assert client_end.compression() is None


def test_the_alpn_names_are_the_servers_order(certfile: str, keyfile: str) -> None:
    context = create_ssl_context(Config(certfile=certfile, keyfile=keyfile), ("h2", "http/1.1"))
    assert context is not None
    client = make_client()
    client.set_alpn_protocols(["http/1.1", "h2"])
    assert shake_hands(context, client)[0].selected_alpn_protocol() == "h2"


def test_tls_1_1_is_refused(certfile: str, keyfile: str) -> None:
    client = make_client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake_hands(open_context(Config(certfile=certfile, keyfile=keyfile)), client)


def test_certificate_and_key_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "both.pem"
    path.write_bytes(CERTIFICATE.private_key_and_cert_chain_pem.bytes())
    context = open_context(Config(certfile=str(path)))
    shake_hands(context, make_client())


def test_ciphers(certfile: str, keyfile: str) -> None:
    context = open_context(Config(certfile=certfile, keyfile=keyfile, ciphers="ECDHE-RSA-AES256-GCM-SHA384"))
    names = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"}
    assert names == {"ECDHE-RSA-AES256-GCM-SHA384"}


def test_a_locked_key_opens_with_its_password(certfile: str, locked_keyfile: str) -> None:
    config = Config(certfile=certfile, keyfile=locked_keyfile, keyfile_password="hunter2")
    shake_hands(open_context(config), make_client())


def test_a_password_for_an_open_key_is_not_needed(certfile: str, keyfile: str) -> None:
    open_context(Config(certfile=certfile, keyfile=keyfile, keyfile_password="hunter2"))


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_client_certificates(certfile: str, keyfile: str, tmp_path: Path, mode: str) -> None:
    ca_certs = tmp_path / "ca.pem"
    ca_certs.write_bytes(AUTHORITY.cert_pem.bytes())
    context = open_context(Config(certfile=certfile, keyfile=keyfile, ca_certs=str(ca_certs), verify_mode=mode))
    server_end, _ = shake_hands(context, make_client(certificate=AUTHORITY.issue_cert("me@example.org")))
    assert server_end.getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, make_client(certificate=trustme.CA().issue_cert("me@example.org")))
    if mode == "optional":
        server_end, _ = shake_hands(context, make_client())
        assert server_end.getpeercert() is None
    else:
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            shake_hands(context, make_client())


def test_client_certificates_are_not_asked_for_by_default(certfile: str, keyfile: str) -> None:
    context = open_context(Config(certfile=certfile, keyfile=keyfile))
    server_end, _ = shake_hands(context, make_client(certificate=AUTHORITY.issue_cert("me@example.org")))
    assert server_end.getpeercert(binary_form=True) is None


def test_a_directory_of_authorities(certfile: str, keyfile: str, tmp_path: Path) -> None:
    config = Config(certfile=certfile, keyfile=keyfile, ca_certs=str(tmp_path), verify_mode="required")
    assert open_context(config).verify_mode == ssl.CERT_REQUIRED


def test_the_server_certificate_is_the_first_of_the_file(certfile: str, keyfile: str, tmp_path: Path) -> None:
    leaf = CERTIFICATE.cert_chain_pems[0].bytes().decode()
    assert open_context(Config(certfile=certfile, keyfile=keyfile)).server_cert_pem == leaf
    both = tmp_path / "both.pem"
    both.write_bytes(CERTIFICATE.private_key_pem.bytes() + b"# note\n" + leaf.encode())
    assert open_context(Config(certfile=str(both))).server_cert_pem == leaf


def refuse(config: Config) -> str:
    with pytest.raises(ConfigError) as caught:
        create_ssl_context(config)
    text = str(caught.value)
    assert "\n" not in text
    assert "hunter" not in text
    return text


def test_a_missing_file(certfile: str, keyfile: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    problem = f"{quote(missing)} cannot be read: No such file or directory"
    assert refuse(Config(certfile=missing, keyfile=keyfile)) == f"certfile: {problem}"
    assert refuse(Config(certfile=certfile, keyfile=missing)) == f"keyfile: {problem}"
    assert refuse(Config(certfile=certfile, keyfile=keyfile, ca_certs=missing)) == f"ca_certs: {problem}"
    assert "cannot be read: Is a directory" in refuse(Config(certfile=str(tmp_path)))


def test_a_file_of_the_wrong_kind(certfile: str, keyfile: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_bytes(b"\xff\x00 not PEM")
    assert refuse(Config(certfile=str(nothing), keyfile=keyfile)).endswith("holds no certificate in PEM form")
    assert refuse(Config(certfile=keyfile, keyfile=keyfile)).startswith("certfile: ")
    assert refuse(Config(certfile=certfile, keyfile=certfile)).startswith("keyfile: ")
    assert refuse(Config(certfile=certfile)).endswith("holds no private key in PEM form, and no keyfile is given")
    assert refuse(Config(certfile=certfile, keyfile=keyfile, ca_certs=str(nothing))).startswith("ca_certs: OpenSSL")


def test_a_damaged_certificate(certfile: str, keyfile: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pem"
    lines = Path(certfile).read_text().splitlines(keepends=True)
    damaged.write_text("".join([lines[0], "!!!!\n", *lines[2:]]))
    assert refuse(Config(certfile=str(damaged), keyfile=keyfile)).startswith("certfile: OpenSSL cannot use")


def test_a_key_of_another_certificate(certfile: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    for certificate in (AUTHORITY.issue_cert("b"), AUTHORITY.issue_cert("b", key_type=trustme.KeyType.RSA)):
        other.write_bytes(certificate.private_key_pem.bytes())
        text = refuse(Config(certfile=certfile, keyfile=str(other)))
        shown, key = quote(certfile), quote(str(other))
        assert text == f"keyfile: the private key in {key} does not belong to the certificate in {shown}"


def test_a_locked_key_is_never_asked_for_on_the_terminal(certfile: str, locked_keyfile: str) -> None:
    text = refuse(Config(certfile=certfile, keyfile=locked_keyfile))
    assert text == f"keyfile: the private key in {quote(locked_keyfile)} is encrypted: give keyfile_password"


@pytest.mark.parametrize("password", ["hunter3", ""])
def test_a_wrong_password(certfile: str, locked_keyfile: str, password: str) -> None:
    text = refuse(Config(certfile=certfile, keyfile=locked_keyfile, keyfile_password=password))
    assert text == f"keyfile_password: the password does not open the private key in {quote(locked_keyfile)}"


def test_a_password_that_openssl_cannot_take(certfile: str, locked_keyfile: str) -> None:
    text = refuse(Config(certfile=certfile, keyfile=locked_keyfile, keyfile_password="x" * 2000))
    assert text.startswith("keyfile_password: cannot be used: ")


def test_ciphers_that_select_nothing(certfile: str, keyfile: str) -> None:
    text = refuse(Config(certfile=certfile, keyfile=keyfile, ciphers="NOTHING"))
    assert text.startswith("ciphers: 'NOTHING' selects no cipher of ")
