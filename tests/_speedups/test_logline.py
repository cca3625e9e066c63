"""Lines of the access log: both texts of `logline` held to each other, and to what may ever leave in a line."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastserver._speedups import logformats as codes
from fastserver._speedups.contract import Peer, Request, ResponseHead
from fastserver._speedups.logformats import FIELD_LIMIT, Record
from tests._speedups.twin import LOGLINE, needs_extension, try_call

BYTES = st.binary(max_size=40)
FIELDS = st.lists(st.tuples(st.sampled_from([b"x-a", b"X-A", b"x-b", b"accept"]), BYTES), max_size=4)


@pytest.fixture(params=LOGLINE, ids=["active", "twin"])
def logline(request: pytest.FixtureRequest) -> Any:
    return request.param


@st.composite
def make_record(draw: st.DrawFn) -> Record:
    request = Request()
    request.method = draw(st.text(max_size=8).filter(_is_utf8))
    request.http_version = draw(st.sampled_from(["1.0", "1.1", "2", "3"]))
    request.raw_path, request.query_string = draw(BYTES), draw(BYTES)
    request.headers = draw(FIELDS)
    head = None
    if draw(st.booleans()):
        head = ResponseHead()
        head.fields = draw(FIELDS)
    client = draw(st.none() | st.tuples(st.text(max_size=8).filter(_is_utf8), st.integers(0, 65535)))
    status = draw(st.sampled_from([0, 101, 200, 404, 499, 500, 999]))
    numbers = draw(st.integers(0, 1 << 60)), draw(st.floats(0, 1e6)), draw(st.floats(-1, 4e9))
    return Record(request, status, *numbers[:2], Peer(client=client, scheme="https"), head, numbers[2])


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def shout(value: bytes) -> bytes:
    return value.upper()


def name_second(second: int) -> bytes:
    return b"<%d>" % second


ARGUMENTS = {
    codes.LITERAL: (b' ","a":"', None),
    codes.TIME: (name_second, None),
    codes.TIME_MS: (name_second, None),
    codes.REQUEST_FIELD: (b"x-a", None),
    codes.RESPONSE_FIELD: (b"x-a", None),
    codes.DERIVED: (b"x-a", shout),
    codes.INSERTED: (b"x-b", lambda value: b"[%d]" % len(value)),
    codes.BY_STATUS: ({200: b"OK", 499: b"gone"}, None),
    codes.CALL: (lambda record: f"{record.status}", None),
}
EVERY = [(code, *ARGUMENTS.get(code, (None, None))) for code in range(len(codes.CODES))]


def render(text: Any, pieces: Any, record: Record, is_json: bool = False) -> bytes:
    class Lines(text.LineBuffer):  # type: ignore[misc]
        def flush(self) -> None:
            pass

    buffer = Lines(pieces, is_json)
    buffer.add(*record)
    line: bytes = buffer.take()
    return line


@needs_extension
@pytest.mark.parametrize("piece", EVERY, ids=codes.CODES)
@given(record=make_record(), is_json=st.booleans())
def test_both_texts_render_the_same(piece: Any, record: Record, is_json: bool) -> None:
    active, twin = (try_call(render, text, [piece], record, is_json) for text in LOGLINE)
    assert active == twin


@given(record=make_record())
@example(Record(Request(), 0, 0, 0.0, Peer(), None, 0.0))
def test_no_byte_outside_the_allowed_set_leaves_and_one_record_is_one_line(record: Record) -> None:
    for text in LOGLINE:
        line = render(text, EVERY, record)
        assert re.fullmatch(rb"[\x20-\x7e]+\n", line)
        # A quote or backslash of a client is escaped: what stands there is the literal's, and escapes.
        assert line.replace(ARGUMENTS[codes.LITERAL][0], b"").count(b'"') == 0  # type: ignore[arg-type]
        assert re.sub(rb"\\x[0-9a-f]{2}", b"", line).count(b"\\") == 0


@given(value=st.binary(max_size=60))
def test_what_json_escapes_comes_back(value: bytes) -> None:
    request = Request()
    request.headers = [(b"x-a", value)]
    pieces = [(codes.LITERAL, b'{"a":"', None), (codes.REQUEST_FIELD, b"x-a", None), (codes.LITERAL, b'"}', None)]
    for text in LOGLINE:
        line = render(text, pieces, Record(request, 200, 0, 0.0, Peer(), None), True)
        assert re.fullmatch(rb"[\x20-\x7e]+\n", line)
        assert json.loads(line) == {"a": value.decode("latin-1")}


def test_a_field_is_cut(logline: Any) -> None:
    request = Request()
    request.headers = [(b"x-a", b"\n" * (FIELD_LIMIT + 1))]
    record = Record(request, 200, 0, 0.0, Peer(), None)
    assert render(logline, [(codes.REQUEST_FIELD, b"x-a", None)], record) == b"\\x0a" * FIELD_LIMIT + b"\n"
    assert render(logline, [(codes.REQUEST_FIELD, b"x-a", None)], record, True) == b"\\u000a" * FIELD_LIMIT + b"\n"


def test_a_line_that_fails_half_way_leaves_nothing(logline: Any) -> None:
    class Lines(logline.LineBuffer):  # type: ignore[misc]
        def flush(self) -> None:
            pass

    def fail(record: Record) -> str:
        if record.status == 500:
            raise ValueError
        return "end"

    lines = Lines([(codes.LITERAL, b"begin ", None), (codes.CALL, fail, None)])
    for status in (200, 500, 200):
        lines(Request(), status, 0, 0.0, Peer(), None)
    lines(None, 200, 0, 0.0, Peer(), None)
    lines(Request(), 200, 0, 0.0, None, None)
    assert (lines.take(), lines.failed, lines.take()) == (b"begin end\n" * 2, 3, b"")


def test_a_large_buffer_is_given_back(logline: Any) -> None:
    class Lines(logline.LineBuffer):  # type: ignore[misc]
        def flush(self) -> None:
            pass

    lines = Lines([(codes.LITERAL, b"a" * 1000, None)])
    for _ in range(2):
        for _ in range(200):
            lines(Request(), 200, 0, 0.0, Peer(), None)
        assert lines.take() == (b"a" * 1000 + b"\n") * 200


def test_nobody_writes_for_one_who_cannot(logline: Any) -> None:
    lines = logline.LineBuffer([])
    with pytest.raises(NotImplementedError):
        lines.flush()
