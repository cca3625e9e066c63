"""Every line of the ASGI checklist that concerns HTTP and WebSockets has a test whose name says so: `test_h12_...`."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Base (B), HTTP scope, receive and send (H), disconnect (D), WebSockets (W), and the extensions (E) that are served.
LINES = [
    *(f"b{number}" for number in range(1, 8)),
    *(f"h{number}" for number in range(1, 21)),
    *(f"d{number}" for number in range(1, 4)),
    *(f"w{number}" for number in range(1, 10)),
    *(f"e{number}" for number in (1, 4, 5, 6, 8)),
]
#: Lines that only the exchange has a part in, whatever carries it.
ANY_VERSION = {f"b{number}" for number in range(2, 8)} | {"h8", "h14", "h15", "d2"}
_NAME = re.compile(r"(?<=_)[bhdew][1-9][0-9]?(?=_)")


@cache
def list_tests(part: str = "*") -> dict[str, list[str]]:
    """Tests of the exchanges by the lines that their names tell, or of one part of them."""
    found: dict[str, list[str]] = {}
    for path in sorted([*HERE.glob(f"test_http_{part}.py"), *HERE.glob(f"test_websocket_{part}.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for line in _NAME.findall(node.name):
                    found.setdefault(line, []).append(node.name)
    return found


@pytest.mark.parametrize("line", LINES)
def test_line_has_a_test(line: str) -> None:
    assert list_tests().get(line)


@pytest.mark.parametrize("line", [line for line in LINES if line not in ANY_VERSION])
def test_line_has_a_test_over_http3(line: str) -> None:
    assert list_tests("h3").get(line)


def test_no_test_names_an_unknown_line() -> None:
    assert set(list_tests()) <= set(LINES)
