"""The error log's two forms: each record is one head in text and one line as JSON, whatever it is about."""

import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver.logs.formatters import JSONFormatter, TextFormatter, format_time, make_formatter, wants_colour
from fastserver.logs.hygiene import FIELD_LIMIT, TEXT_LIMIT, clean_line, clean_text, cut_text, indent

HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d{4} \[\d+\] [A-Z]+ ")
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
TEXTS = st.text(st.characters() | st.sampled_from("\n\r\x1b\x9b\u202e\u2028\udc80"), max_size=40) | st.just(
    "a\n2026-07-21 10:00:00.123 +0000 [1] INFO forged"
)


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def make_record(text: str, *arguments: object, error: Exception | None = None, **extra: object) -> logging.LogRecord:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    record = logging.LogRecord("fastserver.error", logging.ERROR, __file__, 1, text, arguments, info)
    record.__dict__.update(extra)
    return record


@given(message=TEXTS, argument=TEXTS, problem=TEXTS, request_id=TEXTS)
def test_a_record_is_one_head_and_nothing_unsafe_leaves(
    message: str, argument: str, problem: str, request_id: str
) -> None:
    message = message.replace("%", "")
    stack = f"Stack\n{problem}"
    record = make_record(f"{message} %s", argument, error=ValueError(problem), request_id=request_id, stack_info=stack)
    head, *rest = TextFormatter().format(record).split("\n")
    assert HEAD.match(head)
    assert all(line.startswith("  ") for line in rest)
    assert not UNSAFE.search("".join([head, *rest]))
    line = JSONFormatter().format(record)
    assert re.fullmatch(r"[\x20-\x7e]+", line)
    found = json.loads(line)
    assert (found["message"], found["request_id"]) == (f"{message} {argument}", request_id)


@given(TEXTS)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    line, several = clean_line(text), clean_text(text)
    assert not UNSAFE.search(line)
    assert "\n" not in line
    assert (clean_line(line), clean_text(several)) == (line, several)
    assert several.count("\n") == text.count("\n")
    assert all(each.startswith("  ") for each in indent(several).split("\n"))


@pytest.mark.parametrize("more", [-1, 0, 1, FIELD_LIMIT])
def test_a_line_has_a_limit(more: int) -> None:
    line = clean_line("a" * (FIELD_LIMIT + more))
    assert len(line) == min(FIELD_LIMIT, FIELD_LIMIT + more)
    assert line.endswith(" ...") == (more > 0)


@pytest.mark.parametrize("part", ["a" * 100 + "\n", "a" * (TEXT_LIMIT // 2) + "\n", "\x1b" * 100 + "\n", "\n"])
def test_a_text_has_a_limit_and_keeps_both_ends(part: str) -> None:
    whole = "first\n" + part * (3 * TEXT_LIMIT // len(part)) + "\nlast"
    for cut in (cut_text(whole), clean_text(whole)):
        assert len(cut) <= TEXT_LIMIT
        assert cut.startswith("first")
        assert cut.endswith("last")
        assert "... left out ..." in cut


def test_json_has_the_time_in_utc_and_what_was_given_beside() -> None:
    nested = {"a": [1, 2.5, None, True, float("nan"), 1 << 70, b"x"], "b": {1: {2: {3: {4: 5}}}}}
    record = make_record("%d lines", 3, request_id="abc", nested=nested, odd=Odd(), time="never")
    record.created = 1_000_000_000.1239
    assert json.loads(JSONFormatter().format(record)) == {
        "time": "2001-09-09T01:46:40.123Z",
        "level": "ERROR",
        "message": "3 lines",
        "pid": record.process,
        "logger": "fastserver.error",
        "request_id": "abc",
        "nested": {"a": [1, 2.5, None, True, "nan", str(1 << 70), "b'x'"], "b": {"1": {"2": {"3": "{4: 5}"}}}},
        "odd": "<Odd>",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_that_cannot_be_shown_or_is_endless_does_no_harm(form: str) -> None:
    formatter = make_formatter(form, False)
    assert "<exception str() failed>" in formatter.format(make_record("text", error=Odd()))
    line = formatter.format(make_record("%s", "a" * 1_000_000, error=ValueError("b\n" * 1_000_000)))
    assert len(line) < 4 * TEXT_LIMIT


@pytest.mark.parametrize(("at", "text"), [(0.9999, "1970-01-01T00:00:00.999Z"), (-0.0005, "1969-12-31T23:59:59.999Z")])
def test_time(at: float, text: str) -> None:
    assert format_time(at) == text


@pytest.mark.parametrize(
    ("setting", "environment", "is_terminal", "is_coloured"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"FORCE_COLOR": "1"}, False, True),
        (None, {"FORCE_COLOR": "0"}, False, False),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        (None, {"TERM": "dumb"}, True, False),
        (True, {"NO_COLOR": "1"}, False, True),
        (False, {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours(
    setting: bool | None,
    environment: dict[str, str],
    is_terminal: bool,
    is_coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(setting, is_terminal) == is_coloured
