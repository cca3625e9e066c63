"""Durations, sizes and the other scalars of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver.config import units


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (5.0, 5.0),
        (0, 0.0),
        ("5", 5.0),
        ("5.0", 5.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("500ms", 0.5),
        ("1MS", 0.001),
        ("5s", 5.0),
        ("2m", 120.0),
        ("1.5m", 90.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        (" 7 ", 7.0),
    ],
)
def test_parse_duration(value: object, seconds: float) -> None:
    parsed = units.parse_duration(value)
    assert parsed == seconds
    assert isinstance(parsed, float)


@pytest.mark.parametrize(
    "value", ["", " ", "x", "-1", "+1", "1e3", "1_0", "5 s", "nan", "inf", "5sm", ".", "٣", True, None, -0.1, b"5"]
)
def test_parse_duration_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_duration(value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_parse_duration_refuses_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (5.0, "5"), (2.5, "2.5"), (0.0, "0"), (0.0005, "0.0005")]
)
def test_render_duration(seconds: float, text: str) -> None:
    assert units.render_duration(seconds) == text


@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_render_duration_reads_back(seconds: float) -> None:
    assert units.parse_duration(units.render_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (8190, 8190),
        ("8190", 8190),
        ("64k", 65536),
        ("64K", 65536),
        ("64kb", 65536),
        ("16m", 16 << 20),
        ("1g", 1 << 30),
        ("1GB", 1 << 30),
    ],
)
def test_parse_size(value: object, size: int) -> None:
    assert units.parse_size(value) == size


@pytest.mark.parametrize("value", ["", "k", "-1", "1.5m", "1t", "1 k", "0x10", -1, True, 1.0, None])
def test_parse_size_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_size(value)


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (8190, "8190"), (1 << 10, "1k"), (1 << 30, "1g"), (1500, "1500")])
def test_render_size(size: int, text: str) -> None:
    assert units.render_size(size) == text


@given(st.integers(0, 1 << 60))
def test_render_size_reads_back(size: int) -> None:
    assert units.parse_size(units.render_size(size)) == size


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("3", 3), ("-3", -3), ("007", 7)])
def test_parse_whole(value: object, number: int) -> None:
    assert units.parse_whole(value) == number


@pytest.mark.parametrize("value", ["", "1.0", "+1", "1_000", True, 1.0, None, "²"])
def test_parse_whole_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_whole(value)


@pytest.mark.parametrize("value", [True, "1", "true", "YES", "on"])
def test_parse_switch_true(value: object) -> None:
    assert units.parse_switch(value) is True


@pytest.mark.parametrize("value", [False, "0", "False", "no", "OFF"])
def test_parse_switch_false(value: object) -> None:
    assert units.parse_switch(value) is False


@pytest.mark.parametrize("value", ["", "2", "maybe", 1, 0, None])
def test_parse_switch_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_switch(value)


@pytest.mark.parametrize(
    ("value", "mode"), [("660", 0o660), ("0660", 0o660), ("0o660", 0o660), (0o660, 0o660), ("0", 0)]
)
def test_parse_octal(value: object, mode: int) -> None:
    assert units.parse_octal(value) == mode


@pytest.mark.parametrize("value", ["", "8", "1000", "-1", "rw", 0o1000, -1, True, None])
def test_parse_octal_refuses(value: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_octal(value)
