"""The access log's format: what passes can be rendered, with each atom's value of its kind."""

import pytest

from fastserver.config.logformat import (
    COMBINED,
    COMMON,
    FLOATS,
    INTEGERS,
    TEXTS,
    TIMED,
    Atom,
    parse_format,
    split_field,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("%(h)s", (Atom("h", "s"),)),
        ("100%% %(s)d %(h)-15s", ("100", "%", " ", Atom("s", "d"), " ", Atom("h", "-15s"))),
        (
            "%({X-Id}i)s%({etag}o)s%({HOME}e)s",
            (Atom("{X-Id}i", "s"), Atom("{etag}o", "s"), Atom("{HOME}e", "s")),
        ),
        ("[%(dt_ms).3f]", ("[", Atom("dt_ms", ".3f"), "]")),
        ("plain", ("plain",)),
    ],
)
def test_a_format_is_texts_and_atoms(text: str, parts: tuple[str | Atom, ...]) -> None:
    assert parse_format(text) == parts


def test_common_and_combined_are_names() -> None:
    assert parse_format("common") == parse_format(COMMON)
    assert parse_format("combined") == parse_format(COMBINED)
    assert COMBINED.startswith(COMMON)
    assert TIMED.startswith(COMBINED)


@pytest.mark.parametrize("name", sorted(INTEGERS | FLOATS | TEXTS))
def test_numbers_alone_are_rendered_as_numbers(name: str) -> None:
    assert parse_format(f"%({name})s") == (Atom(name, "s"),)
    if name in TEXTS:
        with pytest.raises(ValueError, match="%d format"):
            parse_format(f"%({name})d")
    else:
        assert parse_format(f"%({name})d") == (Atom(name, "d"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing would be logged"),
        ("%(x)s", r"there is no atom %\(x\)s"),
        ("%(hh)s", r"there is no atom %\(hh\)s"),
        ("%({x}z)s", r"there is no atom %\({x}z\)s"),
        ("100%", "a per cent sign begins no atom"),
        ("%s", "a per cent sign begins no atom"),
        ("%(h)", "a per cent sign begins no atom"),
        ("%(h)y", "unsupported format character"),
    ],
)
def test_what_cannot_be_rendered_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_format(text)


def test_an_atom_with_a_field() -> None:
    assert split_field("{x-id}i") == ("x-id", "i")
    assert split_field("h") is None
