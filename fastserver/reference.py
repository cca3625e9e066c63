"""What a text of the form ``module:attr`` stands for: an object of the user's own code.

A wrong name is told in one line.  An exception out of the user's module is told with the user's traceback and without
ours.  Nothing here knows what the object is for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType
from typing import Any, Final

from fastserver.errors import StartupFailed


class ImportFailed(StartupFailed):
    """The object that a text names cannot be had."""


def split_reference(text: str) -> tuple[str, str]:
    """``(module, attribute)`` of ``module:attr``; both may have dots.  ``ValueError`` says what is wrong."""
    module, colon, attribute = text.partition(":")
    if not colon:
        raise ValueError("there is no colon")
    if not is_dotted(module):
        raise ValueError("what stands before the colon is no module name")
    if not is_dotted(attribute):
        raise ValueError("what stands after the colon is no attribute name")
    return module, attribute


def is_dotted(text: str) -> bool:
    """Whether ``text`` is a name, or several with dots between."""
    return all(part.isidentifier() for part in text.split("."))


def import_reference(text: str, app_dir: str) -> Any:
    """The object that ``text`` (checked by ``split_reference``) names.  Raises ``ImportFailed``."""
    module, attribute = split_reference(text)
    return find_attribute(import_module(module, app_dir), attribute)


def resolve(item: object, app_dir: str, kind: str) -> Any:
    """``item``, or the object that it names where it is a text.

    Raises ``ImportFailed``, whose line begins with ``kind`` and the text.
    """
    if not isinstance(item, str):
        return item
    try:
        return import_reference(item, app_dir)
    except ImportFailed as failure:
        raise ImportFailed(f"{kind} {item}: {failure}", failure.details) from failure.__cause__


def import_module(name: str, app_dir: str) -> ModuleType:
    """The module ``name``, with ``app_dir`` at the front of ``sys.path``.  Raises ``ImportFailed``."""
    directory = os.path.abspath(app_dir)
    if not os.path.isdir(directory):
        raise ImportFailed(f"app_dir {app_dir} is no directory")
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise ImportFailed(f"no module named {missing!r} in {directory} or on the Python path") from None
        raise ImportFailed(f"cannot import {name}: {error}", format_error(error)) from error
    except SystemExit as error:
        raise ImportFailed(f"cannot import {name}: it called sys.exit({error.code!r})", format_error(error)) from error
    except Exception as error:
        raise ImportFailed(f"cannot import {name}: {summarise(error)}", format_error(error)) from error


def find_attribute(module: ModuleType, path: str, hints: Sequence[str] = ()) -> Any:
    """What ``path``, a dotted name, is in ``module``.  Raises ``ImportFailed``, which offers one of ``hints``."""
    found: Any = module
    where = module.__name__
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [each for each in hints if found is module and hasattr(module, each)]
            hint = f"; it has {names[0]!r}" if names else ""
            raise ImportFailed(f"{where} has no attribute {part!r}{hint}") from None
        except Exception as error:  # a module's own __getattr__
            raise ImportFailed(f"cannot read {part!r} of {where}: {summarise(error)}", format_error(error)) from error
        where = f"{where}.{part}"
    return found


def name_object(item: object) -> str:
    """What logs and metrics call ``item``: its text, or module and name of the callable or of its class."""
    if isinstance(item, str):
        return item
    item = unwrap(item)
    named = item if hasattr(item, "__qualname__") else type(item)
    return f"{getattr(named, '__module__', None) or '?'}:{named.__qualname__}"


def unwrap(call: Any) -> Any:
    """What a ``functools.partial``, or a partial of one, calls; anything else as it is."""
    while isinstance(call, functools.partial):
        call = call.func
    return call


def count_arguments(call: Callable[..., object], given: int) -> int | None:
    """How many positional arguments a call must have; ``None`` where ``given`` of them fit or nobody knows."""
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*[None] * given)
    except TypeError:
        pass
    else:
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds and each.default is each.empty for each in signature.parameters.values())


def describe(found: object) -> str:
    """What kind of thing ``found`` is, with its article."""
    kind = type(found).__name__
    return "None" if found is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def summarise(error: BaseException) -> str:
    """The exception in one line."""
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


_PACKAGE: Final = os.path.dirname(os.path.abspath(__file__))


def _is_ours(filename: str) -> bool:
    return (
        filename.startswith(_PACKAGE + os.sep)
        or filename.startswith("<frozen importlib")
        or filename == importlib.__file__
    )
