"""The worker's clock, moved by hand."""

import email.utils
import locale

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.clock import Clock, format_http_date

LAST_S = 253_402_300_799  # 9999-12-31 23:59:59 UTC


@pytest.mark.parametrize(
    ("wall_s", "date"),
    [
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, b"Sun, 06 Nov 1994 08:49:37 GMT"),  # the example of RFC 9110 section 5.6.7
        (951_782_400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_767_225_599.999, b"Wed, 31 Dec 2025 23:59:59 GMT"),
        (1_767_225_600, b"Thu, 01 Jan 2026 00:00:00 GMT"),
        (LAST_S, b"Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_format_http_date(wall_s: float, date: bytes) -> None:
    assert format_http_date(wall_s) == date


@given(st.integers(0, LAST_S))
def test_format_http_date_agrees_with_the_library(wall_s: int) -> None:
    assert format_http_date(wall_s).decode("ascii") == email.utils.formatdate(wall_s, usegmt=True)


def test_format_http_date_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    before = locale.setlocale(locale.LC_TIME)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert format_http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, before)


def test_clock_shows_its_start() -> None:
    clock = Clock(5.5, 784_111_777.9)
    assert clock.now == 5.5
    assert clock.date_field == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def test_clock_without_arguments_stands_at_the_epoch() -> None:
    clock = Clock()
    assert clock.now == 0.0
    assert clock.date_field == b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


def test_date_field_changes_with_the_second_only() -> None:
    clock = Clock(0.0, 784_111_777.0)
    first = clock.date_field
    clock.tick(0.9, 784_111_777.9)
    assert clock.now == 0.9
    assert clock.date_field is first
    clock.tick(1.0, 784_111_778.0)
    assert clock.now == 1.0
    assert clock.date_field == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_wall_time_may_go_backwards() -> None:
    clock = Clock(10.0, 784_111_777.0)
    clock.tick(11.0, 784_111_700.0)
    assert clock.now == 11.0
    assert clock.date_field == b"date: Sun, 06 Nov 1994 08:48:20 GMT\r\n"
