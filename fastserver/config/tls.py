"""The TLS contexts of a configuration, made of what its files held (see ``credentials``).

Whatever is wrong with the files is a ``ConfigError`` of one line that names the key and the file; nothing here prompts
on a terminal (OpenSSL does, for the password of a key, unless it is given a callback).
"""

import contextlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fastserver.config.credentials import Certificates, Credentials, read_certificates
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote
from fastserver.config.sni import choose_by_name

#: TLS 1.2 with forward secrecy and AEAD: what is left of it once RFC 9113 appendix A is taken away.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# What OpenSSL says of a key that is not the certificate's; the last one where it is of another type.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class ServerContext(ssl.SSLContext):
    """A context that knows which certificate it shows."""

    server_cert_pem: str | None = None


def make_blank() -> ServerContext:
    """A context without a certificate, with a ticket key of its own, which its copies in forked processes share."""
    return ServerContext(ssl.PROTOCOL_TLS_SERVER)


def create_ssl_context(config: Config, alpn: Sequence[str] = ("http/1.1",)) -> ServerContext | None:
    """A server's context for ``config``, offering the ``alpn`` names in that order; ``None`` where TLS is off.

    Reads files: ``ConfigError`` says which one cannot be used and why.
    """
    certificates = read_certificates(config)
    return None if certificates is None else fill_context(make_blank(), config, alpn, certificates)


def fill_context(
    context: ServerContext, config: Config, alpn: Sequence[str], certificates: Certificates
) -> ServerContext:
    """Make ``context``, a blank, that of ``config``; one that has failed with ``ConfigError`` is of no use any more.

    It takes TLS 1.2 and 1.3, without compression (CRIME) and without renegotiation (CVE-2011-1473).  A client that asks
    for a name of ``certificates`` meets a context of that name in its place; tickets remain those of ``context``.
    """
    _set_rules(context, config, alpn, certificates)
    _load_chain(context, certificates.default)
    others: dict[int, ServerContext] = {}
    for each in certificates.by_name.values():
        if id(each) not in others:
            other = others[id(each)] = make_blank()
            _set_rules(other, config, alpn, certificates)
            _load_chain(other, each)
    if others:
        _serve_names(context, {name: others[id(each)] for name, each in certificates.by_name.items()})
    return context


def _set_rules(context: ServerContext, config: Config, alpn: Sequence[str], certificates: Certificates) -> None:
    """All but the certificate."""
    context.minimum_version = _VERSIONS[config.tls_min_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    try:
        context.set_ciphers(config.ciphers or CIPHERS)
    except ssl.SSLError:
        raise ConfigError("ciphers", f"{quote(config.ciphers)} selects no cipher of {ssl.OPENSSL_VERSION}") from None
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if config.ca_certs is not None:
        _load_authorities(context, config.ca_certs, certificates.ca_pem)
    context.verify_mode = _MODES[config.verify_mode]


def _serve_names(context: ServerContext, by_name: Mapping[str, ServerContext]) -> None:
    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, original: ssl.SSLContext) -> None:
        found = choose_by_name(by_name, name)
        if found is not None:
            connection.context = found

    context.sni_callback = choose


def _load_chain(context: ServerContext, credentials: Credentials) -> None:
    """Have ``context`` show ``credentials``."""
    key_key, keyfile, certfile = credentials.key_key, credentials.keyfile, credentials.certfile
    asked = False

    def give_password() -> str:
        nonlocal asked
        asked = True
        if credentials.password is None:
            raise ConfigError(key_key, f"the private key in {quote(keyfile)} is encrypted: give keyfile_password")
        return credentials.password

    try:
        with _put_in_file(credentials.chain_pem) as chain, _put_in_file(credentials.key_pem) as key:
            context.load_cert_chain(chain, key, give_password)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError("keyfile_password", f"cannot be used: {error}") from None
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            problem = f"the private key in {quote(keyfile)} does not belong to the certificate in {quote(certfile)}"
            raise ConfigError(key_key, problem) from None
        if asked:
            problem = f"the password does not open the private key in {quote(keyfile)}"
            raise ConfigError("keyfile_password", problem) from None
        problem = f"OpenSSL cannot use {quote(certfile)}: {_reason(error)}"
        raise ConfigError(credentials.cert_key, problem) from None
    context.server_cert_pem = credentials.leaf_pem


def _load_authorities(context: ssl.SSLContext, path: str, pem: str | None) -> None:
    if pem is None:
        context.load_verify_locations(capath=path)
        return
    try:
        with _put_in_file(pem) as copy:
            context.load_verify_locations(cafile=copy)
    except ssl.SSLError as error:
        raise ConfigError("ca_certs", f"OpenSSL cannot use {quote(path)}: {_reason(error)}") from None


@contextlib.contextmanager
def _put_in_file(text: str) -> Iterator[str]:
    """A path under which OpenSSL finds ``text``: ``ssl`` takes certificates and keys from files alone.

    It is memory where the system has such files (Linux), else a file that only this user can read.
    """
    data = text.encode("latin-1")
    if sys.platform == "linux":
        with open(os.memfd_create("fastserver-tls", os.MFD_CLOEXEC), "wb", buffering=0) as memory:
            path = f"/proc/self/fd/{memory.fileno()}"
            if os.path.exists(path):
                memory.write(data)
                yield path
                return
    with tempfile.NamedTemporaryFile(prefix="fastserver-tls-") as file:
        file.write(data)
        file.flush()
        yield file.name


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
