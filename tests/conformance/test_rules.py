"""Every rule of ``docs/threats.md`` has a test whose name says so, in each file that its line names.

The tests are called ``test_h1_<number>_...``, ``test_h2_...``, ``test_ws_...``, ``test_q_...`` and ``test_t_...``; one
may name two.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threats.md").read_text("utf-8")
#: | code | what it is | where it is held | tests |
_LINE = re.compile(r"^\| (H1|H2|WS|Q|T|FI)-(\d+) \| .* \| .* \| (.*) \|$", re.MULTILINE)
_CODE = re.compile(r"\b(H1|H2|WS|Q|T|FI)-(\d+)\b")
_NAME = re.compile(r"_(h1|h2|ws|q|t)_(\d+)(?=_)")

Rule = tuple[str, int]


def read_rules() -> dict[Rule, set[str]]:
    """The rules with the test files that each line names."""
    lines = _LINE.findall(TEXT)
    return {(group, int(number)): set(re.findall(r"`(.*?)`", files)) for group, number, files in lines}


def read_tests() -> dict[Rule, set[str]]:
    """The rules that test functions name, with their files."""
    found = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for group, number in _NAME.findall(node.name):
                    found[group.upper(), int(number)].add(path.relative_to(ROOT / "tests").as_posix())
    return found


RULES = read_rules()
TESTS = read_tests()
#: Tested by processes and machines that fail: several at once, and under names of their own.
NAMED = [rule for rule in RULES if rule[0] != "FI"]


@pytest.mark.parametrize("rule", NAMED, ids=[f"{group}-{number}" for group, number in NAMED])
def test_a_rule_has_its_tests(rule: Rule) -> None:
    assert TESTS[rule]
    assert RULES[rule] == TESTS[rule]


def test_no_test_names_a_rule_without_a_line() -> None:
    assert set(TESTS) <= set(RULES)


@pytest.mark.parametrize("group", ["H1", "H2", "WS", "Q", "T"])
def test_no_rule_is_left_out(group: str) -> None:
    numbers = [number for name, number in RULES if name == group]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("folder", ["fastserver", "tests"])
def test_every_code_has_a_line(folder: str) -> None:
    codes = {
        (group, int(number))
        for path in (ROOT / folder).rglob("*.p[yx]*")
        if path.suffix in (".py", ".pyx", ".pxd")
        for group, number in _CODE.findall(path.read_text("utf-8"))
    }
    assert codes
    assert codes <= set(RULES)


def test_the_modules_and_files_exist() -> None:
    rooms = (ROOT / "fastserver", ROOT / "fastserver" / "_speedups")
    for _, _, modules, files in re.findall(r"^\| (.*) \| (.*) \| (.*) \| (.*) \|$", TEXT, re.MULTILINE):
        for module in re.findall(r"`(.*?)`", modules):
            path = module.replace(".", "/")
            assert any((room / f"{path}.py").is_file() or (room / path).is_dir() for room in rooms), module
        for name in re.findall(r"`(.*?)`", files):
            assert (ROOT / "tests" / name).is_file()
