"""What one setting makes of a value, by kind."""

from pathlib import Path, PurePosixPath

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.setting import MAXIMUM, Kind, Setting, flags_of, quote


def make(kind: Kind, **facts: object) -> Setting:
    return Setting(kind=kind, group="group", help="Help.", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Kind.INT, Kind.SIZE, Kind.DURATION])
def test_number_bounds(kind: Kind) -> None:
    fact = make(kind, minimum=2, maximum=9)
    assert [fact.coerce("key", value) for value in (2, "9")] == [2, 9]
    for value in (1, 10, "1", "10"):
        with pytest.raises(ConfigError, match=r"^key: '?\d+'? is not allowed: want .*, 2 or more and at most 9$"):
            fact.coerce("key", value)


def test_exclusive_bound() -> None:
    fact = make(Kind.DURATION, exclusive=True)
    assert fact.coerce("key", "1ms") == 0.001
    with pytest.raises(ConfigError, match=r"above 0$"):
        fact.coerce("key", 0)


def test_numbers_fit_64_bits() -> None:
    assert make(Kind.SIZE).coerce("key", MAXIMUM) == MAXIMUM
    with pytest.raises(ConfigError):
        make(Kind.SIZE).coerce("key", MAXIMUM + 1)


def test_word_beside_a_number() -> None:
    fact = make(Kind.INT, words=("auto",))
    assert fact.coerce("key", "AUTO") == "auto"
    with pytest.raises(ConfigError, match=r'want a whole number, 0 or more, or "auto"$'):
        fact.coerce("key", "car")


def test_choice() -> None:
    fact = make(Kind.CHOICE, choices=("one", "two"), spellings={"1": "one", "first": "one"}, planned=("three",))
    assert [fact.coerce("key", value) for value in ("one", "TWO", "First", 1)] == ["one", "two", "one", "one"]
    with pytest.raises(ConfigError, match=r"^key: 'Three' is not supported yet: want one of one, two$"):
        fact.coerce("key", "Three")
    for value in ("four", True, None, ["one"]):
        with pytest.raises(ConfigError, match=r"is not allowed: want one of one, two$"):
            fact.coerce("key", value)


def test_path() -> None:
    fact = make(Kind.PATH)
    assert fact.coerce("key", Path("a", "b")) == str(Path("a", "b"))
    assert fact.coerce("key", PurePosixPath("/a")) == "/a"
    for value in ("", "a\0b", 3, b"a"):
        with pytest.raises(ConfigError, match=r"want a path$"):
            fact.coerce("key", value)


def test_text_is_one_line() -> None:
    fact = make(Kind.TEXT)
    assert fact.coerce("key", "a b") == "a b"
    for value in ("a\nb", "a\rb", "a\0b", 3):
        with pytest.raises(ConfigError, match=r"want text without line breaks$"):
            fact.coerce("key", value)


def test_repeat() -> None:
    fact = make(Kind.REPEAT)
    assert fact.coerce("key", "a,b") == ("a,b",)
    assert fact.coerce("key", ["a", "b"]) == ("a", "b")
    assert fact.coerce("key", (part for part in "ab")) == ("a", "b")
    for value in (3, b"a", {"a": "b"}, ["a", 3]):
        with pytest.raises(ConfigError, match=r"want text, or a list of texts$"):
            fact.coerce("key", value)


def test_objects() -> None:
    fact = make(Kind.OBJECTS, metavar="ITEM")
    assert fact.coerce("key", "a,b") == ("a,b",)
    assert fact.coerce("key", print) == (print,)
    assert fact.coerce("key", ["a", dict, 3]) == ("a", dict, 3)
    assert fact.coerce("key", {"a": dict}) == (("a", dict),)
    for value in (3, b"a", None):
        with pytest.raises(ConfigError, match=r"want ITEM, an object in its place, or a list of these$"):
            fact.coerce("key", value)


def test_the_flag_of_a_list_is_its_singular() -> None:
    assert flags_of("things", make(Kind.OBJECTS, singular="one_thing")) == ("--one-thing",)
    assert flags_of("things", make(Kind.OBJECTS, short="-t")) == ("-t", "--things")
    assert [make(kind).repeats for kind in (Kind.OBJECTS, Kind.REPEAT, Kind.TEXT)] == [True, True, False]


def test_none() -> None:
    assert make(Kind.SIZE, optional=True).coerce("key", None) is None
    with pytest.raises(ConfigError, match=r"^key: None is not allowed: want a size"):
        make(Kind.SIZE).coerce("key", None)


def test_secret_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        make(Kind.TEXT, secret=True).coerce("key", "hunter2\n")
    assert str(caught.value) == "key: this value is not allowed: want text without line breaks"


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.DURATION, 0.5, "500ms"),
        (Kind.SIZE, 65536, "64k"),
        (Kind.BOOL, True, "yes"),
        (Kind.BOOL, False, "no"),
        (Kind.OCTAL, 0o660, "660"),
        (Kind.INT, 0, "0"),
        (Kind.REPEAT, ("a", "b"), "a, b"),
        (Kind.REPEAT, (), ""),
        (Kind.OBJECTS, ("m:a", 3), "m:a, 3"),
        (Kind.PATH, None, ""),
    ],
)
def test_render(kind: Kind, value: object, text: str) -> None:
    assert make(kind).render(value) == text


def test_quote_is_short_and_one_line() -> None:
    assert quote("a\nb") == r"'a\nb'"
    assert len(quote("x" * 500)) == 80
