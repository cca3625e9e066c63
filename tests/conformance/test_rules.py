"""Every rule of the HTTP/1 threat list has a test whose name says so: `test_h1_<number>_...`."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RULES = range(1, 44)
#: Parts of a rule that another module keeps, and where that part is tested.
ELSEWHERE = {
    30: "the abort of a peer that takes nothing for 30 seconds is the transport's (TCPConnection)",
    38: "WSGI drops names with an underscore and Proxy where the WSGI bridge builds its environment",
}
_NAME = re.compile(r"test_h1_([0-9]{2})_[a-z]")


@cache
def list_tests() -> list[tuple[str, int]]:
    """Test functions of this folder with the rule that each names."""
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                match = _NAME.match(node.name)
                if match:
                    found.append((node.name, int(match[1])))
    return found


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_a_test(rule: int) -> None:
    assert [name for name, number in list_tests() if number == rule]


def test_no_test_names_an_unknown_rule() -> None:
    assert {number for _, number in list_tests()} <= set(RULES)


def test_exemptions_name_rules() -> None:
    assert set(ELSEWHERE) <= set(RULES)
