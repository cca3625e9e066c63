"""The fixtures that run a test on both texts of a pointer module, or in both loops."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from tests._speedups.twin import DATAGRAMS, FIELDLIST, HEADS, KERNELS, RENDERING, Texts, needs_extension
from tests.site import LOOPS, run_in_loop

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


def list_params(texts: Texts) -> list[Any]:
    return [pytest.param(texts.active, id="compiled", marks=needs_extension), pytest.param(texts.twin, id="python")]


@pytest.fixture(params=list_params(KERNELS))
def kernels(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=list_params(HEADS))
def heads(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=list_params(RENDERING))
def rendering(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=list_params(FIELDLIST))
def fieldlist(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=list_params(DATAGRAMS))
def datagrams(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of its own, which must leave nothing behind."""
    return lambda main: run_in_loop(request.param, main)
