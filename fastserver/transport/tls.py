"""What one ``SSLObject`` says: to an application the ASGI ``tls`` extension (specification 0.2), to HTTP/2 its cipher.

It reads facts of a finished handshake; it opens nothing and changes nothing.
"""

import ssl
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

#: Protocol versions as TLS numbers them (RFC 8446 section 4.2.1), by the name that ``ssl`` uses.
VERSIONS: Final[Mapping[str, int]] = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

# Names of attribute types: OpenSSL's long name to the short one of RFC 4514 section 3; others go by their long name,
# which is the descriptor of RFC 4519 too (serialNumber, title, givenName).
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "sn",
}
# OpenSSL's names of the key exchanges that give forward secrecy.
_EPHEMERAL = frozenset({"kx-ecdhe", "kx-dhe", "kx-ecdhe-psk", "kx-dhe-psk"})
_SPECIAL = frozenset('"+,;<>\\')


def tls_facts(ssl_object: ssl.SSLObject | ssl.SSLSocket, server_cert_pem: str | None) -> dict[str, Any]:
    """The ``tls`` extension's dictionary for a connection whose handshake is done.

    ``server_cert_pem`` is what the server showed.  ``client_cert_error`` is always ``None``: a client certificate that
    does not verify ends the handshake.  Before CPython 3.13 the chain holds the client's own certificate alone.
    """
    cipher = ssl_object.cipher()
    subject: Iterable[Iterable[tuple[str, str]]] | None = None
    chain = _client_chain(ssl_object)
    if chain:
        # With a client's certificate verified, getpeercert() is its dictionary.
        subject = (ssl_object.getpeercert() or {}).get("subject", ())  # type: ignore[assignment]
    return compose_facts(
        server_cert_pem,
        VERSIONS.get(ssl_object.version() or ""),
        None if cipher is None else _cipher_suites().get(cipher[0]),
        chain,
        None if subject is None else render_name(subject),
    )


def describe_tls(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> dict[str, Any]:
    """As ``tls_facts``, with the certificate that this connection was shown."""
    return tls_facts(ssl_object, getattr(ssl_object.context, "server_cert_pem", None))


def compose_facts(
    server_cert_pem: str | None,
    version: int | None,
    suite: int | None,
    client_chain: Sequence[str] = (),
    client_name: str | None = None,
) -> dict[str, Any]:
    """The ``tls`` extension's dictionary, of whatever TLS; ``version`` and ``suite`` are IANA's numbers."""
    return {
        "server_cert": server_cert_pem,
        "client_cert_chain": list(client_chain),
        "client_cert_name": client_name,
        "client_cert_error": None,
        "tls_version": version,
        "cipher_suite": suite,
    }


def ignore_bad_names() -> None:
    """For a process of the server's own: say nothing of names (SNI) that are not ASCII.

    Python itself ends their handshake with an alert, and leaves a traceback to ``sys.unraisablehook``: any client could
    fill the log.
    """
    tell = sys.unraisablehook

    def tell_others(fault: "sys.UnraisableHookArgs") -> None:
        error = fault.exc_value
        if not (isinstance(error, UnicodeDecodeError) and error.object == fault.object and error.encoding == "ascii"):
            tell(fault)

    sys.unraisablehook = tell_others


def is_fit_for_h2(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> bool:
    """Whether HTTP/2 may be spoken: over TLS 1.3, or over TLS 1.2 with an ephemeral key exchange and AEAD.

    All other cipher suites are those of RFC 9113 appendix A.  A server may be configured with such (``ciphers``).
    """
    cipher = ssl_object.cipher()
    return ssl_object.version() == "TLSv1.3" or (cipher is not None and cipher[0] in _list_h2_ciphers())


def render_name(subject: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as ``ssl`` gives it, as a string of RFC 4514: the last part first, ``CN=a,O=b``."""
    parts = ["+".join(_render_attribute(kind, value) for kind, value in part) for part in subject]
    return ",".join(reversed(parts))


def _render_attribute(kind: str, value: str) -> str:
    if kind[:1].isdigit():
        # RFC 4514 section 2.4: a value under a dotted number is the hex of its BER encoding; as UTF8String here,
        # since ssl does not tell which kind of string the certificate has.
        return f"{kind}=#{_encode_utf8_string(value).hex()}"
    return f"{_SHORT.get(kind, kind)}={_escape(value)}"


def _escape(value: str) -> str:
    """RFC 4514 section 2.4: specials get a backslash; control characters go as hex pairs, fit for a log line."""
    last = len(value) - 1
    escaped = []
    for index, character in enumerate(value):
        if character < " " or character == "\x7f":
            escaped.append(f"\\{ord(character):02x}")
        elif character in _SPECIAL or (character == " " and index in (0, last)) or (character == "#" and index == 0):
            escaped.append(f"\\{character}")
        else:
            escaped.append(character)
    return "".join(escaped)


def _encode_utf8_string(value: str) -> bytes:
    """The DER of a UTF8String (X.690 section 8.1.3): tag, length in its short or long form, content."""
    content = value.encode()
    size = len(content)
    if size < 0x80:
        return bytes((0x0C, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x0C, 0x80 | len(octets))) + octets + content


def _client_chain(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> list[str]:
    """The certificates that the client sent, its own first, as PEM; empty where it sent none."""
    leaf = ssl_object.getpeercert(binary_form=True)
    if not leaf:
        return []
    get_chain = getattr(ssl_object, "get_unverified_chain", None)  # CPython 3.13
    chain: list[bytes] = get_chain() if get_chain is not None else [leaf]
    return [ssl.DER_cert_to_PEM_cert(certificate) for certificate in chain or [leaf]]


@cache
def _cipher_suites() -> dict[str, int]:
    """IANA's numbers of the cipher suites that this OpenSSL knows, by OpenSSL's name: the low half of its own id."""
    return {cipher["name"]: cipher["id"] & 0xFFFF for cipher in _list_ciphers()}


@cache
def _list_h2_ciphers() -> frozenset[str]:
    """OpenSSL's names of the cipher suites of TLS 1.2 with an ephemeral, authenticated key exchange and AEAD."""
    return frozenset(
        cipher["name"]
        for cipher in _list_ciphers()
        if cipher["aead"] and cipher["kea"] in _EPHEMERAL and cipher["auth"] != "auth-null"
    )


def _list_ciphers() -> list[Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return context.get_ciphers()
