"""What ``start_response`` takes and refuses (PEP 3333, "The start_response() Callable")."""

from typing import Any

import pytest

from fastserver._speedups.wsgi.bounds import REMEMBERED_CHARACTERS
from fastserver._speedups.wsgi.head import make_head


def test_a_head() -> None:
    head = make_head(
        "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5"), ("X-É".replace("É", "E"), "é")]
    )
    assert (head.status, head.content_length) == (200, 5)
    assert head.fields == [(b"Content-Type", b"text/plain"), (b"Content-Length", b"5"), (b"X-E", b"\xe9")]


class Text(str):
    """A framework's own kind of text."""

    __slots__ = ()


def test_texts_of_a_class_of_their_own() -> None:
    head = make_head(Text("404 Gone fishing"), [(Text("X-A"), Text("b"))])
    assert (head.status, head.fields) == (404, [(b"X-A", b"b")])


@pytest.mark.parametrize(
    "status", ["200", "200OK", "20 OK", "2000 OK", "abc OK", "²00 OK", "200 O\rK", "100 Continue", ""]
)
def test_a_status_has_three_digits_and_a_reason(status: str) -> None:
    with pytest.raises(ValueError, match="status"):
        make_head(status, [])


@pytest.mark.parametrize(
    ("status", "headers", "kind", "reason"),
    [
        (200, [], TypeError, "status must be a str"),
        (b"200 OK", [], TypeError, "status must be a str"),
        ("200 OK", (), TypeError, "must be a list"),
        ("200 OK", {}, TypeError, "must be a list"),
        ("200 OK", [["A", "b"]], TypeError, "must be a tuple"),
        ("200 OK", [("A", "b", "c")], TypeError, "must be a tuple"),
        ("200 OK", [(b"A", "b")], TypeError, "name must be a str"),
        ("200 OK", [("A", b"b")], TypeError, "value of header 'A' must be a str"),
        ("200 OK", [("A", 1)], TypeError, "must be a str"),
        ("200 OK", [("A\r\nB", "c")], ValueError, "invalid header name"),
        ("200 OK", [("Ā", "c")], ValueError, "invalid header name"),
        ("200 OK", [("A", "b\r\nC: d")], ValueError, "invalid byte in the value"),
        ("200 OK", [("A", "Ā")], ValueError, "outside Latin-1"),
        ("200 OK", [("Content-Length", "x")], ValueError, "content-length"),
        ("200 OK", [("Connection", "close")], ValueError, "hop-by-hop"),
        ("200 OK", [("TRANSFER-ENCODING", "chunked")], ValueError, "hop-by-hop"),
        ("200 OK", [("Upgrade", "x")], ValueError, "hop-by-hop"),
    ],
)
def test_what_is_refused(status: Any, headers: Any, kind: type[Exception], reason: str) -> None:
    for _ in range(2):  # what is remembered of names does not let one in
        with pytest.raises(kind, match=reason):
            make_head(status, headers)


def test_a_field_that_repeats_is_the_same_object_and_another_value_is_not() -> None:
    first = make_head("200 OK", [("Content-Type", "text/x-repeated")])
    again = make_head("200 OK", [("Content-Type", "text/" + "x-repeated")])
    assert again.fields[0] is first.fields[0]
    other = make_head("200 OK", [("Content-Type", "text/x-other")])
    assert other.fields == [(b"Content-Type", b"text/x-other")]
    assert first.fields == [(b"Content-Type", b"text/x-repeated")]


def test_each_head_has_a_list_of_its_own() -> None:
    headers = [("Content-Type", "text/x-own"), ("Content-Length", "7")]
    first = make_head("200 OK", headers)
    first.fields.append((b"content-length", b"1"))
    first.content_length = 1
    again = make_head("200 OK", headers)
    assert (again.fields, again.content_length) == ([(b"Content-Type", b"text/x-own"), (b"Content-Length", b"7")], 7)


def test_what_a_remembered_field_means_is_noted_each_time() -> None:
    for _ in range(2):
        head = make_head("200 OK", [("Date", "now"), ("Server", "mine"), ("Content-Length", "3")])
        assert (head.has_date, head.has_server, head.content_length) == (True, True, 3)
        with pytest.raises(ValueError, match="contradictory content-length"):
            make_head("200 OK", [("Content-Length", "3"), ("content-length", "4")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Set-Cookie", "session=1"),
        ("X-Token-Of-The-House", "1"),
        ("Content-Language", "x" * (REMEMBERED_CHARACTERS + 1)),
    ],
)
def test_what_is_not_remembered(name: str, value: str) -> None:
    first = make_head("200 OK", [(name, value)])
    again = make_head("200 OK", [(name, value)])
    assert again.fields == first.fields
    assert again.fields[0] is not first.fields[0]


def test_the_longest_value_that_is_remembered() -> None:
    headers = [("Content-Location", "x" * REMEMBERED_CHARACTERS)]
    assert make_head("200 OK", headers).fields[0] is make_head("200 OK", headers).fields[0]


def test_a_value_that_never_repeats_is_kept_rarely() -> None:
    for number in range(300):
        head = make_head("200 OK", [("ETag", f'"{number}"')])
        assert head.fields == [(b"ETag", b'"%d"' % number)]
