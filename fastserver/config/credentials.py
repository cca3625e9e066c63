"""Certificates and private keys as their files held them at one moment.

Files are read here once; whatever serves TLS, over TCP or QUIC, is made of what was read, at once or a day later, by a
process that may have lost the right to read them.  A file that cannot be used is a ``ConfigError`` of one line.
"""

import hashlib
import os
import re
import ssl
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote

_CERTIFICATE: Final = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_LEAF: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_WHOLE_KEY: Final = re.compile(
    r"-----BEGIN (?P<kind>(?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL
)

_UTC_TIME: Final = 0x17
#: Of the two digits that a UTCTime has for the year, this and above are of the last century (RFC 5280 4.1.2.5.1).
_OLD_YEARS: Final = 50


@dataclass(frozen=True)
class Validity:
    """What a certificate says of itself: when it is valid, in Unix time, and its serial number in hexadecimal."""

    not_before: float
    not_after: float
    serial: str


@dataclass(frozen=True)
class Credentials:
    """One certificate chain and its private key, PEM.  ``cert_key`` and ``key_key`` are the settings that name them."""

    cert_key: str
    key_key: str
    certfile: str
    keyfile: str
    chain_pem: str = field(repr=False)  # the key may stand in the same file
    key_pem: str = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def leaf_pem(self) -> str | None:
        """The certificate that a client is shown first; ``None`` where it does not stand in the usual form."""
        found = _LEAF.search(self.chain_pem)
        return None if found is None else found.group() + "\n"

    @property
    def validity(self) -> Validity | None:
        """Of the first certificate; ``None`` where it cannot be told."""
        leaf = self.leaf_pem
        try:
            return None if leaf is None else read_validity(ssl.PEM_cert_to_DER_cert(leaf))
        except (ValueError, IndexError):
            return None

    @cached_property
    def parsed(self) -> tuple[list[Any], Any]:
        """The certificates and the private key as the package ``cryptography`` has them.

        It has to be installed.  What OpenSSL has taken may still be a ``ConfigError`` here.
        """
        from cryptography import x509

        try:
            chain = x509.load_pem_x509_certificates(self.chain_pem.encode("latin-1"))
        except ValueError:
            problem = f"the certificate in {quote(self.certfile)} cannot be used"
            raise ConfigError(self.cert_key, problem) from None
        key = _load_key(self.key_pem, self.password)
        if key is None:
            raise ConfigError(self.key_key, f"the private key in {quote(self.keyfile)} cannot be used")
        return chain, key


@dataclass(frozen=True)
class Certificates:
    """All that the files of a configuration say: the ``default``, those by host name (see ``sni``), and authorities.

    ``ca_pem`` is the text of a file; a directory of authorities is OpenSSL's to read.
    """

    default: Credentials
    by_name: Mapping[str, Credentials]
    ca_pem: str | None = None

    def list_all(self) -> list[Credentials]:
        """Each certificate with its key, once."""
        return list({id(each): each for each in (self.default, *self.by_name.values())}.values())

    @property
    def digest(self) -> bytes:
        """A fingerprint of all of it: 32 bytes."""
        whole = hashlib.sha256()
        parts = [self.ca_pem or ""]
        for name, each in [("", self.default), *sorted(self.by_name.items())]:
            parts += [name, each.chain_pem, each.key_pem]
        for part in parts:
            data = part.encode()
            whole.update(len(data).to_bytes(8, "big") + data)
        return whole.digest()


def list_files(config: Config) -> list[str]:
    """The paths of the files that TLS is made of, each once."""
    paths = [config.certfile, config.keyfile, config.ca_certs]
    for each in config.sni_certs:
        paths += [each.certfile, each.keyfile]
    return list(dict.fromkeys(path for path in paths if path is not None))


def read_certificates(config: Config) -> Certificates | None:
    """What the files of ``config`` hold now; ``None`` where TLS is off.  Raises ``ConfigError``."""
    if config.certfile is None:
        return None
    default = _read_credentials(config, config.certfile, config.keyfile, "certfile", "keyfile")
    found: dict[tuple[str, str | None], Credentials] = {}
    by_name = {}
    for each in config.sni_certs:
        files = (each.certfile, each.keyfile)
        if files not in found:
            found[files] = _read_credentials(config, *files, "sni_cert", "sni_cert")
        by_name[each.name] = found[files]
    return Certificates(default, by_name, _read_authorities(config))


def read_validity(der: bytes) -> Validity:
    """Serial number and validity of a certificate (RFC 5280 section 4.1); ``ValueError`` for what is none."""
    at, _ = _enter(der, 0)
    at, _ = _enter(der, at)
    if der[at] == 0xA0:  # the version
        at = _enter(der, at)[1]
    start, at = _enter(der, at)
    serial = der[start:at].hex()
    for _ in range(2):  # the algorithm, the issuer
        at = _enter(der, at)[1]
    at, _ = _enter(der, at)
    start, stop = _enter(der, at)
    not_before = _read_time(der[at], der[start:stop])
    start, stop_after = _enter(der, stop)
    return Validity(not_before, _read_time(der[stop], der[start:stop_after]), serial)


def _enter(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER value at ``at`` starts and stops."""
    size = der[at + 1]
    start = at + 2
    if size & 0x80:
        octets = size & 0x7F
        size = int.from_bytes(der[start : start + octets], "big")
        start += octets
    if start + size > len(der):
        raise ValueError("truncated")
    return start, start + size


def _read_time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _OLD_YEARS else "20") + text
    fields = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
    return float(timegm((*fields, 0, 0, 0)))


def _read_credentials(
    config: Config, certfile: str, own_keyfile: str | None, cert_key: str, own_key: str
) -> Credentials:
    key_key, keyfile = (own_key, own_keyfile) if own_keyfile is not None else (cert_key, certfile)
    chain_pem = _read(cert_key, certfile)
    if _CERTIFICATE.search(chain_pem) is None:
        raise ConfigError(cert_key, f"{quote(certfile)} holds no certificate in PEM form")
    key_pem = _read(key_key, keyfile)
    if _KEY.search(key_pem) is None:
        missing = "" if own_keyfile is not None else ", and no keyfile is given"
        raise ConfigError(key_key, f"{quote(keyfile)} holds no private key in PEM form{missing}")
    return Credentials(cert_key, key_key, certfile, keyfile, chain_pem, key_pem, config.keyfile_password)


def _read_authorities(config: Config) -> str | None:
    path = config.ca_certs
    return None if path is None or os.path.isdir(path) else _read("ca_certs", path)


def _load_key(pem: str, password: str | None) -> Any:
    """The private key in ``pem``; ``None`` where it cannot be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = _WHOLE_KEY.search(pem)
    if found is None:
        return None
    for secret in (None,) if password is None else (password.encode(), None):
        try:
            return load_pem_private_key(found.group().encode("latin-1"), secret)
        except TypeError:  # a password for a key that has none, or none for one that has
            continue
        except (ValueError, UnsupportedAlgorithm):
            return None
    return None


def _read(key: str, path: str) -> str:
    """The text of a file that must be there, so that what is missing is told by name and not by OpenSSL."""
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(key, f"{quote(path)} cannot be read: {error.strerror}") from None
