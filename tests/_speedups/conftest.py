"""The fixture that runs a test on both texts of `kernels`."""

from typing import Any

import pytest

from tests._speedups.twin import ACTIVE, TWIN, needs_extension


@pytest.fixture(params=[pytest.param(ACTIVE, id="compiled", marks=needs_extension), pytest.param(TWIN, id="python")])
def kernels(request: pytest.FixtureRequest) -> Any:
    return request.param
