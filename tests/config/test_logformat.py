"""The access log's format: what passes can be rendered, with each atom's value of its kind."""

import pytest

from fastserver.config.logformat import COMBINED, NUMBERS, TEXTS, parse_format, split_field


@pytest.mark.parametrize(
    ("text", "template", "names"),
    [
        ("%(h)s", "%s", ("h",)),
        ("100%% %(s)d %(h)-15s", "100%% %d %-15s", ("s", "h")),
        ("%({X-Id}i)s %({etag}o)s %({HOME}e)s", "%s %s %s", ("{X-Id}i", "{etag}o", "{HOME}e")),
        ("plain", "plain", ()),
    ],
)
def test_a_format_is_a_template_and_its_atoms(text: str, template: str, names: tuple[str, ...]) -> None:
    assert parse_format(text) == (template, names)


def test_combined_is_a_name() -> None:
    assert parse_format("combined") == parse_format(COMBINED)


@pytest.mark.parametrize("name", sorted(NUMBERS | TEXTS))
def test_numbers_alone_are_rendered_as_numbers(name: str) -> None:
    assert parse_format(f"%({name})s") == ("%s", (name,))
    if name in NUMBERS:
        assert parse_format(f"%({name})d") == ("%d", (name,))
    else:
        with pytest.raises(ValueError, match="%d format"):
            parse_format(f"%({name})d")


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
