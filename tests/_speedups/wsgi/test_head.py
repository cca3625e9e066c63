"""What ``start_response`` takes and refuses (PEP 3333, "The start_response() Callable")."""

from typing import Any

import pytest

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
