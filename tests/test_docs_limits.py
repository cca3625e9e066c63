"""``docs/limits.md`` names constants that exist, and every bound that has no flag."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What the page's modules are parts of.
ROOMS = (ROOT / "fastserver", ROOT / "fastserver" / "_speedups")
#: ``module.CONSTANT``, or a pattern for several.
PLACE = re.compile(r"`([a-z][a-z0-9_.]*)\.([A-Z*][A-Z0-9_*]*)`")
PLACES = sorted(set(PLACE.findall((ROOT / "docs" / "limits.md").read_text("utf-8"))))
#: ``config.topics.bounds`` are settings, which have flags.
BOUNDS = sorted(path for room in ("_speedups", "protocol") for path in (ROOMS[0] / room).rglob("bounds.py"))


def list_constants(path: Path) -> set[str]:
    """The constants of a module, by its text: a compiled one may keep them to itself."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()}
    return found


@pytest.mark.parametrize(("module", "constant"), PLACES, ids=[".".join(place) for place in PLACES])
def test_a_place_exists(module: str, constant: str) -> None:
    (path,) = (path for room in ROOMS if (path := room / (module.replace(".", "/") + ".py")).is_file())
    assert any(fnmatch(name, constant) for name in list_constants(path))


@pytest.mark.parametrize("path", BOUNDS, ids=[str(path.relative_to(ROOMS[0])) for path in BOUNDS])
def test_every_bound_is_listed(path: Path) -> None:
    module = ".".join(path.relative_to(ROOMS[0]).with_suffix("").parts).removeprefix("_speedups.")
    patterns = [constant for name, constant in PLACES if name == module]
    assert [name for name in sorted(list_constants(path)) if not any(fnmatch(name, p) for p in patterns)] == []
