"""Both texts of each pointer module, and what compares them: the one that is active, and the Python one of its file."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from fastserver._speedups import datagrams, fieldlist, heads, is_compiled, kernels, logline, rendering
from fastserver._speedups.contract import Limits, Request, ResponseHead, WireError
from tests.fakes import DEFAULT_LIMITS


class Texts(NamedTuple):
    active: Any
    twin: Any


def read_texts(active: ModuleType) -> Texts:
    source = Path(str(active.__file__)).with_name(f"{active.__name__.rpartition('.')[2]}.py")
    spec = spec_from_file_location(f"{active.__name__}_twin", source)
    assert spec is not None
    assert spec.loader is not None
    twin = module_from_spec(spec)
    spec.loader.exec_module(twin)
    return Texts(active, twin)


KERNELS = read_texts(kernels)
HEADS = read_texts(heads)
RENDERING = read_texts(rendering)
FIELDLIST = read_texts(fieldlist)
DATAGRAMS = read_texts(datagrams)
LOGLINE = read_texts(logline)
needs_extension = pytest.mark.skipif(not is_compiled(), reason="the extensions are not built")


def make_limits(**limits: float) -> Limits:
    return Limits(**(DEFAULT_LIMITS | limits))


def list_facts(thing: object) -> dict[str, Any]:
    """Every public attribute, compiled or not."""
    return {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}


Outcome = tuple[Any, ...]


def try_call(function: Callable[..., Any], *arguments: Any) -> Outcome:
    """What a call comes to, so that two can be compared: its result as facts, or its error with what it says."""
    try:
        result = function(*arguments)
    except WireError as error:
        return "refused", error.status, error.reason
    except Exception as error:
        return type(error).__name__, str(error)
    return "result", list_facts(result) if isinstance(result, (Request, ResponseHead)) else result
