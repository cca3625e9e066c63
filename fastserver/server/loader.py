"""From ``module:attr`` to an application, and to the interface that it speaks.

A spec may begin with ``asgi:`` or ``wsgi:`` (hypercorn), name a file instead of a module (hypercorn), and end in a call
with literal arguments (gunicorn): ``wsgi:src/main.py:create("production")``.  ``reference`` tells of what cannot be
imported, ``interface`` of what an application is.
"""

from __future__ import annotations

import ast
import inspect
import os
from dataclasses import dataclass
from typing import Any, Final

from fastserver.errors import StartupFailed
from fastserver.reference import (
    ImportFailed,
    describe,
    find_attribute,
    format_error,
    import_module,
    is_dotted,
    summarise,
)
from fastserver.server.interface import WSGIApp, adapt
from fastserver.typing import App

_HELP: Final = "want module:attribute, for example main:app"
#: What an application may be called where the attribute that is named is missing, or none is named.
_NAMES: Final = ("app", "application", "asgi", "wsgi")
#: What may stand before module and attribute, and the interface that it means; "asgi" leaves the version open.
_PREFIXES: Final = {"asgi": "asgi", "wsgi": "wsgi"}


class AppLoadError(StartupFailed):
    """No application."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a text says: ``attribute`` is empty where none is named, ``arguments`` is ``None`` where nothing is called.

    ``module`` is a dotted name that is found in ``directory`` first, or on the import path where that is empty.
    """

    module: str
    attribute: str
    directory: str = ""
    interface: str = "auto"
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None


def load_app(spec: object, *, app_dir: str = ".", factory: bool = False, interface: str = "auto") -> App | WSGIApp:
    """The application that ``spec`` names, or ``spec`` itself where it is a callable.  Raises ``AppLoadError``.

    It is an ASGI 3 callable or a ``WSGIApp``.  ``app_dir`` goes to the front of ``sys.path``.  With ``factory`` the
    named object is called without arguments for the application.  Where ``interface`` is not ``auto`` any callable is
    taken unseen; it goes over the spec's own prefix.
    """
    name = spec if isinstance(spec, str) else getattr(spec, "__name__", type(spec).__name__)
    found: Any = spec
    if isinstance(spec, str):
        parsed = parse_spec(spec)
        interface = parsed.interface if interface == "auto" else interface
        found = _import(parsed, app_dir)
        if parsed.arguments is not None:
            found, factory = _call_factory(found, name, *parsed.arguments), False
    if factory:
        found = _call_factory(found, name, (), {})
    if not callable(found):
        raise AppLoadError(f"{name} is {describe(found)}, which is not callable")
    try:
        return adapt(found, interface)
    except ValueError as error:
        raise AppLoadError(f"{name} {error}") from None


def parse_spec(text: str) -> Spec:
    """What ``text`` says.  Raises ``AppLoadError``."""
    interface = "auto"
    spec = text
    prefix, _, rest = spec.partition(":")
    if ":" in rest.partition("(")[0]:
        if prefix not in _PREFIXES:
            raise AppLoadError(f"{text} has too many colons: {_HELP}")
        interface = _PREFIXES[prefix]
        spec = rest
    module, colon, attribute = spec.partition(":")
    if colon and not attribute:
        raise AppLoadError(f"{text!r} names no attribute: {_HELP}")
    directory = ""
    if module.endswith(".py") or "/" in module:
        directory, module = os.path.split(module.removesuffix(".py"))
        directory = directory or "."
    if not is_dotted(module):
        raise AppLoadError(f"{text!r} is no module name: {_HELP}")
    attribute, arguments = _parse_call(attribute, text)
    return Spec(module, attribute, directory, interface, arguments)


def _parse_call(attribute: str, text: str) -> tuple[str, tuple[tuple[Any, ...], dict[str, Any]] | None]:
    """The dotted name in ``attribute``, and the arguments behind it."""
    if not attribute or is_dotted(attribute):
        return attribute, None
    try:
        call = ast.parse(attribute.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not is_dotted(name := ast.unparse(call.func)):
            raise ValueError
        values = tuple(ast.literal_eval(value) for value in call.args)
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg is not None}
        if len(named) < len(call.keywords):
            raise ValueError
    except (SyntaxError, ValueError):
        raise AppLoadError(
            f"{text!r}: {attribute} is no attribute: want a name, or a call with literal arguments such as make('x')"
        ) from None
    return name, (values, named)


def _import(spec: Spec, app_dir: str) -> Any:
    directory = os.path.join(app_dir, spec.directory) if spec.directory else app_dir
    try:
        module = import_module(spec.module, directory)
        attribute = spec.attribute or next((name for name in _NAMES if hasattr(module, name)), _NAMES[0])
        return find_attribute(module, attribute, _NAMES)
    except ImportFailed as failure:
        raise AppLoadError(str(failure), failure.details) from failure.__cause__


def _call_factory(factory: Any, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{name} is {describe(factory)}, so it cannot be called as a factory")
    try:
        found = factory(*values, **named)
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"the factory {name} failed: {summarise(error)}", format_error(error)) from error
    if inspect.iscoroutine(found):
        found.close()
        raise AppLoadError(f"the factory {name} is a coroutine function: want a plain function that returns the app")
    return found
