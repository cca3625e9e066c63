"""Which protocol serves a connection: by the address that it came to, and by what its TLS handshake settled (ALPN)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fastserver._speedups.contract import Connection, Host, Protocol
from fastserver._speedups.h1 import OVERLOADED, H1Connection


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A protocol that can serve a connection.

    ``name`` is what logs, metrics and observers call it; ``refusal`` is what a connection above the limit is told.
    """

    name: str
    open: Callable[[Connection, Host], Protocol]
    refusal: bytes = b""


HTTP1: Final = WireProtocol("http/1.1", H1Connection, OVERLOADED)

#: The versions of HTTP that are served over TLS by their ALPN names (RFC 7301), the preferred ones first.
HTTP: Final[Mapping[str, WireProtocol]] = {"http/1.1": HTTP1}


#: Gives the ASGI ``tls`` extension of a connection's TLS object.
MakeTLSFacts: TypeAlias = Callable[[ssl.SSLObject], dict[str, Any] | None]


def no_tls_facts(tls: ssl.SSLObject) -> None:
    """Tells nothing of TLS."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the connections of one listener get: ``default``, unless the client has negotiated one of ``by_alpn``."""

    default: WireProtocol = HTTP1
    by_alpn: Mapping[str, WireProtocol] = field(default_factory=dict)
    make_tls_facts: MakeTLSFacts = no_tls_facts

    def choose(self, alpn: str | None) -> WireProtocol:
        """The protocol of a connection whose handshake settled ``alpn``; ``None`` where there was none."""
        return self.default if alpn is None else self.by_alpn.get(alpn, self.default)
