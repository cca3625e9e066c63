"""The application's own response instead of a session: its messages, and the status that would be a session (E1)."""

from typing import Any

import pytest

from fastserver._speedups.contract import Request
from fastserver._speedups.websocket.denial import KINDS, START, read_response


def make_request(protocol: str = "") -> Request:
    request = Request()
    request.protocol = protocol
    return request


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_gets_the_short_name(kind: str) -> None:
    message = {"type": kind, "status": 403, "headers": [], "body": b"no"}
    assert read_response(make_request(), message) == {**message, "type": kind.removeprefix("websocket.")}


@pytest.mark.parametrize(("status", "accepts"), [(199, False), (200, True), (299, True), (300, False), ("200", False)])
def test_a_status_that_would_accept(status: Any, accepts: bool) -> None:
    message = {"type": START, "status": status}
    assert read_response(make_request(), message)["status"] == status
    if accepts:
        with pytest.raises(ValueError, match=f"a status of {status} would accept"):
            read_response(make_request("websocket"), message)
    else:
        assert read_response(make_request("websocket"), message)["status"] == status


@pytest.mark.parametrize("protocol", ["", "websocket"])
def test_a_start_needs_a_status(protocol: str) -> None:
    with pytest.raises(KeyError, match="status"):
        read_response(make_request(protocol), {"type": START})
