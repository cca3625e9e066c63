"""One payload for each lenient flag of llhttp: whoever sets the flag fails here (the flag table of the threat list)."""

import pytest

from tests.conformance.cases import CANARY, check_refused, check_served, chunked, post, request

HELLO = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(request(b"X: a", b" b"), id="obs-fold"),
        pytest.param(request(b"X : a"), id="space before the colon"),
        pytest.param(request(b"X: a\x01b"), id="control byte"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", id="leading space"),
    ],
)
def test_lenient_headers_is_not_set(payload: bytes) -> None:
    check_refused(payload, 400)


def test_lenient_chunked_length_is_not_set() -> None:
    check_refused(post(b"Content-Length: 15", b"Transfer-Encoding: chunked", body=HELLO), 400)


def test_lenient_transfer_encoding_is_not_set() -> None:
    check_refused(post(b"Transfer-Encoding: chunked, pigeons", body=HELLO), 400, 501)


@pytest.mark.parametrize(
    ("payload", "started"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n", False, id="head"),
        pytest.param(chunked(b"5\rhello\r\n0\r\n\r\n"), True, id="chunk"),
    ],
)
def test_lenient_optional_lf_after_cr_is_not_set(payload: bytes, started: bool) -> None:
    check_refused(payload, 400, started=started)


@pytest.mark.parametrize(
    ("payload", "started"),
    [
        pytest.param(b"GET / HTTP/1.1\nHost: h\n\n", False, id="head"),
        pytest.param(chunked(b"5\nhello\r\n0\r\n\r\n"), True, id="chunk"),
    ],
)
def test_lenient_optional_cr_before_lf_is_not_set(payload: bytes, started: bool) -> None:
    check_refused(payload, 400, started=started)


def test_lenient_optional_crlf_after_chunk_is_not_set() -> None:
    check_refused(chunked(b"5\r\nhello0\r\n\r\n"), 400, started=True)


def test_lenient_spaces_after_chunk_size_is_not_set() -> None:
    check_refused(chunked(b"5 \r\nhello\r\n0\r\n\r\n"), 400, started=True)


def test_lenient_version_is_not_set() -> None:
    check_refused(request(line=b"GET / HTTP/3.7"), 505)


def test_lenient_keep_alive_is_not_set() -> None:
    recorder = check_served(request(b"Connection: close") + CANARY, b"GET / ", closes=True)
    assert recorder.targets == [b"/"]


def test_lenient_header_value_relaxed_is_not_set() -> None:
    # The eleventh flag, which httptools does not offer: any byte but CR, LF and NUL in a value.
    check_refused(request(b"X: a\x7fb"), 400)
