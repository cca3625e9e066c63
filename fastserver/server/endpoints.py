"""The addresses that a server listens on, and what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fastserver.config.bind import Bind
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import Config
from fastserver.reference import name_object
from fastserver.server.pipeline import list_http
from fastserver.transport.sockets import Listener, Owner, open_listeners, release


class Purpose(Enum):
    APPLICATION = "application"
    HANDLER = "handler"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A socket to accept from, and what its connections are for; ``binding`` is given with ``HANDLER`` alone."""

    listener: Listener
    purpose: Purpose = Purpose.APPLICATION
    binding: ProtocolBinding | None = None


def open_endpoints(config: Config, owner: Owner | None = None) -> list[Endpoint]:
    """Bind every address of ``config``, all or none, and give Unix sockets to ``owner``.

    Raises ``BindError``; names are looked up, which may block.
    """
    groups: list[tuple[Sequence[Bind], Purpose, ProtocolBinding | None]] = [(config.binds, Purpose.APPLICATION, None)]
    groups += [((each.bind,), Purpose.HANDLER, each) for each in config.protocols if each.bind is not None]
    groups.append((config.metrics_binds, Purpose.METRICS, None))
    endpoints: list[Endpoint] = []
    try:
        for binds, purpose, binding in groups:
            opened = open_listeners(
                binds,
                backlog=config.backlog,
                dual_stack=config.dual_stack,
                uds_permissions=config.uds_permissions,
                owner=owner,
            )
            endpoints += [Endpoint(listener, purpose, binding) for listener in opened]
    except BaseException:
        release(endpoint.listener for endpoint in endpoints)
        raise
    return endpoints


def list_alpn(config: Config) -> list[str]:
    """The ALPN names (RFC 7301) that the TLS listeners offer, those of handlers first.

    The first that a client has too is taken, and for one that knows a handler's protocol HTTP is a second choice.
    """
    return [*(binding.alpn for binding in config.protocols if binding.alpn is not None), *list_http(config)]


def describe_endpoint(endpoint: Endpoint, config: Config) -> str:
    """Where clients connect, and for what where it is not the application: for the log."""
    listener, has_tls = endpoint.listener, config.certfile is not None
    if endpoint.purpose is Purpose.METRICS:
        return f"{listener.get_url('http')}{config.metrics_path} (metrics)"
    if endpoint.binding is not None:
        return f"{listener.get_url('tls' if has_tls else 'tcp')} ({name_object(endpoint.binding.handler)})"
    return listener.get_url("https" if has_tls else "http")
