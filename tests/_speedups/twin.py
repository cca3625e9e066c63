"""Both texts of `kernels`, and what compares them: the one that is active, and the Python one read from its file."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastserver._speedups import __file__ as package_file
from fastserver._speedups import kernels
from fastserver._speedups.contract import Limits, Request, ResponseHead, WireError
from tests.fakes import DEFAULT_LIMITS


def load_twin() -> ModuleType:
    spec = spec_from_file_location("fastserver._speedups.kernels_twin", Path(package_file).with_name("kernels.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ACTIVE: Any = kernels
TWIN: Any = load_twin()
IS_COMPILED = not str(ACTIVE.__file__).endswith(".py")
needs_extension = pytest.mark.skipif(not IS_COMPILED, reason="the extension is not built")


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
