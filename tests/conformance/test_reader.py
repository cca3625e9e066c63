"""The reader that the conformance tests trust: it must not take for a response what a client would not."""

import pytest

from tests.responses import MalformedResponse, split_responses

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nx: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: y \r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\tx: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"x",
        OK + b"HTTP/1.1",
    ],
)
def test_malformed_responses_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        split_responses(data)


def test_bytes_of_a_body_after_a_head_response_are_refused() -> None:
    assert split_responses(OK.removesuffix(b"ok"), ["HEAD"])[0].complete
    with pytest.raises(MalformedResponse):
        split_responses(OK, ["HEAD"])


@pytest.mark.parametrize("size", range(len(OK) - 2, len(OK)))
def test_short_body_is_not_complete(size: int) -> None:
    assert [response.complete for response in split_responses(OK[:size])] == [False]


@pytest.mark.parametrize(
    "body", [b"", b"2\r\n", b"2\r\no", b"2\r\nok", b"2\r\nok\r\n", b"2\r\nok\r\n0\r\n", b"0\r\nx: y\r\n"]
)
def test_unfinished_chunks_are_not_complete(body: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body
    assert [response.complete for response in split_responses(data, ended=True)] == [False]


def test_responses_follow_one_another() -> None:
    chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n"
    rest = b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"HTTP/1.1 200 OK\r\n\r\nrest"
    responses = split_responses(chunks + rest, ended=True)
    assert [response.status for response in responses] == [200, 100, 200, 200]
    assert [response.body for response in responses] == [b"a", b"", b"ok", b"rest"]
    assert responses[0].trailers == [(b"x", b"y")]
    assert all(response.complete for response in responses)


def test_body_without_length_ends_with_the_connection() -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\nrest"
    assert [split_responses(data, ended=ended)[0].complete for ended in (True, False)] == [True, False]
