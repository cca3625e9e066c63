"""The fixtures that run a test on both texts of a pointer module."""

from typing import Any

import pytest

from tests._speedups.twin import HEADS, KERNELS, RENDERING, Texts, needs_extension


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
