"""The addresses that a server listens on, and what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from fastserver.config.bind import Bind
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import Config
from fastserver.reference import name_object
from fastserver.server.pipeline import list_http
from fastserver.transport.sockets import Listener, open_listeners, release


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


def open_endpoints(config: Config, former: Sequence[Endpoint] = ()) -> list[Endpoint]:
    """Bind every address of ``config``, all or none.  Raises ``BindError``; names are looked up, which may block.

    What ``former`` has open under the same name and for the same purpose is taken over, not opened: the sockets are
    then in both.
    """
    groups: list[tuple[Sequence[Bind], Purpose, ProtocolBinding | None]] = [(config.binds, Purpose.APPLICATION, None)]
    groups += [((each.bind,), Purpose.HANDLER, each) for each in config.protocols if each.bind is not None]
    groups.append((config.metrics_binds, Purpose.METRICS, None))
    endpoints: list[Endpoint] = []
    fresh: list[Listener] = []
    try:
        for binds, purpose, binding in groups:
            names = [str(bind) for bind in binds]
            kept = [each.listener for each in former if each.purpose is purpose and each.listener.name in names]
            endpoints += [Endpoint(replace(listener, backlog=config.backlog), purpose, binding) for listener in kept]
            held = {listener.name for listener in kept}
            opened = open_listeners(
                [bind for bind in binds if str(bind) not in held],
                backlog=config.backlog,
                dual_stack=config.dual_stack,
                uds_permissions=config.uds_permissions,
            )
            fresh += opened
            endpoints += [Endpoint(listener, purpose, binding) for listener in opened]
    except BaseException:
        release(fresh)
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
