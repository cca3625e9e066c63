"""What the user has added to the server, imported: event observers and protocol handlers, each worker's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import Logger

from fastserver._speedups.observers import Observers
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import Config
from fastserver.errors import StartupFailed
from fastserver.observe import LoadedObserver, Observation, load_observers
from fastserver.protocol.factory import HandlerFactory
from fastserver.reference import name_object, resolve
from fastserver.server.pipeline import (
    MakeTLSFacts,
    Pipeline,
    WireProtocol,
    choose_default,
    list_http,
    no_tls_facts,
)


@dataclass(frozen=True, slots=True)
class Extensions:
    """``observers`` as they were given, ``protocols`` by their binding."""

    observers: tuple[LoadedObserver, ...] = ()
    protocols: Mapping[ProtocolBinding, WireProtocol] = field(default_factory=dict)

    def observe(self) -> tuple[Observers | None, Observation]:
        """What calls the observers, ``None`` where there are none, and what runs the asynchronous ones."""
        observation = Observation(self.observers)
        if not self.observers:
            return None, observation
        return Observers([each.core for each in self.observers]), observation

    def make_pipeline(
        self,
        config: Config,
        binding: ProtocolBinding | None,
        make_tls_facts: MakeTLSFacts = no_tls_facts,
        *,
        has_tls: bool = False,
    ) -> Pipeline:
        """What serves the connections of an address: the handler that is bound to it, else HTTP, or what ALPN says."""
        if not has_tls:
            make_tls_facts = no_tls_facts
        by_alpn = {each.alpn: wire for each, wire in self.protocols.items() if each.alpn is not None}
        if binding is not None:
            return Pipeline(self.protocols[binding], by_alpn, make_tls_facts)
        return Pipeline(choose_default(config, has_tls), {**list_http(config), **by_alpn}, make_tls_facts)


def load_extensions(config: Config, log: Logger) -> Extensions:
    """Import all that ``config`` names.  Raises ``StartupFailed``, one line that names what cannot be used."""
    observers = load_observers(config.observers, config.app_dir, log)
    protocols = {binding: _load_protocol(binding, config.app_dir) for binding in config.protocols}
    return Extensions(tuple(observers), protocols)


def _load_protocol(binding: ProtocolBinding, app_dir: str) -> WireProtocol:
    name = name_object(binding.handler)
    handler = resolve(binding.handler, app_dir, "protocol handler")
    try:
        factory = HandlerFactory(name, handler)
    except ValueError as error:
        raise StartupFailed(f"protocol handler {error}") from error
    return WireProtocol(name, factory.open)
