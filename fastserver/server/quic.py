"""HTTP/3 in a server: whether and where it can be served, and what one worker needs for it.

Before it forks, the process that owns the sockets asks ``open_group``, which finds out what stands in the way and binds
the UDP sockets; each worker makes a ``QUICService`` of its place in that group.  What is wrong with HTTP/3 is one line
in the log, and all else is served.  Nothing of QUIC is imported, aioquic least of all, where it is not asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from logging import Logger
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastserver._speedups.connection import count_full, has_room
from fastserver._speedups.contract import Host
from fastserver._speedups.quic.bounds import BASE_DATAGRAM
from fastserver.config.bind import TCPBind, parse_bind, parse_quic_bind
from fastserver.config.credentials import Certificates, Credentials
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote
from fastserver.config.sni import choose_by_name
from fastserver.server.endpoints import Endpoint, Purpose
from fastserver.transport.sockets import BindError
from fastserver.transport.tls import VERSIONS, compose_facts

if TYPE_CHECKING:
    from aioquic.quic.configuration import QuicConfiguration

    from fastserver.protocol.quic.cids import ConnectionIDs
    from fastserver.protocol.quic.datagram import Address
    from fastserver.protocol.quic.tokens import Tokens
    from fastserver.transport.udpgroup import QUICPlace, UDPGroup

#: The name of HTTP/3 in ALPN (RFC 9114 section 3.1), in metrics and in logs.
HTTP3_NAME: Final = "h3"

#: The oldest Python for which there is an aioquic that this server knows.
PYTHON: Final = (3, 11)


class Parts(NamedTuple):
    """What carries QUIC and HTTP/3, compiled; it needs aioquic."""

    open_port: Callable[..., Any]
    open_wire: Callable[..., Any]
    make_engine: Callable[..., Any]


class Unavailable(Exception):
    """HTTP/3 cannot be served.  The message is one line that says why, and what to do."""


def open_group(
    config: Config, endpoints: Sequence[Endpoint], workers: int, log: Logger, certificates: Certificates | None
) -> UDPGroup | None:
    """Bind the UDP sockets of ``workers`` workers beside ``endpoints``; ``None`` where HTTP/3 is not served.

    0 workers is a process that serves alone.

    If it was asked for then, one line of the log says why.  Names are looked up, which may block.
    """
    if certificates is None or (not config.quic_bind and not config.http3):
        return None
    try:
        make_configuration(config, certificates)
        for each in certificates.by_name.values():
            _parse(each)
        _load_parts()
        return _bind(config, list_binds(config, endpoints), workers, log)
    except Unavailable as obstacle:
        log.warning("HTTP/3 is not served: %s", obstacle)
    except (BindError, ConfigError) as error:
        log.error("HTTP/3 is not served: %s", error)
    return None


def open_place(
    config: Config, endpoints: Sequence[Endpoint], log: Logger, certificates: Certificates | None
) -> QUICPlace | None:
    """The place of a process that serves alone; else as ``open_group``."""
    group = open_group(config, endpoints, 0, log, certificates)
    if group is None:
        return None
    from fastserver.transport.udpgroup import QUICPlace

    return QUICPlace(group, 0)


def list_binds(config: Config, endpoints: Iterable[Endpoint]) -> list[TCPBind]:
    """The addresses of ``quic_bind`` and ``http3``, the latter with the ports that the TCP sockets have got."""
    binds = [parse_quic_bind(text) for text in config.quic_bind]
    wanted = {str(bind) for bind in config.http3_binds}
    for endpoint in endpoints:
        listener = endpoint.listener
        if endpoint.purpose is Purpose.APPLICATION and not endpoint.is_insecure and listener.name in wanted:
            bind = parse_bind(listener.name)
            assert isinstance(bind, TCPBind)
            binds.append(TCPBind(bind.host, listener.sock.getsockname()[1]))
    return [bind for index, bind in enumerate(binds) if not bind.port or bind not in binds[:index]]


def describe_group(group: UDPGroup) -> list[str]:
    """Where clients of HTTP/3 connect, for the log."""
    hosts = [(f"[{host}]" if ":" in host else host, port) for host, port in group.addresses]
    return [f"https://{host}:{port} (HTTP/3, UDP)" for host, port in hosts]


def render_alt_svc(config: Config, addresses: Iterable[tuple[str, int]]) -> bytes:
    """The line by which responses say that HTTP/3 is served (RFC 7838 section 3); empty where they shall not."""
    if not config.alt_svc:
        return b""
    ports = dict.fromkeys(port for _, port in addresses)
    places = ", ".join(f'{HTTP3_NAME}=":{port}"; ma={int(config.alt_svc_max_age)}' for port in ports)
    return f"alt-svc: {places}\r\n".encode("ascii") if places else b""


def make_configuration(config: Config, certificates: Certificates) -> QuicConfiguration:
    """What aioquic has to know, with certificate and key; windows are the engine's.  Raises ``Unavailable``."""
    if sys.version_info < PYTHON:
        raise Unavailable(f"it needs CPython {'.'.join(map(str, PYTHON))}, and this is an older one")
    try:
        from aioquic.quic.configuration import QuicConfiguration
    except ImportError:
        raise Unavailable("aioquic is not installed: pip install 'fastserver[http3]'") from None
    if config.verify_mode != "none":
        # aioquic does not ask for client certificates, and who needs none here would get around those over TCP.
        raise Unavailable(
            f"it cannot ask for client certificates, as verify_mode={config.verify_mode} does over TCP: "
            "leave out verify_mode, or quic_bind and http3"
        )
    chain, key = _parse(certificates.default)
    return QuicConfiguration(
        is_client=False,
        alpn_protocols=[HTTP3_NAME],
        certificate=chain[0],
        certificate_chain=chain[1:],
        private_key=key,
        idle_timeout=config.quic_idle_timeout,
        max_datagram_size=BASE_DATAGRAM,
    )


