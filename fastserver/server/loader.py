"""From ``module:attr`` to an ASGI 3 callable.

A wrong name is told in one line.  An exception out of the user's module is told with the user's traceback and without
ours.  An application of another interface is recognised by its signature and refused by name.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any, Final

from fastserver.errors import StartupFailed
from fastserver.typing import App

_HELP: Final = "want module:attribute, for example main:app"


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
        module_name, attribute = split_spec(spec)
        factory = factory or attribute.endswith("()")
        found = _get_attribute(_import(module_name, app_dir), attribute.removesuffix("()"))
    if factory:
        found = _call_factory(found, name)
    if not callable(found):
        raise AppLoadError(f"{name} is {_describe(found)}, which is not callable")
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
    if not all(part.isidentifier() for part in module.split(".")):
        raise AppLoadError(f"{spec!r} is no module name: {_HELP}")
    return module, attribute or "app"


def _import(name: str, app_dir: str) -> ModuleType:
    directory = os.path.abspath(app_dir)
    if not os.path.isdir(directory):
        raise AppLoadError(f"app_dir {app_dir} is no directory")
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise AppLoadError(f"no module named {missing!r} in {directory} or on the Python path") from None
        raise AppLoadError(f"cannot import {name}: {error}", format_error(error)) from error
    except SystemExit as error:
        reason = f"cannot import {name}: it called sys.exit({error.code!r})"
        raise AppLoadError(reason, format_error(error)) from error
    except Exception as error:
        raise AppLoadError(f"cannot import {name}: {_summarise(error)}", format_error(error)) from error


def _get_attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    where = module.__name__
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [each for each in ("app", "application", "asgi") if found is module and hasattr(module, each)]
            hint = f"; it has {names[0]!r}" if names else ""
            raise AppLoadError(f"{where} has no attribute {part!r}{hint}") from None
        where = f"{where}.{part}"
    return found


def _call_factory(factory: Any, name: str) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{name} is {_describe(factory)}, so it cannot be called as a factory")
    try:
        found = factory()
    except (Exception, SystemExit) as error:
        raise AppLoadError(f"the factory {name} failed: {_summarise(error)}", format_error(error)) from error
    if inspect.iscoroutine(found):
        found.close()
        raise AppLoadError(f"the factory {name} is a coroutine function: want a plain function that returns the app")
    return found


def _refuse_other_interfaces(app: Any, name: str) -> None:
    """Tell an application of another interface by the arguments that it wants; what cannot be told is served."""
    count = _count_arguments(app)
    if count is None or count == 3:
        return
    if count == 0:
        raise AppLoadError(f"{name} takes no arguments: if it makes the application, add --factory")
    if count == 1:
        raise AppLoadError(f"{name} is an ASGI 2 application (one argument): only ASGI 3 is supported")
    if count == 2:
        raise AppLoadError(f"{name} is a WSGI application (two arguments): WSGI is not supported yet")
    raise AppLoadError(f"{name} takes {count} arguments: an ASGI application takes scope, receive and send")


def _count_arguments(app: Any) -> int | None:
    """How many positional arguments a call of ``app`` must have; ``None`` where three fit or nobody knows."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(None, None, None)
    except TypeError:
        pass
    else:
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds and each.default is each.empty for each in signature.parameters.values())


def _describe(found: Any) -> str:
    kind = type(found).__name__
    return "None" if found is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _summarise(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def format_error(error: BaseException) -> str:
    """The traceback of ``error`` without the frames of this package and of the import machinery above the user's."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None and isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(type(error), error))
    return "".join(traceback.format_exception(type(error), error, frames))


_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _is_ours(filename: str) -> bool:
    return (
        filename.startswith(_PACKAGE + os.sep)
        or filename.startswith("<frozen importlib")
        or filename == importlib.__file__
    )
