"""A certificate for development: self-signed, for this machine alone, made once and kept in the user's cache.

``localhost.pem`` holds the certificate and its key in one file, so that one rename puts both there or neither;
``localhost.crt`` beside it holds the certificate alone, for a client that is to trust it.

Invariants: what is used belongs to the user, and nobody else can read the key; no link is followed in the directory; a
certificate is tried, by a handshake in memory, before it is used.  The time by which it is judged is an argument; what
makes one reads the system's clock.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote

#: Days for which a certificate is made; browsers refuse more than 397.
VALID_DAYS: Final = 365
#: Seconds before its end at which it is replaced.
RENEW_BEFORE_S: Final = 7 * 86400.0
#: What the certificate is for, beside the host name of the machine.
NAMES: Final = ("localhost", "*.localhost")
ADDRESSES: Final = ("127.0.0.1", "::1")

#: No file of ours comes near it.
_FILE_LIMIT: Final = 65536
#: Seconds that the command ``openssl`` gets; it needs some milliseconds.
_OPENSSL_S: Final = 30.0
_BUNDLE: Final = "localhost.pem"
_PUBLIC: Final = "localhost.crt"
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----\n", re.DOTALL)
_KEY: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----\n.+?\n-----END PRIVATE KEY-----\n", re.DOTALL)

_OPENSSL_CONFIG: Final = """\
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = {common_name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {names}
"""


@dataclass(frozen=True, slots=True)
class DevCert:
    """Where the certificate is: with its key in ``certfile``, alone in ``public``; the SHA-256 of it in hexadecimal."""

    certfile: str
    public: str
    fingerprint: str


def resolve_dev_cert(config: Config, now: float, tell: Callable[[str], object]) -> Config:
    """``config`` with a certificate in the place of ``dev_cert``, and one line about it for ``tell``; else as it is.

    Reads, and where need be writes, the user's cache.  Raises ``ConfigError`` where no certificate can be had.
    """
    if not config.dev_cert:
        return config
    found = find_dev_cert(locate_cache(os.environ), now)
    tell(
        f"development certificate {found.public}, SHA-256 {found.fingerprint}; "
        f"to trust it, import that file or give it to the client (curl --cacert)"
    )
    return replace(config, dev_cert=False, certfile=found.certfile)


def locate_cache(environ: Mapping[str, str]) -> Path:
    """The directory of the certificate (XDG Base Directory Specification: a relative path counts as unset)."""
    base = environ.get("XDG_CACHE_HOME", "")
    path = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".cache")
    if not path.is_absolute():
        raise ConfigError("dev_cert", "there is no home directory to keep a certificate in: set XDG_CACHE_HOME")
    return path / "fastserver"


def find_dev_cert(folder: Path, now: float) -> DevCert:
    """The certificate in ``folder``; made where there is none that can still be used at ``now`` (Unix time)."""
    try:
        with _open_folder(folder) as place:
            found = _read(place, _BUNDLE)
            der = _try(folder, found, now)
            if der is None:
                found = make_bundle()
                _write(place, _BUNDLE, found)
                der = _try(folder, found, now)
            if der is None:
                raise ConfigError("dev_cert", f"the certificate made in {quote(str(folder))} does not work here")
            public = ssl.DER_cert_to_PEM_cert(der).encode("ascii")
            if _read(place, _PUBLIC) != public:
                _write(place, _PUBLIC, public)
    except OSError as error:
        raise ConfigError(
            "dev_cert", f"{quote(str(folder))} cannot be used: {error.strerror}; XDG_CACHE_HOME may name another place"
        ) from None
    return DevCert(str(folder / _BUNDLE), str(folder / _PUBLIC), hashlib.sha256(der).hexdigest())


def make_bundle() -> bytes:
    """A new certificate and its key, PEM.  Raises ``ConfigError`` where nothing is installed that makes one."""
    names, addresses = [*NAMES, *_list_host_names()], list(ADDRESSES)
    try:
        return make_by_cryptography(names, addresses)
    except ImportError:
        pass
    command = shutil.which("openssl")
    if command is None:
        raise ConfigError(
            "dev_cert",
            "needs the package cryptography (it comes with the extra http3) or the command openssl: install one",
        )
    return make_by_openssl(command, names, addresses)


def make_by_cryptography(names: list[str], addresses: list[str]) -> bytes:
    """A certificate and its key, PEM, by the package."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _make_common_name())])
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    now = datetime.now(timezone.utc).replace(microsecond=0)
    builder = x509.CertificateBuilder(subject, subject, key.public_key())
    builder = builder.serial_number(_make_serial())
    # OpenSSL asks time(2), whose second begins some milliseconds later than that of the clock here.
    builder = builder.not_valid_before(now - timedelta(minutes=1)).not_valid_after(now + timedelta(days=VALID_DAYS))
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.SubjectAlternativeName(alternatives), False),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    return certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_by_openssl(command: str, names: list[str], addresses: list[str]) -> bytes:
    """A certificate and its key, PEM, by the command: OpenSSL's or LibreSSL's.  No file sees the key on its way."""
    alternatives = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    text = _OPENSSL_CONFIG.format(common_name=_make_common_name(), names=", ".join(alternatives))
    curve = ("-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:named_curve")
    order = ("req", "-x509", "-newkey", "ec", *curve, "-nodes", "-sha256", "-days", str(VALID_DAYS))
    files = ("-set_serial", str(_make_serial()), "-config", "/dev/stdin", "-keyout", "/dev/stdout")
    try:
        done = subprocess.run(
            [command, *order, *files], input=text.encode(), capture_output=True, timeout=_OPENSSL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError("dev_cert", f"the command {command} has failed: {error}") from None
    certificate, key = _CERTIFICATE.search(done.stdout), _KEY.search(done.stdout)
    if done.returncode or certificate is None or key is None:
        said = done.stderr.decode("utf-8", "replace").split("\n", 1)[0]
        raise ConfigError("dev_cert", f"the command {command} has made no certificate: {quote(said)}")
    return certificate.group() + key.group()


def _make_common_name() -> str:
    # A name that tells apart what a browser or keychain has imported; hosts are judged by the alternative names.
    return f"fastserver development {secrets.token_hex(4)}"


def _make_serial() -> int:
    """RFC 5280 section 4.1.2.2: positive; a client that has met another one under the same name and number refuses."""
    return secrets.randbits(120) | 1 << 120


def _list_host_names() -> list[str]:
    name = socket.gethostname().lower()
    return [name] if _HOST_NAME.fullmatch(name) and len(name) <= 253 and name not in NAMES else []


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """A descriptor of ``folder``, made where it is missing and held by one process at a time."""
    os.makedirs(folder.parent, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(place)
        if facts.st_uid != os.geteuid():
            raise ConfigError(
                "dev_cert", f"{quote(str(folder))} belongs to another user; XDG_CACHE_HOME may name another place"
            )
        if stat.S_IMODE(facts.st_mode) != 0o700:
            os.fchmod(place, 0o700)
        # Two that start at once agree on one certificate.  Some network file systems refuse; each rename is whole.
        with contextlib.suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX)
        yield place
    finally:
        os.close(place)


def _read(place: int, name: str) -> bytes:
    """What the file ``name`` in the directory holds; nothing where it is missing, not ours, or others can read it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            return b""
        return file.read(_FILE_LIMIT)


def _write(place: int, name: str, data: bytes) -> None:
    """Put ``data`` in the place of whatever has the name; a reader finds the old file or the new one, whole."""
    draft = f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(
        draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place
    )
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask says
            file.write(data)
        os.replace(draft, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=place)
        raise


def _try(folder: Path, bundle: bytes, now: float) -> bytes | None:
    """The certificate (DER) if a client that trusts it alone can talk TLS with who has the key, and still can for days.

    ``bundle`` is what stands in the file.  ``None`` where it cannot: out of date, damaged, of another key.
    """
    certificate = _CERTIFICATE.search(bundle)
    if certificate is None:
        return None
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        server.load_cert_chain(folder / _BUNDLE, password=lambda: "")  # without it OpenSSL asks the terminal
        client.load_verify_locations(cadata=certificate.group().decode("ascii"))
        der, end = _shake_hands(server, client)
    except (ssl.SSLError, ValueError):
        return None
    return der if end - now > RENEW_BEFORE_S else None


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes, float]:
    """What a client learns of the server's certificate in a handshake in memory: it as DER, its end in Unix time."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname="localhost")
    far = server.wrap_bio(up, down, server_side=True)
    for end in (near, far, near):  # TLS 1.3: the client's hello, the server's flight, the client's judgement of it
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    facts, der = near.getpeercert(), near.getpeercert(binary_form=True)
    if not facts or not der:
        raise ssl.SSLError("the handshake did not end")
    return der, ssl.cert_time_to_seconds(str(facts["notAfter"]))
