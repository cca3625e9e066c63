"""fastserver, a web server for ASGI applications.

``run`` serves until it is told to stop and is what the command line does; ``serve`` does the same inside a running
event loop; ``Server`` is the object to embed and to test with.  Observers hear of ``Connection``s, protocol handlers
answer on a ``HandlerConnection``.  The names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastserver.version import VERSION

if TYPE_CHECKING:
    from fastserver import events
    from fastserver._speedups.connection import LiveConnection as Connection
    from fastserver._speedups.contract import ClientDisconnected
    from fastserver.config.errors import ConfigError
    from fastserver.config.model import Config
    from fastserver.errors import StartupFailed
    from fastserver.processes.run import run, serve
    from fastserver.protocol.facade import HandlerConnection
    from fastserver.server.server import Server

__version__ = VERSION

__all__ = [
    "ClientDisconnected",
    "Config",
    "ConfigError",
    "Connection",
    "HandlerConnection",
    "Server",
    "StartupFailed",
    "__version__",
    "events",
    "run",
    "serve",
]

#: Where each name lives; what follows a colon is its name there.
_HOMES = {
    "ClientDisconnected": "fastserver._speedups.contract",
    "Config": "fastserver.config.model",
    "ConfigError": "fastserver.config.errors",
    "Connection": "fastserver._speedups.connection:LiveConnection",
    "HandlerConnection": "fastserver.protocol.facade",
    "Server": "fastserver.server.server",
    "StartupFailed": "fastserver.errors",
    "run": "fastserver.processes.run",
    "serve": "fastserver.processes.run",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "events":
        return import_module("fastserver.events")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    module, _, known_as = home.partition(":")
    value = globals()[name] = getattr(import_module(module), known_as or name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
