"""Where to listen: one ``--bind`` text as a fact.  It resolves no name and opens no socket."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, TypeAlias

DEFAULT_PORT: Final = 8000
#: The port of metrics, as granian has it.
METRICS_PORT: Final = 9090
#: Where they are as JSON, at the same address.
STATS_PATH: Final = "/stats"
READY_PATH: Final = "/ready"
LIVE_PATH: Final = "/live"
#: What the error messages offer.
WANT_BIND: Final = "host, host:port, [ipv6]:port, :port, unix:PATH, fd://N or fd://NAME"
#: The same for UDP.
WANT_QUIC_BIND: Final = "host:port, [ipv6]:port or :port"

_NO_PATH = "a path follows unix:"
_NO_PORT = -1
_HOST = re.compile(r"[^\s\x00-\x20\x7f/\\?#@\[\]:,]*")
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
# Less than what sd_listen_fds_with_names(3) allows: it stands in lists of binds, and before the = of a handler.
_FD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@\\-]{0,254}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TCPBind:
    """An address of TCP, or of UDP for QUIC.

    ``host`` has no brackets; ``""`` stands for every interface.  Port 0 lets the system choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixBind:
    """A Unix socket at ``path``."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class FDBind:
    """A listening socket that this process has inherited as descriptor ``fd``; or those of a name (systemd's
    ``FileDescriptorName=``), which ``processes.systemd`` turns into numbers."""

    fd: int | str

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Bind: TypeAlias = TCPBind | UnixBind | FDBind


def parse_bind(text: str, default_port: int = DEFAULT_PORT) -> Bind:
    """The fact of one bind text; ``str()`` of it is canonical and parses back.  ``ValueError`` says what is wrong."""
    if text == "unix" or text.startswith("unix:"):
        # No host has that name here: its canonical text would be a path's.
        return _parse_unix(text[5:])
    if text.startswith("fd://"):
        return FDBind(_parse_descriptor(text[5:]))
    text = text.removeprefix("tcp://")  # as gunicorn has it
    if text.startswith("["):
        return _parse_bracketed(text, default_port)
    if text.count(":") > 1:
        raise ValueError("an IPv6 address stands in brackets, as in [::1]:8000")
    host, colon, port = text.partition(":")
    if _HOST.fullmatch(host) is None or not (host or colon):
        raise ValueError("the host has a character that no host has, or is missing")
    return TCPBind(host, _parse_port(port) if colon else default_port)


def parse_quic_bind(text: str) -> TCPBind:
    """The fact of one text that says where to serve QUIC, over UDP; as ``parse_bind`` does it, but with a port.

    A default would be wrong more often than right: clients look for HTTP/3 at the port of their TLS connection.
    """
    bind = parse_bind(text, _NO_PORT)
    if not isinstance(bind, TCPBind):
        raise ValueError("QUIC goes over UDP")
    if bind.port == _NO_PORT:
        raise ValueError("there is no port")
    return bind


def compose_bind(host: str, port: int) -> Bind:
    """The fact of a host and a port given apart, as in ``--host ::1 --port 80``; the host may lack its brackets."""
    if host == "unix":
        raise ValueError(_NO_PATH)
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return parse_bind(f"{bracketed}:{port}")


def _parse_descriptor(text: str) -> int | str:
    if _DIGITS.fullmatch(text) is not None:
        return int(text)
    if _FD_NAME.fullmatch(text) is None:
        raise ValueError("after fd:// comes the number of a descriptor, or its name")
    return text


def _parse_unix(path: str) -> UnixBind:
    if not path or "\0" in path:
        raise ValueError(_NO_PATH)
    return UnixBind(path)


def _parse_bracketed(text: str, default_port: int) -> TCPBind:
    host, bracket, rest = text[1:].partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise ValueError("after the brackets comes a colon and a port, or nothing")
    try:
        IPv6Address(host)
    except AddressValueError:
        raise ValueError("the brackets hold no IPv6 address") from None
    return TCPBind(host, _parse_port(rest[1:]) if rest else default_port)


def _parse_port(text: str) -> int:
    if _DIGITS.fullmatch(text) is None or int(text) > 65535:
        raise ValueError("the port is a number from 0 to 65535")
    return int(text)
