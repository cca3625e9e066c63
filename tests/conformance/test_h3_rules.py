"""Every rule of RFC 9114, RFC 9204 and RFC 9220 on malformed or untimely input has a row or a test that names it."""

import ast
import re
from pathlib import Path

import pytest

from tests.conformance import test_h3_requests, test_h3_streams

HERE = Path(__file__).parent

#: By section and letter; those of other RFCs begin with the RFC's number.
RULES = {
    "4.1a": "a request is HEADERS, DATA and perhaps HEADERS",
    "4.1b": "DATA first is a connection error H3_FRAME_UNEXPECTED",
    "4.1c": "so is anything known behind the trailers",
    "4.1d": "a second head is a section of trailers with pseudo-header fields",
    "4.1e": "unknown frames may stand anywhere",
    "4.1f": "a stream that ends without a head is a stream error H3_REQUEST_INCOMPLETE",
    "4.1g": "a response may end before its request, STOP_SENDING with H3_NO_ERROR says so",
    "4.1.1a": "a request that was not begun is refused with H3_REQUEST_REJECTED",
    "4.1.1b": "one that the client gives up is given up with H3_REQUEST_CANCELLED",
    "4.1.2a": "content-length of a request that has no body",
    "4.1.2b": "a body shorter than announced",
    "4.1.2c": "a body longer than announced",
    "4.1.2d": "a body as long as announced",
    "4.1.2e": "content-length that is malformed or given twice",
    "4.1.2f": "an answer may come before that is known",
    "4.2a": "names with octets that no name has, upper case too",
    "4.2b": "values with control octets, or blanks at an end",
    "4.2c": "values with anything else",
    "4.2d": "fields of the connection",
    "4.2e": "te with anything but trailers",
    "4.2f": "te with trailers",
    "4.2.1a": "crumbs of a cookie are one field",
    "4.2.2a": "a section above SETTINGS_MAX_FIELD_SECTION_SIZE need not be served",
    "4.2.2b": "sections up to it are",
    "4.2.2c": "trailers above it",
    "4.2.2d": "HEADERS are refused by their announced size",
    "4.2.2e": "DATA of any size is taken",
    "4.3a": "pseudo-header fields that are not a request's, or in upper case",
    "4.3b": "pseudo-header fields behind others",
    "4.3c": "pseudo-header fields given twice",
    "4.3d": "pseudo-header fields in trailers",
    "4.3.1a": "pseudo-header fields that are missing",
    "4.3.1b": "neither :authority nor host",
    "4.3.1c": "host in the place of :authority",
    "4.3.1d": "host and :authority say the same",
    "4.3.1e": ":authority that is empty or malformed",
    "4.3.1f": ":scheme that is not https",
    "4.3.1g": ":path that is empty or no path",
    "4.3.1h": "OPTIONS *, queries",
    "4.3.1i": ":method that is no token",
    "4.3.1j": "methods that are not known",
    "4.3.1k": "paths that are too long",
    "4.4a": "CONNECT is not served",
    "4.4b": "CONNECT has :authority and nothing else",
    "4.4c": "on the stream of a session any other known frame than DATA is a connection error H3_FRAME_UNEXPECTED",
    "5.2a": "GOAWAY names a stream that is not below any that is served",
    "5.2b": "it never grows",
    "5.2c": "requests at it and above it are refused",
    "6.2a": "a lane may end before its type is known",
    "6.2b": "types may have more bytes than they need",
    "6.2.1a": "a control stream that does not begin with SETTINGS is H3_MISSING_SETTINGS",
    "6.2.1b": "a second one is H3_STREAM_CREATION_ERROR",
    "6.2.1c": "its end is H3_CLOSED_CRITICAL_STREAM",
    "6.2.1d": "requests may come before it",
    "6.2.1e": "its reset, and a STOP_SENDING of ours, are its end",
    "6.2.1f": "ours begins with SETTINGS",
    "6.2.2a": "a client's push stream is H3_STREAM_CREATION_ERROR",
    "6.2.3a": "lanes of unknown types are ignored, or stopped with H3_STREAM_CREATION_ERROR",
    "7.1a": "a stream that ends within a frame is a connection error H3_FRAME_ERROR",
    "7.1b": "types and lengths may have more bytes than they need",
    "7.1c": "so are frames whose payload breaks off or has more",
    "7.1d": "a frame is refused by its head",
    "7.2.1a": "DATA on the control stream",
    "7.2.2a": "HEADERS on the control stream",
    "7.2.3a": "CANCEL_PUSH of what was not promised",
    "7.2.3b": "CANCEL_PUSH on a request stream",
    "7.2.4a": "SETTINGS twice",
    "7.2.4b": "SETTINGS on a request stream",
    "7.2.4c": "unknown settings are ignored",
    "7.2.4d": "a setting given twice",
    "7.2.4.1a": "settings that HTTP/2 has",
    "7.2.4.1b": "settings that there are",
    "7.2.5a": "PUSH_PROMISE on the control stream",
    "7.2.5b": "PUSH_PROMISE of a client",
    "7.2.6a": "GOAWAY that grows",
    "7.2.6b": "GOAWAY that does not",
    "7.2.6c": "GOAWAY on a request stream",
    "7.2.7a": "MAX_PUSH_ID that shrinks",
    "7.2.7b": "MAX_PUSH_ID that does not",
    "7.2.7c": "MAX_PUSH_ID on a request stream",
    "7.2.8a": "frames that HTTP/2 has",
    "7.2.8b": "reserved types are ignored",
    "8.1a": "unknown error codes are like H3_NO_ERROR",
    "10.5a": "frames beyond any use are H3_EXCESSIVE_LOAD",
    "10.5b": "so are settings beyond number",
    "9204-2.2a": "trailers that cannot be read",
    "9204-2.2b": "sections are read however they come",
    "9204-2.2.3a": "a Required Insert Count without a dynamic table",
    "9204-3.1a": "indexes beyond the static table",
    "9204-3.1b": "names beyond it",
    "9204-4.1.1a": "integers above the limits, or cut off",
    "9204-4.1.1b": "integers without an end in instructions",
    "9204-4.1.2a": "strings that are cut off",
    "9204-4.1.2b": "Huffman code that is none",
    "9204-4.1.2c": "Huffman code and lengths as they should be",
    "9204-4.2a": "a second encoder or decoder stream is H3_STREAM_CREATION_ERROR",
    "9204-4.2b": "the end of one is H3_CLOSED_CRITICAL_STREAM",
    "9204-4.2c": "they may be silent",
    "9204-4.3.1a": "a capacity above the setting is QPACK_ENCODER_STREAM_ERROR",
    "9204-4.3.1b": "0 is not",
    "9204-4.3.2a": "insertions with a name that is referred to",
    "9204-4.3.3a": "insertions with a literal name",
    "9204-4.3.4a": "duplicates",
    "9204-4.4.1a": "acknowledgments of what was not sent are QPACK_DECODER_STREAM_ERROR",
    "9204-4.4.2a": "cancellations mean nothing",
    "9204-4.4.3a": "an increment by 0",
    "9204-4.4.3b": "an increment beyond what was inserted",
    "9204-4.5.1a": "sections without a prefix",
    "9204-4.5.1b": "a negative Base",
    "9204-4.5.1c": "any other Base",
    "9204-4.5.2a": "indexes of the dynamic table",
    "9204-4.5.3a": "indexes behind the Base",
    "9204-4.5.4a": "names of the dynamic table",
    "9204-4.5.4b": "names of the static one",
    "9204-4.5.5a": "names behind the Base",
    "9204-4.5.6a": "literals that must not be indexed",
    "9220-3a": "ENABLE_CONNECT_PROTOCOL of a client",
    "9220-3b": "that is neither 0 nor 1",
    "9220-3c": ":protocol is for CONNECT",
    "9220-3d": "extended CONNECT has :scheme, :path and :authority",
    "9220-3e": ":protocol once, and a token",
    "9220-3f": "protocols that are not served",
}

ALL_ROWS = (*test_h3_streams.ROWS, *test_h3_requests.ROWS)
_NAME = re.compile(r"test_rule_(\d[\d_]*[a-z])_")


def list_named() -> set[str]:
    """The rules that test functions name."""
    found = set()
    for path in HERE.glob("test_h3_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match = _NAME.match(node.name) if isinstance(node, ast.FunctionDef) else None
            if match:
                found.add(match[1].replace("_", "."))
    return found


TESTED = {row.rule.partition(" ")[0] for row in ALL_ROWS} | list_named()


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_a_row_or_a_test(rule: str) -> None:
    assert rule in TESTED


def test_no_row_names_an_unknown_rule() -> None:
    assert set(RULES) >= TESTED, TESTED - set(RULES)


def test_rows_have_names_of_their_own() -> None:
    names = [row.rule for row in ALL_ROWS]
    assert sorted(set(names)) == sorted(names)
