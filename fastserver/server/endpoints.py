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
from fastserver.transport.sockets import Listener, Owner, open_listeners, release


class Purpose(Enum):
    APPLICATION = "application"
    HANDLER = "handler"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A socket to accept from, and what its connections are for; ``binding`` is given with ``HANDLER`` alone.

    ``is_insecure`` is an address that has no TLS beside others that have it.
    """

    listener: Listener
    purpose: Purpose = Purpose.APPLICATION
    binding: ProtocolBinding | None = None
    is_insecure: bool = False

    def has_tls(self, config: Config) -> bool:
        """Whether its connections begin with a handshake of TLS."""
        return config.has_tls and self.purpose is not Purpose.METRICS and not self.is_insecure


def open_endpoints(config: Config, owner: Owner | None = None, former: Sequence[Endpoint] = ()) -> list[Endpoint]:
    """Bind every address of ``config``, all or none, and give Unix sockets to ``owner``.

    Raises ``BindError``; names are looked up, which may block.
    What ``former`` has open under the same name is taken over, whatever it was for: the sockets are then in both.
    """
    groups: list[tuple[Sequence[Bind], Purpose, ProtocolBinding | None, bool]] = [
        (config.binds, Purpose.APPLICATION, None, False),
        (config.insecure_binds, Purpose.APPLICATION, None, True),
    ]
    groups += [((each.bind,), Purpose.HANDLER, each, False) for each in config.protocols if each.bind is not None]
    groups.append((config.metrics_binds, Purpose.METRICS, None, False))
    endpoints: list[Endpoint] = []
    opened: list[Listener] = []
    try:
        for binds, purpose, binding, is_insecure in groups:
            taken = [each.listener for each in former if _is_wanted(each, binds, purpose, is_insecure)]
            kept = {listener.name for listener in taken}
            fresh = open_listeners(
                [bind for bind in binds if str(bind) not in kept],
                backlog=config.backlog,
                dual_stack=config.dual_stack,
                uds_permissions=config.uds_permissions,
                owner=owner,
            )
            opened += fresh
            listeners = [*(replace(listener, backlog=config.backlog) for listener in taken), *fresh]
            endpoints += [Endpoint(listener, purpose, binding, is_insecure) for listener in listeners]
    except BaseException:
        release(opened)
        raise
    return endpoints


def _is_wanted(former: Endpoint, binds: Sequence[Bind], purpose: Purpose, is_insecure: bool) -> bool:
    """Whether the socket of ``former`` is for one of ``binds``: port 0 is another one for each purpose."""
    name = former.listener.name
    if name not in map(str, binds):
        return False
    return (former.purpose, former.is_insecure) == (purpose, is_insecure) or not name.endswith(":0")


def list_alpn(config: Config) -> list[str]:
    """The ALPN names (RFC 7301) that the TLS listeners offer, those of handlers first.

    The first that a client has too is taken, and for one that knows a handler's protocol HTTP is a second choice.
    """
    return [*(binding.alpn for binding in config.protocols if binding.alpn is not None), *list_http(config)]


def describe_endpoint(endpoint: Endpoint, config: Config) -> str:
    """Where clients connect, and for what where it is not the application: for the log."""
    listener, has_tls = endpoint.listener, endpoint.has_tls(config)
    if endpoint.purpose is Purpose.METRICS:
        return f"{listener.get_url('http')}{config.metrics_path} (metrics)"
    if endpoint.binding is not None:
        return f"{listener.get_url('tls' if has_tls else 'tcp')} ({name_object(endpoint.binding.handler)})"
    return listener.get_url("https" if has_tls else "http")
