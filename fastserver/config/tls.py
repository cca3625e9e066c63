"""The TLS context of a configuration.

Whatever is wrong with its files is a ``ConfigError`` of one line that names the key and the file; nothing here prompts
on a terminal (OpenSSL does, for the password of a key, unless it is given a callback).
"""

import os
import re
import ssl
from collections.abc import Sequence
from typing import Any, Final

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote

#: TLS 1.2 with forward secrecy and AEAD: what is left of it once RFC 9113 appendix A is taken away.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
# What OpenSSL says of a key that is not the certificate's; the last one where it is of another type.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_CERTIFICATE = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_LEAF = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_WHOLE_KEY = re.compile(r"-----BEGIN (?P<kind>(?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END (?P=kind)-----", re.DOTALL)


def create_ssl_context(config: Config, alpn: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext | None:
    """A server's context for ``config``, offering the ``alpn`` names in that order; ``None`` where TLS is off.

    It takes TLS 1.2 and 1.3, without compression (CRIME) and without renegotiation (CVE-2011-1473).  Reads files:
    ``ConfigError`` says which one cannot be used and why.
    """
    if config.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    try:
        context.set_ciphers(config.ciphers or CIPHERS)
    except ssl.SSLError:
        raise ConfigError("ciphers", f"{quote(config.ciphers)} selects no cipher of {ssl.OPENSSL_VERSION}") from None
    if alpn:
        context.set_alpn_protocols(list(alpn))
    _load_chain(context, config, config.certfile)
    if config.ca_certs is not None:
        _load_authorities(context, config.ca_certs)
    context.verify_mode = _MODES[config.verify_mode]
    return context


def read_server_certificate(config: Config) -> str | None:
    """The certificate that the server shows, as PEM: the first of ``certfile``; ``None`` where TLS is off."""
    if config.certfile is None:
        return None
    match = _LEAF.search(_read("certfile", config.certfile))
    if match is None:
        raise ConfigError("certfile", f"{quote(config.certfile)} holds no certificate in PEM form")
    return match.group() + "\n"


def load_credentials(config: Config) -> tuple[list[Any], Any]:
    """The certificates of ``certfile`` and their private key, as the package ``cryptography`` has them.

    It has to be installed.  What OpenSSL has taken may still be a ``ConfigError`` here.
    """
    from cryptography import x509

    assert config.certfile is not None
    try:
        chain = x509.load_pem_x509_certificates(_read("certfile", config.certfile).encode("latin-1"))
    except ValueError:
        raise ConfigError("certfile", f"the certificate in {quote(config.certfile)} cannot be used") from None
    key_name, keyfile = _place_key(config, config.certfile)
    key = _load_key(_read(key_name, keyfile), config.keyfile_password)
    if key is None:
        raise ConfigError(key_name, f"the private key in {quote(keyfile)} cannot be used")
    return chain, key


def _place_key(config: Config, certfile: str) -> tuple[str, str]:
    """The setting that names the file with the private key, and that file."""
    return ("keyfile", config.keyfile) if config.keyfile is not None else ("certfile", certfile)


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


def _load_chain(context: ssl.SSLContext, config: Config, certfile: str) -> None:
    key_name, keyfile = _place_key(config, certfile)
    if _CERTIFICATE.search(_read("certfile", certfile)) is None:
        raise ConfigError("certfile", f"{quote(certfile)} holds no certificate in PEM form")
    if _KEY.search(_read(key_name, keyfile)) is None:
        missing = "" if config.keyfile is not None else ", and no keyfile is given"
        raise ConfigError(key_name, f"{quote(keyfile)} holds no private key in PEM form{missing}")
    asked = False

    def give_password() -> str:
        nonlocal asked
        asked = True
        if config.keyfile_password is None:
            raise ConfigError(key_name, f"the private key in {quote(keyfile)} is encrypted: give keyfile_password")
        return config.keyfile_password

    try:
        context.load_cert_chain(certfile, keyfile, give_password)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError("keyfile_password", f"cannot be used: {error}") from None
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            problem = f"the private key in {quote(keyfile)} does not belong to the certificate in {quote(certfile)}"
            raise ConfigError(key_name, problem) from None
        if asked:
            problem = f"the password does not open the private key in {quote(keyfile)}"
            raise ConfigError("keyfile_password", problem) from None
        raise ConfigError("certfile", f"OpenSSL cannot use {quote(certfile)}: {_reason(error)}") from None


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    if os.path.isdir(path):
        context.load_verify_locations(capath=path)
        return
    _read("ca_certs", path)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError("ca_certs", f"OpenSSL cannot use {quote(path)}: {_reason(error)}") from None


def _read(key: str, path: str) -> str:
    """The text of a file that must be there, so that what is missing is told by name and not by OpenSSL."""
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(key, f"{quote(path)} cannot be read: {error.strerror}") from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
