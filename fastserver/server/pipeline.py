"""Which protocol serves a connection: by the address that it came to, and by what its TLS handshake settled (ALPN)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from fastserver._speedups.contract import Connection, Host, Protocol
from fastserver._speedups.h1.connection import OVERLOADED, H1Connection
from fastserver.config.model import Config
from fastserver.protocol import refusal
from fastserver.protocol.h2 import open_h2
from fastserver.protocol.prior import PriorKnowledge
from fastserver.protocol.refusal import Refusal
from fastserver.transport.tls import is_fit_for_h2


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A protocol that can serve a connection.

    ``name`` is what logs, metrics and observers call it; ``refusal`` is what a connection above the limit is told.
    """

    name: str
    open: Callable[[Connection, Host], Protocol]
    refusal: bytes = b""


def open_http2(connection: Any, host: Host) -> Protocol:
    """HTTP/2 on a connection of ``tcp``, refused where its TLS is none for HTTP/2 (RFC 9113 section 9.2.2)."""
    tls = connection.transport.get_extra_info("ssl_object")
    if tls is not None and not is_fit_for_h2(tls):
        host.error_log.debug("refused HTTP/2 over the cipher suite %s", tls.cipher()[0])
        return Refusal(connection, refusal.INSECURE)
    return open_h2(connection, host)


HTTP1: Final = WireProtocol("http/1.1", H1Connection, OVERLOADED)
HTTP2: Final = WireProtocol("h2", open_http2, refusal.OVERLOADED)

#: HTTP/2 for clients that begin with its preface, HTTP/1 for others; before it is known, under the latter's name.
EITHER: Final = WireProtocol("http/1.1", partial(PriorKnowledge, open_h2=open_http2, open_h1=H1Connection), OVERLOADED)
#: HTTP/2 for clients that begin with its preface, nothing for others.
PRIOR: Final = WireProtocol("h2", partial(PriorKnowledge, open_h2=open_http2), refusal.OVERLOADED)

#: The versions of HTTP that can be served over TLS by their ALPN names (RFC 7301), the preferred ones first.
HTTP: Final[Mapping[str, WireProtocol]] = {"h2": HTTP2, "http/1.1": HTTP1}


def _announce(wire: WireProtocol, alt_svc: bytes) -> WireProtocol:
    """``wire``, one of ``HTTP``, with ``alt_svc`` in its responses."""

    def open_announcing(connection: Connection, host: Host) -> Protocol:
        protocol: Any = wire.open(connection, host)
        if not isinstance(protocol, Refusal):
            protocol.alt_svc = alt_svc
        return protocol  # type: ignore[no-any-return]

    return replace(wire, open=open_announcing)


def list_http(config: Config) -> dict[str, WireProtocol]:
    """Those of ``HTTP`` that ``config`` serves."""
    is_served = {"h2": config.http2, "http/1.1": config.http1}
    return {name: wire for name, wire in HTTP.items() if is_served[name]}


def choose_default(config: Config, has_tls: bool) -> WireProtocol:
    """What serves the clients that have settled nothing: without TLS, or by a handshake without a common ALPN name."""
    if not config.http1:
        return PRIOR
    return EITHER if config.h2c and not has_tls else HTTP1


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

    def announce(self, alt_svc: bytes) -> Pipeline:
        """This, with the line ``alt_svc`` (RFC 7838) in the responses of HTTP that have no such field of their own.

        It is for TLS listeners: without TLS nobody may be sent elsewhere.
        """
        heralds = {wire: _announce(wire, alt_svc) for wire in HTTP.values()}
        by_alpn = {name: heralds.get(wire, wire) for name, wire in self.by_alpn.items()}
        return replace(self, default=heralds.get(self.default, self.default), by_alpn=by_alpn)
