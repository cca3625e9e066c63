"""What the user has added to the server, imported: event observers and protocol handlers, each worker's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from logging import Logger

from fastserver._speedups.observers import Observers
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import Config
from fastserver.errors import StartupFailed
from fastserver.observe import LoadedObserver, Observation, load_observers
from fastserver.protocol.factory import HandlerFactory
from fastserver.reference import ImportFailed, import_reference, name_object
from fastserver.server.pipeline import HTTP1, Pipeline, WireProtocol


@dataclass(frozen=True, slots=True)
class Extensions:
    """``observers`` as they were given, ``protocols`` by their binding."""

    observers: tuple[LoadedObserver, ...] = ()
    protocols: Mapping[ProtocolBinding, WireProtocol] | None = None

    def observe(self, log: Logger) -> tuple[Observers | None, Observation]:
        """What calls the observers, ``None`` where there are none, and what runs the asynchronous ones."""
        observation = Observation(self.observers)
        if not self.observers:
            return None, observation
        return Observers([each.core for each in self.observers]), observation

    def make_pipeline(self, purpose: object, **facts: object) -> Pipeline:
        """What serves the connections of a listener of ``purpose``: a handler of its own, or HTTP; and ALPN's word."""
        protocols = self.protocols or {}
        by_alpn = {binding.alpn: wire for binding, wire in protocols.items() if binding.alpn is not None}
        default = protocols[purpose] if isinstance(purpose, ProtocolBinding) else HTTP1
        return Pipeline(default, by_alpn, **facts)  # type: ignore[arg-type]


def load_extensions(config: Config, log: Logger) -> Extensions:
    """Import all that ``config`` names.  Raises ``StartupFailed``, one line that names what cannot be used."""
    observers = load_observers(config.observers, config.app_dir, log)
    protocols = {binding: _load_protocol(binding, config.app_dir) for binding in config.protocols}
    return Extensions(tuple(observers), protocols)


def _load_protocol(binding: ProtocolBinding, app_dir: str) -> WireProtocol:
    name = name_object(binding.handler)
    handler = binding.handler
    try:
        if isinstance(handler, str):
            handler = import_reference(handler, app_dir)
        factory = HandlerFactory(name, handler)  # type: ignore[arg-type]
    except ImportFailed as failure:
        raise StartupFailed(f"protocol handler {name}: {failure}", failure.details) from failure.__cause__
    except ValueError as error:
        raise StartupFailed(f"protocol handler {error}") from error
    return WireProtocol(name, factory.open)
