"""The addresses that a server listens on, and what each is for.

``Listener.purpose`` says it: ``None`` for the application, ``METRICS``, or the ``ProtocolBinding`` of a handler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastserver.config.bind import Bind
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import Config
from fastserver.reference import name_object
from fastserver.transport.sockets import Listener, open_listeners, release

METRICS: Final = "metrics"


def open_endpoints(config: Config) -> list[Listener]:
    """Bind every address of ``config``, all or none.  Raises ``BindError``; names are looked up, which may block."""
    groups: list[tuple[object, Sequence[Bind]]] = [(None, config.binds)]
    groups += [(binding, (binding.bind,)) for binding in config.protocols if binding.bind is not None]
    groups.append((METRICS, config.metrics_binds))
    listeners: list[Listener] = []
    try:
        for purpose, binds in groups:
            opened = open_listeners(
                binds, backlog=config.backlog, dual_stack=config.dual_stack, uds_permissions=config.uds_permissions
            )
            for listener in opened:
                listener.purpose = purpose
            listeners += opened
    except BaseException:
        release(listeners)
        raise
    return listeners


def list_alpn(config: Config) -> list[str]:
    """The ALPN names (RFC 7301) that the TLS listeners offer, those of handlers first.

    The first that a client has too is taken, and for one that knows a handler's protocol HTTP is a second choice.
    """
    return [*(binding.alpn for binding in config.protocols if binding.alpn is not None), "http/1.1"]


def describe_endpoint(listener: Listener, config: Config) -> str:
    """Where clients connect, and for what where it is not the application: for the log."""
    has_tls = config.certfile is not None
    if listener.purpose == METRICS:
        return f"{listener.get_url('http')}{config.metrics_path} (metrics)"
    if isinstance(listener.purpose, ProtocolBinding):
        return f"{listener.get_url('tls' if has_tls else 'tcp')} ({name_object(listener.purpose.handler)})"
    return listener.get_url("https" if has_tls else "http")
