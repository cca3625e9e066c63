"""Configuration in Python: a file that is run, or a module, whose names are settings, as with gunicorn.

Names that are no settings are the file's own affair.  It is run in the server's first process, anew for each reload;
what it imports from the application's directories is forgotten afterwards, so that workers import it for themselves.
"""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import ModuleType
from typing import Any, Final

from fastserver.config import rivals
from fastserver.config.aliases import LISTENERS, list_names
from fastserver.config.errors import ConfigError
from fastserver.config.model import SETTINGS
from fastserver.config.setting import Kind
from fastserver.config.sources.layer import Layer
from fastserver.config.sources.reading import read_bytes
from fastserver.config.topics.start import NOT_IN_FILES, START_NAMES

_MODULE: Final = "__config__"
#: Names that people give to variables of their own; in TOML they are settings.
_COMMON: Final = frozenset({"http", "static", "log", "metrics"})
_HOOK: Final = "is never called: server hooks are not supported; the application's lifespan or its import does the like"


@dataclass(frozen=True, slots=True)
class Site:
    """Where Python is run: the directory, that of the application, and variables beside those of the process."""

    directory: str = "."
    app_dir: str = "."
    variables: Mapping[str, str] = field(default_factory=dict)


def read_python(path: str, name: str, there: Site) -> Layer:
    """The settings among the names of the file at ``path``, which is run ``there``.

    ``ConfigError`` calls it ``name``; what it raises is told with its line.
    """
    source = read_bytes(path, name)
    module = ModuleType(_MODULE)
    module.__file__ = os.path.abspath(path)
    with _run(name, there):
        code = compile(source, module.__file__, "exec")
        sys.modules[_MODULE] = module  # as an import has it: dataclasses look there
        exec(code, module.__dict__)
    return select(vars(module), name)


def read_module(spec: str, there: Site) -> Layer:
    """The settings among the names of a module, or of an object in it (``package.module.Object``)."""
    place = f"python:{spec}"
    if not spec or any(not part.isidentifier() for part in spec.split(".")):
        raise ConfigError(place, "is no name of a module")
    with _run(place, there):
        found = _import(spec)
    if isinstance(found, Mapping):
        return select(found, place)
    return select({name: getattr(found, name) for name in dir(found)}, place)


def select(names: Mapping[str, Any], place: str) -> Layer:
    """The settings among ``names``, and warnings of hooks and of what is nearly a setting."""
    known = frozenset((*START_NAMES, *list_names(SETTINGS)))
    given: dict[str, Any] = {}
    warnings: list[str] = []
    for name, value in names.items():
        if not isinstance(name, str) or name.startswith("_") or isinstance(value, ModuleType):
            continue
        if name in rivals.HOOKS and callable(value):
            warnings.append(f"{place}: {name} {_HOOK}")
        elif name in known:
            if _is_meant(name, value, names):
                given[name] = value
        elif not callable(value):
            near = get_close_matches(name, known, n=1, cutoff=0.85)
            if near:
                warnings.append(f"{place}: {name} is no setting, and is passed over; did you mean {near[0]}?")
    return Layer(given, place=place, lenient=rivals.HYPERCORN, warnings=tuple(warnings))


def _is_meant(name: str, value: Any, names: Mapping[str, Any]) -> bool:
    """Whether ``name``, which a setting has, is that setting and no variable of the file's own."""
    key = START_NAMES.get(name)
    if key in NOT_IN_FILES or name in _COMMON or (name in LISTENERS and "bind" in names):
        return False
    if key == "app":
        return value is None or isinstance(value, str)
    if name == "env":
        return isinstance(value, (list, tuple))
    takes_objects = name in ("ssl_context", "ssl_context_factory", "logger_class") or any(
        fact.kind is Kind.OBJECTS and name in (setting, fact.singular) for setting, fact in SETTINGS.items()
    )
    return takes_objects or not callable(value)


@contextlib.contextmanager
def _run(place: str, there: Site) -> Iterator[None]:
    """Run the block ``there``, with the modules of both directories to import, and leave nothing behind.

    What it puts into the environment itself stays, as with gunicorn.
    """
    before, old_path, known = os.getcwd(), list(sys.path), frozenset(sys.modules)
    roots = (there.directory, os.path.join(there.directory, there.app_dir))
    old_variables = {name: os.environ.get(name) for name in there.variables}
    try:
        os.chdir(there.directory)
        os.environ.update(there.variables)
        sys.path[:0] = list(dict.fromkeys(map(os.path.abspath, (there.app_dir, "."))))
        importlib.invalidate_caches()
        yield
    except (Exception, SystemExit) as error:
        raise ConfigError(place, f"cannot be run: {_summarise(error)}") from error
    finally:
        os.chdir(before)
        sys.path[:] = old_path
        for name, value in old_variables.items():
            if os.environ.get(name) == there.variables[name]:
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        for name in [name for name in sys.modules if name not in known]:
            if name == _MODULE or any(_is_local(name, path) for path in roots):
                del sys.modules[name]


def _import(spec: str) -> Any:
    """The module ``spec``, or the object of that name in the module before its last dot."""
    try:
        return importlib.import_module(spec)
    except ModuleNotFoundError as error:
        parent, _, attribute = spec.rpartition(".")
        if not parent or error.name != spec:
            raise
        module = importlib.import_module(parent)
        if not hasattr(module, attribute):
            raise
        return getattr(module, attribute)


def _is_local(name: str, directory: str) -> bool:
    """Whether the module ``name`` is Python of the project in ``directory``: not installed, and not this server."""
    path = getattr(sys.modules[name], "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py") or name.partition(".")[0] == "fastserver":
        return False
    if any(part in ("site-packages", "dist-packages") for part in path.split(os.sep)):
        return False
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(directory), ""))


def _summarise(error: BaseException) -> str:
    """The error on one line, with the place where the file raised it."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({os.path.basename(error.filename or '')}, line {error.lineno})"
    own = (__file__, importlib.__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in own]
    where = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f': {text}' if text else ''}{where}"
