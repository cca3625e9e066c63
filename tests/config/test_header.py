"""Configured response headers: nothing that could break or frame a response gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver.config.header import FRAMING, parse_header


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-A: b", ("X-A", "b")),
        ("X-A:b", ("X-A", "b")),
        ("X-A: \t b c\t ", ("X-A", "b c")),
        ("X-A:", ("X-A", "")),
        ("X-A: a:b", ("X-A", "a:b")),
        ("Server: mine", ("Server", "mine")),
        ("X-A: caf\xe9", ("X-A", "caf\xe9")),
    ],
)
def test_parse_header(text: str, pair: tuple[str, str]) -> None:
    assert parse_header(text) == pair


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no colon"),
        ("X-A", "no colon"),
        (": b", "not a header name"),
        ("X A: b", "not a header name"),
        ("X-A : b", "not a header name"),
        ("X-\xc4: b", "not a header name"),
        ("X-A: b\r\nX-B: c", "no header may have"),
        ("X-A: b\n", "no header may have"),
        ("X-A: b\0", "no header may have"),
        ("X-A: \u20ac", "no header may have"),
        *((f"{name.title()}: x", "the server itself") for name in sorted(FRAMING)),
    ],
)
def test_parse_header_refuses(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_header(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_passes_is_one_latin1_line(name: str, value: str) -> None:
    try:
        parsed_name, parsed_value = parse_header(f"{name}:{value}")
    except ValueError:
        return
    line = f"{parsed_name}: {parsed_value}".encode("latin-1")
    assert not {0, 10, 13} & set(line)
    assert b" " not in parsed_name.encode("ascii")
