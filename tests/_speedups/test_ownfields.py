"""Fields of a response as a list: its length, a refusal whole; the server's own are seen by each wire's tests."""

import pytest

from fastserver._speedups.contract import WireError
from fastserver._speedups.ownfields import compose_refusal, list_response_fields
from fastserver._speedups.rendering import inspect_response

LENGTH = (b"content-length", b"4")


@pytest.mark.parametrize(
    ("status", "given", "more", "listed"),
    [
        (200, [], False, [LENGTH]),
        (200, [], True, []),
        (200, [LENGTH], True, [LENGTH]),
        (204, [], False, []),
        (204, [(b"Content-Length", b"0"), (b"x", b"y")], False, [(b"x", b"y")]),
        (304, [], False, []),
        (304, [LENGTH], False, [LENGTH]),
    ],
)
def test_a_length_where_it_can_be_known(
    status: int, given: list[tuple[bytes, bytes]], more: bool, listed: list[tuple[bytes, bytes]]
) -> None:
    assert list_response_fields(inspect_response(status, given), b"body", more) == listed


def test_a_refusal_is_a_whole_response() -> None:
    head, body = compose_refusal(WireError(431, "request head too large"))
    assert (head.status, body) == (431, b"request head too large\n")
    assert head.fields == [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"23")]
