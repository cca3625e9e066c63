"""The ASGI ``tls`` extension of real handshakes, and names in the notation of RFC 4514."""

import ssl
import sys

import pytest
import trustme

from fastserver.transport.tls import ignore_bad_names, is_fit_for_h2, render_name, tls_facts

AUTHORITY = trustme.CA(organization_name="Roots, Inc.")
CERTIFICATE = AUTHORITY.issue_cert("localhost")
Subject = tuple[tuple[tuple[str, str], ...], ...]


def make_server(verify_mode: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = verify_mode
    return context


def make_client(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def accept(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """The server's end of a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    pending = [client_end, server_end]
    for _ in range(10):
        for end in tuple(pending):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(end)
    assert not pending
    return server_end


@pytest.mark.parametrize(
    ("name", "cipher", "version", "suite"),
    [
        # RFC 8446 appendix B.4, RFC 5289 section 3.2, RFC 7905 section 2; the authority's keys are ECDSA.
        ("TLSv1_3", None, 0x0304, {0x1301, 0x1302, 0x1303}),
        ("TLSv1_2", "ECDHE-ECDSA-AES128-GCM-SHA256", 0x0303, {0xC02B}),
        ("TLSv1_2", "ECDHE-ECDSA-AES256-GCM-SHA384", 0x0303, {0xC02C}),
        ("TLSv1_2", "ECDHE-ECDSA-CHACHA20-POLY1305", 0x0303, {0xCCA9}),
    ],
)
def test_without_a_client_certificate(name: str, cipher: str | None, version: int, suite: set[int]) -> None:
    client = make_client()
    client.minimum_version = client.maximum_version = ssl.TLSVersion[name]
    if cipher is not None:
        client.set_ciphers(cipher)
    facts = tls_facts(accept(make_server(), client), "the certificate")
    assert facts.pop("cipher_suite") in suite
    assert facts == {
        "server_cert": "the certificate",
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": version,
    }


@pytest.mark.parametrize(
    ("version", "cipher", "is_fit"),
    [
        # RFC 9113 appendix A lists those that are not fit.
        ("TLSv1.3", "TLS_AES_128_GCM_SHA256", True),
        ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", True),
        ("TLSv1.2", "DHE-RSA-AES256-GCM-SHA384", True),
        ("TLSv1.2", "ECDHE-ECDSA-AES128-SHA256", False),
        ("TLSv1.2", "ECDHE-RSA-AES128-SHA", False),
        ("TLSv1.2", "AES128-GCM-SHA256", False),
        ("TLSv1.2", "AES128-SHA", False),
        ("TLSv1.2", "ADH-AES128-GCM-SHA256", False),
        ("TLSv1.2", "PSK-AES128-GCM-SHA256", False),
        ("TLSv1.2", "no such", False),
    ],
)
def test_what_http_2_may_be_spoken_over(version: str, cipher: str, is_fit: bool) -> None:
    class Ended:
        def version(self) -> str:
            return version

        def cipher(self) -> tuple[str, str, int]:
            return cipher, version, 128

    assert is_fit_for_h2(Ended()) is is_fit  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "number"),
    [("TLS_AES_128_GCM_SHA256", 0x1301), ("TLS_AES_256_GCM_SHA384", 0x1302), ("AES128-SHA", 0x002F)],
)
def test_the_numbers_are_ianas(name: str, number: int) -> None:
    class Ended:
        """The end of a handshake as ``SSLObject`` shows it, for suites that no handshake here would choose."""

        def cipher(self) -> tuple[str, str, int]:
            return name, "TLSv1.2", 128

        def version(self) -> str:
            return "TLSv1.2"

        def getpeercert(self, binary_form: bool = False) -> None:
            return None

    assert tls_facts(Ended(), None)["cipher_suite"] == number  # type: ignore[arg-type]


def test_with_a_client_certificate() -> None:
    certificate = AUTHORITY.issue_cert("me@example.org", common_name="Me, myself", organization_name="Us")
    server_end = accept(make_server(ssl.CERT_REQUIRED), make_client(certificate))
    facts = tls_facts(server_end, None)
    assert facts["server_cert"] is None
    # A client that trusts the authority itself sends its certificate along: OpenSSL completes the chain.
    sent = [certificate.cert_chain_pems[0].bytes().decode(), AUTHORITY.cert_pem.bytes().decode()]
    assert facts["client_cert_chain"] == (sent if sys.version_info >= (3, 13) else sent[:1])
    assert facts["client_cert_name"].startswith("CN=Me\\, myself,")
    assert facts["client_cert_name"].endswith(",O=Us")
    assert facts["client_cert_error"] is None


def test_a_chain_of_two() -> None:
    certificate = AUTHORITY.create_child_ca().issue_cert("me@example.org")
    facts = tls_facts(accept(make_server(ssl.CERT_REQUIRED), make_client(certificate)), None)
    sent = [blob.bytes().decode() for blob in certificate.cert_chain_pems]
    assert len(sent) == 2
    assert facts["client_cert_chain"] == (sent if sys.version_info >= (3, 13) else sent[:1])


def test_a_client_without_a_subject_has_an_empty_name() -> None:
    class Anonymous:
        """A client whose certificate has an empty subject (RFC 5280 section 4.1.2.6 allows it beside a SAN)."""

        def cipher(self) -> None:
            return None

        def version(self) -> None:
            return None

        def getpeercert(self, binary_form: bool = False) -> object:
            return b"\x30\x00" if binary_form else {"subject": ()}

    facts = tls_facts(Anonymous(), None)  # type: ignore[arg-type]
    assert facts["client_cert_name"] == ""
    assert len(facts["client_cert_chain"]) == 1
    assert facts["tls_version"] is None
    assert facts["cipher_suite"] is None


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        # RFC 4514 section 4, as far as ssl can tell the parts apart.
        (
            ((("domainComponent", "net"),), (("domainComponent", "example"),), (("userId", "jsmith"),)),
            "UID=jsmith,DC=example,DC=net",
        ),
        (
            ((("domainComponent", "net"),), (("organizationalUnitName", "Sales"), ("commonName", "J.  Smith"))),
            "OU=Sales+CN=J.  Smith,DC=net",
        ),
        (((("commonName", 'James "Jim" Smith, III'),),), 'CN=James \\"Jim\\" Smith\\, III'),
        (((("commonName", "Before\rAfter"),),), "CN=Before\\0dAfter"),
        (((("commonName", "Lu\u010di\u0107"),),), "CN=Lu\u010di\u0107"),
        # Section 2.4, each character that must not stand bare.
        (((("commonName", "a+b;c<d>e\\f=g"),),), "CN=a\\+b\\;c\\<d\\>e\\\\f=g"),
        (((("commonName", " #a# "),),), "CN=\\ #a#\\ "),
        (((("commonName", "#a"),),), "CN=\\#a"),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "a\0b\x7f"),),), "CN=a\\00b\\7f"),
        (((("commonName", ""),),), "CN="),
        # Section 3, the table, and descriptors beyond it.
        (
            (
                (("countryName", "CH"),),
                (("stateOrProvinceName", "ZH"),),
                (("localityName", "Z"),),
                (("streetAddress", "S"),),
                (("organizationName", "O"),),
            ),
            "O=O,STREET=S,L=Z,ST=ZH,C=CH",
        ),
        (((("serialNumber", "7"), ("givenName", "A"), ("surname", "B")),), "serialNumber=7+givenName=A+sn=B"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        # Section 2.4: under a dotted number stands the hex of the encoding, here a UTF8String of X.690.
        (((("1.3.6.1.4.1.1466.0", "Hi"),),), "1.3.6.1.4.1.1466.0=#0c024869"),
        (((("1.2.3", "x" * 200),),), "1.2.3=#0c81c8" + "78" * 200),
        (((("1.2.3", "x" * 300),),), "1.2.3=#0c82012c" + "78" * 300),
        ((), ""),
    ],
)
def test_render_name(subject: Subject, name: str) -> None:
    assert render_name(subject) == name


def test_names_that_are_not_ascii_are_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would print a traceback for each; what else cannot be raised is told as before."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: told.append(fault.exc_value))
    ignore_bad_names()
    server = make_server()
    server.sni_callback = lambda *_: None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = make_client().wrap_bio(to_client, to_server, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client_end.do_handshake()
    arriving = ssl.MemoryBIO()
    arriving.write(to_server.read().replace(b"localhost", b"l\xffcalhost"))
    with pytest.raises(ssl.SSLError):
        server.wrap_bio(arriving, to_client, server_side=True).do_handshake()
    assert told == []

    class Odd:
        def __del__(self) -> None:
            b"\xff".decode("ascii")

    Odd()
    assert [type(error) for error in told] == [UnicodeDecodeError]
