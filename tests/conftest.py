"""Fixtures that every test may use, and what every test is held to."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.fakes", "tests.responses", "tests.conformance.cases")
pytest.register_assert_rewrite("tests.conformance.h2cases", "tests.conformance.h2attack")
pytest.register_assert_rewrite("tests.conformance.h3cases", "tests.h3wire")

from tests.fakes import App, Wire  # noqa: E402  (after the assert rewriting that it is subject to)

# A run on the project's own machines must not depend on luck; a developer's run explores.
settings.register_profile("default", deadline=None, database=None, print_blob=False)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory for modules; what was imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def open_wire() -> Iterator[Callable[..., Wire]]:
    """Opens wires as `Wire(app, **limits)` does; afterwards each is hung up and checked for what it leaves behind."""
    wires: list[Wire] = []

    def make(app: App, **limits: float) -> Wire:
        wires.append(Wire(app, **limits))
        return wires[-1]

    yield make
    for wire in wires:
        wire.hang_up()
