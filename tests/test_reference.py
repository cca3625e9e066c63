"""Importing what ``module:attr`` names; what the application's loader makes of it is tested with the loader."""

import functools
from pathlib import Path

import pytest

from fastserver.errors import StartupFailed
from fastserver.reference import ImportFailed, count_arguments, describe, import_reference, name_object, split_reference


def test_what_is_named_is_found(home: Path) -> None:
    (home / "referred").mkdir()
    (home / "referred" / "part.py").write_text("class A:\n    b = 7\n")
    assert split_reference("referred.part:A.b") == ("referred.part", "A.b")
    assert import_reference("referred.part:A.b", str(home)) == 7


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", "referred has no attribute 'x'", ""),
        ("import no_such_dependency", "cannot import referred: No module named 'no_such_dependency'", "line 1"),
        ("1 / 0", "cannot import referred: ZeroDivisionError: division by zero", "1 / 0"),
        ("import sys; sys.exit(3)", "cannot import referred: it called sys.exit(3)", "sys.exit(3)"),
        ("def __getattr__(name): raise KeyError(name)", "cannot read 'x' of referred: KeyError: 'x'", "__getattr__"),
    ],
)
def test_a_failure_is_one_line_and_the_users_own_traceback(home: Path, text: str, reason: str, line: str) -> None:
    (home / "referred.py").write_text(text + "\n")
    with pytest.raises(ImportFailed) as caught:
        import_reference("referred:x", str(home))
    assert str(caught.value) == reason
    assert line in caught.value.details
    assert "reference.py" not in caught.value.details
    assert isinstance(caught.value, StartupFailed)


def test_what_is_not_there_is_told(home: Path) -> None:
    with pytest.raises(ImportFailed, match=r"^no module named 'nowhere' in .* or on the Python path$"):
        import_reference("nowhere.at.all:x", str(home))
    with pytest.raises(ImportFailed, match=r"^app_dir .* is no directory$"):
        import_reference("m:x", str(home / "none"))


def test_arguments() -> None:
    assert count_arguments(lambda a, b: None, 3) == 2
    assert count_arguments(lambda a, b, c, d, e=1: None, 3) == 4
    assert [count_arguments(call, 3) for call in (lambda *a: None, lambda a, b, c=1: None, print)] == [None] * 3


def test_descriptions() -> None:
    assert [describe(found) for found in (None, 1, "")] == ["None", "an int", "a str"]


class Named:
    def method(self, *facts: object) -> None: ...


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("pkg.m:A.b", "pkg.m:A.b"),
        (Named.method, f"{__name__}:Named.method"),
        (Named, f"{__name__}:Named"),
        (Named(), f"{__name__}:Named"),
        (Named().method, f"{__name__}:Named.method"),
        (functools.partial(functools.partial(print, 1), 2), "builtins:print"),
        (print, "builtins:print"),
        ([].append, "?:list.append"),
    ],
)
def test_names(item: object, name: str) -> None:
    assert name_object(item) == name
