"""Both builds of the HPACK room in one process: the one that is installed, and always its plain texts."""

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from fastserver._speedups import hpack, is_compiled

PLAIN = "fastserver._speedups.plain_hpack"
#: Modules that are never compiled are shared, so both builds raise the same errors.
SHARED = ("errors", "tables")
BUILT = ("strings", "table", "decoder", "encoder")


class Room(NamedTuple):
    strings: Any
    table: Any
    decoder: Any
    encoder: Any


def load_plain() -> Room:
    directory = Path(str(hpack.__file__)).parent
    sys.modules[PLAIN] = package = ModuleType(PLAIN)
    package.__path__ = []
    for name in SHARED:
        sys.modules[f"{PLAIN}.{name}"] = importlib.import_module(f"{hpack.__name__}.{name}")
    modules = []
    for name in BUILT:
        spec = spec_from_file_location(f"{PLAIN}.{name}", directory / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[spec.name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    return Room(*modules)


ACTIVE_ROOM = Room(*(importlib.import_module(f"{hpack.__name__}.{name}") for name in BUILT))
PLAIN_ROOM = load_plain()
needs_extension = pytest.mark.skipif(not is_compiled(), reason="the extensions are not built")
ROOMS = [pytest.param(ACTIVE_ROOM, id="compiled", marks=needs_extension), pytest.param(PLAIN_ROOM, id="python")]