class HTTP3:
    """What the connections of one worker's ports get: HTTP/3 on an engine that knows this worker by ``cids``.

    ``make_token`` makes what proves a client's address at its next visit (NEW_TOKEN), if that is of any use.
    """

    name: Final = HTTP3_NAME
    scheme: Final = "https"

    def __init__(
        self,
        config: Config,
        certificates: Certificates,
        parts: Parts,
        cids: ConnectionIDs,
        make_token: Callable[[Address], bytes] | None,
    ) -> None:
        self._parts = parts
        self._cids = cids
        self._make_token = make_token
        self._config = config
        self.use_certificates(certificates)

    def use_certificates(self, certificates: Certificates) -> None:
        """Show ``certificates`` to all who come from now on.  Raises ``Unavailable``; all is as before then."""
        configuration = make_configuration(self._config, certificates)
        by_name = {name: _identify(each) for name, each in certificates.by_name.items()}
        self._configuration = configuration
        self._server_cert_pem = certificates.default.leaf_pem
        self._choose = partial(choose_by_name, by_name) if by_name else None

    def open(self, connection: Any, host: Host, original_cid: bytes, retry_cid: bytes | None) -> Any:
        """What serves ``connection``, which the dispatcher has let in."""

        def make_engine(listener: Any) -> Any:
            return self._parts.make_engine(
                listener,
                self._configuration,
                host.limits.h3,
                self._cids,
                original_cid,
                retry_cid,
                self._make_token,
                self._server_cert_pem,
                self._choose,
            )

        return self._parts.open_wire(connection, host, make_engine)

    def make_tls_facts(self, wire: Any) -> dict[str, Any] | None:
        """The ASGI ``tls`` extension as ``transport.tls.tls_facts`` has it; ``None`` while ``wire`` shakes hands."""
        suite = wire.engine.cipher_suite
        return None if suite is None else compose_facts(wire.engine.server_cert_pem, VERSIONS["TLSv1.3"], suite)


