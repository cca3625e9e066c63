"""Files of environment variables: what three other readers share, and a line for all else."""

from pathlib import Path

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.sources.dotenv import parse_assignments, parse_env_file, read_env_file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# a\n\n  # b\n", {}),
        ("A=1", {"A": "1"}),
        ("export A=1\nB = 2 ", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=  # nothing", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=a b#c # d", {"A": "a b#c"}),
        ("A='a # b' # c", {"A": "a # b"}),
        ("A='$B \\n'", {"A": "$B \\n"}),
        (r'A="a\n\t\"\\\$B" # c', {"A": 'a\n\t"\\$B'}),
        (r'A="\d"', {"A": r"\d"}),
        ("A=$B ${C}", {"A": "$B ${C}"}),
        ("URL=postgres://u:p@h/d?a=b", {"URL": "postgres://u:p@h/d?a=b"}),
        ("_a1=x", {"_a1": "x"}),
        ("A=ä", {"A": "ä"}),
    ],
)
def test_lines(text: str, found: dict[str, str]) -> None:
    assert parse_env_file(text, "f") == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nB", "f, line 2: is not NAME=value"),
        ("=1", "f, line 1: is not NAME=value"),
        ("1A=1", "f, line 1: is not NAME=value"),
        ("A-B=1", "f, line 1: is not NAME=value"),
        ("export A", "f, line 1: is not NAME=value"),
        ("A='x", "f, line 1: A has a quote that does not end, or text after it"),
        ('A="x\nB=1"', "f, line 1: A has a quote that does not end, or text after it"),
        ('\n\nA="x" y', "f, line 3: A has a quote that does not end, or text after it"),
        (r'A="x\"', "f, line 1: A has a quote that does not end, or text after it"),
        ("A=x\0", "f, line 1: A holds a null character"),
    ],
)
def test_lines_that_are_refused(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_env_file(text, "f")
    assert str(caught.value) == line


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\nB=2\r\n")
    assert read_env_file(str(path), ".env") == {"A": "1", "B": "2"}


def test_assignments() -> None:
    assert parse_assignments(("A=1", "B=", "C=a=b", "A=2"), "-e") == {"A": "2", "B": "", "C": "a=b"}
    for item in ("A", "=1", "1=2", "tcp:port=80", "A=\0"):
        with pytest.raises(ConfigError, match=r"^-e: .* is no variable: want NAME=value$"):
            parse_assignments((item,), "-e")
