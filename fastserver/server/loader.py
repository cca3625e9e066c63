"""From ``module:attr`` to an ASGI 3 callable.

An application of another interface is recognised by its signature and refused by name; ``reference`` tells of what
cannot be imported.
"""

from __future__ import annotations

import inspect
import os
from typing import Any, Final

from fastserver.errors import StartupFailed
from fastserver.reference import (
    ImportFailed,
    count_arguments,
    describe,
    find_attribute,
    format_error,
    import_module,
    is_dotted,
    summarise,
)
from fastserver.typing import App

_HELP: Final = "want module:attribute, for example main:app"
#: What an application may be called where the attribute that is named is missing.
_NAMES: Final = ("app", "application", "asgi")


class AppLoadError(StartupFailed):
    """No application."""


def load_app(spec: object, *, app_dir: str = ".", factory: bool = False, interface: str = "auto") -> App:
    """The application that ``spec`` names, or ``spec`` itself where it is a callable.  Raises ``AppLoadError``.

    ``app_dir`` goes to the front of ``sys.path``.  With ``factory`` (or a spec that ends in ``()``) the named object is
    called without arguments for the application.  ``interface="asgi3"`` takes any callable unseen.
    """
    name = spec if isinstance(spec, str) else getattr(spec, "__name__", type(spec).__name__)
    found: Any = spec
    if isinstance(spec, str):
        module, attribute = split_spec(spec)
        factory = factory or attribute.endswith("()")
        found = _import(module, attribute.removesuffix("()"), app_dir)
    if factory:
        found = _call_factory(found, name)
    if not callable(found):
        raise AppLoadError(f"{name} is {describe(found)}, which is not callable")
    if interface == "auto":
        _refuse_other_interfaces(found, name)
    return found  # type: ignore[no-any-return]


def split_spec(spec: str) -> tuple[str, str]:
    """``(module, attribute)`` of a spec; the attribute is ``app`` where none is named.  Raises ``AppLoadError``."""
    prefix, colon, rest = spec.partition(":")
    if colon and ":" in rest:
        if prefix == "wsgi":
            raise AppLoadError(f"{spec}: WSGI applications are not supported yet")
        if prefix != "asgi":
            raise AppLoadError(f"{spec} has too many colons: {_HELP}")
        spec = rest
    module, colon, attribute = spec.partition(":")
    if colon and not attribute:
        raise AppLoadError(f"{spec!r} names no attribute: {_HELP}")
    if module.endswith(".py") or "/" in module:
        want = f"{os.path.basename(module).removesuffix('.py')}:{attribute or 'app'}"
        raise AppLoadError(f"{spec} is a path: want a module, {want}, with --app-dir {os.path.dirname(module) or '.'}")
    if not is_dotted(module):
        raise AppLoadError(f"{spec!r} is no module name: {_HELP}")
    return module, attribute or "app"


def _import(module: str, attribute: str, app_dir: str) -> Any:
    try:
        return find_attribute(import_module(module, app_dir), attribute, _NAMES)
    except ImportFailed as failure:
        raise AppLoadError(str(failure), failure.details) from failure.__cause__


def _call_factory(factory: Any, name: str) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{name} is {describe(factory)}, so it cannot be called as a factory")
    try:
        found = factory()
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"the factory {name} failed: {summarise(error)}", format_error(error)) from error
    if inspect.iscoroutine(found):
        found.close()
        raise AppLoadError(f"the factory {name} is a coroutine function: want a plain function that returns the app")
    return found


def _refuse_other_interfaces(app: Any, name: str) -> None:
    """Tell an application of another interface by the arguments that it wants; what cannot be told is served."""
    count = count_arguments(app, 3)
    if count is None or count == 3:
        return
    if count == 0:
        raise AppLoadError(f"{name} takes no arguments: if it makes the application, add --factory")
    if count == 1:
        raise AppLoadError(f"{name} is an ASGI 2 application (one argument): only ASGI 3 is supported")
    if count == 2:
        raise AppLoadError(f"{name} is a WSGI application (two arguments): WSGI is not supported yet")
    raise AppLoadError(f"{name} takes {count} arguments: an ASGI application takes scope, receive and send")