class QUICService:
    """HTTP/3 in one worker: its UDP ports, whose datagrams one dispatcher sorts.  It belongs to the running loop.

    It goes down in two steps: ``stop_admitting``, and ``close`` once the connections are gone.
    """

    def __init__(self, place: QUICPlace, config: Config, certificates: Certificates, host: Host) -> None:
        from fastserver.protocol.quic.cids import ConnectionIDs
        from fastserver.protocol.quic.dispatcher import Dispatcher
        from fastserver.protocol.quic.tokens import Tokens
        from fastserver.transport.handoff import Handoff

        group, number = place.group, place.number
        self.addresses = group.addresses
        self.urls = describe_group(group)
        self._group = group
        self._host = host
        parts = _load_parts()
        cids = ConnectionIDs(group.secret, number)
        tokens = Tokens(group.secret)
        make_token: Callable[[Address], bytes] | None = None
        if config.quic_retry != "never":
            make_token = partial(_seal_address, tokens, host)
        self._protocol = HTTP3(config, certificates, parts, cids, make_token)
        self._dispatcher: Dispatcher[Any] = Dispatcher(
            cids,
            tokens,
            lambda: host.clock.wall_s,
            retry=config.quic_retry,
            max_half_open=config.quic_max_half_open,
            is_full=lambda: not has_room(host),
            note_full=partial(count_full, host),
            is_living=group.is_living if group.numbers > 1 else None,
            choose_worker=partial(group.pick, own=number) if group.numbers > 1 else None,
            metrics=host.metrics,
        )
        self._handoff = Handoff(group, number, self._take)
        self._ports = [
            parts.open_port(host, sock, self._dispatcher, self._protocol, partial(self._forward, index))
            for index, sock in enumerate(group.take(number))
        ]

    def start(self) -> None:
        """Take datagrams from now on."""
        for port in self._ports:
            port.start()
        self._handoff.start()

    def use_certificates(self, certificates: Certificates) -> None:
        """Show ``certificates`` to all who come from now on.  Raises ``Unavailable``; all is as before then."""
        self._protocol.use_certificates(certificates)

    def stop_admitting(self, *, is_retiring: bool) -> None:
        """Open no new connections: ``is_retiring`` leaves them to other workers, else their clients are refused.

        Those whose clients have asked already are opened.
        """
        for port in self._ports:
            port.on_readable()
        self._dispatcher.stop_admitting(is_retiring=is_retiring)

    def close(self) -> None:
        """Say what is left to say and close the sockets; safe to repeat."""
        self._handoff.close()
        for port in self._ports:
            port.close()
        self._group.close()

    def _forward(self, index: int, worker: int, data: bytes, address: Address, local: bytes | None) -> None:
        """Hand to another worker what came to the port ``index``."""
        metrics = self._host.metrics
        if self._handoff.send(worker, data, address, local, index):
            metrics.datagrams_forwarded += 1
        else:
            metrics.datagrams_dropped += 1

    def _take(self, data: bytes, address: Address, local: bytes | None, index: int) -> None:
        """Another worker has handed over what came to the port ``index``."""
        self._ports[index].deliver(data, address, local)


def _seal_address(tokens: Tokens, host: Host, address: Address) -> bytes:
    return tokens.seal_address(address, host.clock.wall_s)


def _load_parts() -> Parts:
    try:
        from fastserver._speedups.h3.connection import H3Connection
        from fastserver._speedups.quic.engine import Engine
        from fastserver._speedups.udp import UDPPort
    except ImportError as error:
        raise Unavailable(f"{error.name or error} cannot be imported: pip install 'fastserver[http3]'") from None
    return Parts(UDPPort, H3Connection, Engine)


def _bind(config: Config, binds: Sequence[TCPBind], workers: int, log: Logger) -> UDPGroup:
    from fastserver.protocol.quic.cids import mix_constants
    from fastserver.protocol.quic.secrets import SECRET_BYTES
    from fastserver.server.numbers import count_numbers
    from fastserver.transport.udpgroup import UDPGroup

    secret = os.urandom(SECRET_BYTES)
    return UDPGroup(
        binds, count_numbers(workers), mix_constants(secret), log, secret=secret, dual_stack=config.dual_stack
    )


def _identify(credentials: Credentials) -> tuple[Any, list[Any], Any, str | None]:
    """The certificate, its chain, its key, and it as PEM: as the engine takes them.  Raises ``Unavailable``."""
    chain, key = _parse(credentials)
    return chain[0], chain[1:], key, credentials.leaf_pem


def _parse(credentials: Credentials) -> tuple[list[Any], Any]:
    """The certificates and their key; ``Unavailable`` where aioquic has no signature for its kind."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    try:
        chain, key = credentials.parsed
    except ConfigError as error:
        raise Unavailable(error.problem) from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        is_fit = isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1))
    else:
        is_fit = isinstance(key, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    if not is_fit:
        raise Unavailable(
            f"it cannot use the key in {quote(credentials.keyfile)}: take one of RSA, P-256, P-384 or Ed25519"
        )
    return chain, key
