"""Every rule of RFC 9113, RFC 8441 and RFC 7541 on malformed or untimely input has a row or a test that names it."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conformance import test_h2_frames, test_h2_requests

HERE = Path(__file__).parent
DOCUMENTATION = HERE.parents[1] / "docs" / "conformance.md"

#: By section and letter; those of other RFCs begin with the RFC's number.
RULES = {
    "3.4a": "a preface that is not the 24 octets is a connection error PROTOCOL_ERROR",
    "3.4b": "so is a first frame that is not SETTINGS",
    "3.4c": "a client may send requests before it has the server's SETTINGS",
    "3.4d": "the server's preface is a SETTINGS frame, the first that it sends",
    "4.1a": "frames of unknown types are ignored",
    "4.1b": "undefined flags are ignored",
    "4.1c": "the reserved bit is ignored",
    "4.2a": "a frame of the announced size is taken",
    "4.2b": "DATA above it is FRAME_SIZE_ERROR",
    "4.2c": "HEADERS above it is a connection error, since the table is lost",
    "4.2d": "so is SETTINGS",
    "4.2e": "and any frame of the connection",
    "4.3a": "a field block that cannot be decoded is a connection error COMPRESSION_ERROR",
    "4.3b": "nothing may stand between the frames of a field block",
    "4.3c": "blocks that nobody wants are decoded, for the table's sake",
    "5.1a": "anything but HEADERS and PRIORITY on an idle stream is a connection error PROTOCOL_ERROR",
    "5.1b": "PRIORITY may come on an idle stream",
    "5.1c": "DATA and HEADERS on a half-closed stream are a stream error STREAM_CLOSED",
    "5.1d": "CONTINUATION there is a connection error",
    "5.1e": "WINDOW_UPDATE, PRIORITY and RST_STREAM may come there",
    "5.1f": "DATA and HEADERS behind the client's own RST_STREAM are a stream error STREAM_CLOSED",
    "5.1g": "frames behind END_STREAM on a closed stream are an error STREAM_CLOSED",
    "5.1h": "WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream are ignored",
    "5.1i": "what comes on a stream that the server has reset is discarded",
    "5.1j": "and what it does to the table is done",
    "5.1k": "DATA on a closed stream counts for the connection's window, and is given back",
    "5.1.1a": "streams of a client have odd numbers",
    "5.1.1b": "a new stream's number is higher than all before; those passed over are closed",
    "5.1.1c": "numbers are not used again",
    "5.1.1d": "numbers may be left out",
    "5.1.2a": "a stream above SETTINGS_MAX_CONCURRENT_STREAMS is a stream error PROTOCOL_ERROR or REFUSED_STREAM",
    "5.4.1a": "a connection error is a GOAWAY with the last stream, then the end",
    "5.4.2a": "RST_STREAM is not answered by RST_STREAM",
    "5.5a": "unknown frames on a stream change nothing",
    "5.5b": "unknown settings are ignored",
    "6.1a": "DATA on stream 0",
    "6.1b": "DATA with padding as long as its payload or longer",
    "6.1c": "DATA that is padded and has no Pad Length",
    "6.1d": "padding may be all there is, or nothing",
    "6.2a": "HEADERS on stream 0",
    "6.2b": "HEADERS with too much padding",
    "6.2c": "HEADERS without room for the fields that its flags announce",
    "6.2d": "padding and priority are taken off",
    "6.2e": "a stream that depends on itself (RFC 7540 section 5.3.1)",
    "6.3a": "PRIORITY on stream 0",
    "6.3b": "PRIORITY of a wrong size is a stream error FRAME_SIZE_ERROR",
    "6.3c": "PRIORITY that makes a stream depend on itself (RFC 7540 section 5.3.1)",
    "6.4a": "RST_STREAM on stream 0",
    "6.4b": "RST_STREAM on an idle stream",
    "6.4c": "RST_STREAM of a wrong size",
    "6.5a": "SETTINGS with ACK and a payload",
    "6.5b": "SETTINGS on a stream",
    "6.5c": "SETTINGS whose size is not a multiple of six",
    "6.5.2a": "ENABLE_PUSH that is neither 0 nor 1",
    "6.5.2b": "INITIAL_WINDOW_SIZE above 2^31-1 is FLOW_CONTROL_ERROR",
    "6.5.2c": "MAX_FRAME_SIZE outside 2^14 to 2^24-1",
    "6.5.2d": "a field list above MAX_HEADER_LIST_SIZE need not be served",
    "6.5.2e": "HEADER_TABLE_SIZE may be anything",
    "6.5.3a": "settings are applied in order, the last of a name holds, and acknowledged at once",
    "6.6a": "PUSH_PROMISE from a client",
    "6.7a": "PING on a stream",
    "6.7b": "PING of a wrong size",
    "6.7c": "PING is answered with its octets, an answer is not answered",
    "6.8a": "GOAWAY on a stream",
    "6.8b": "GOAWAY of a wrong size",
    "6.8c": "the client's GOAWAY leaves open streams alone",
    "6.9a": "WINDOW_UPDATE by 0 on the connection",
    "6.9b": "on a stream: a stream error",
    "6.9c": "WINDOW_UPDATE of a wrong size",
    "6.9d": "its reserved bit is ignored",
    "6.9.1a": "a connection's window above 2^31-1 is FLOW_CONTROL_ERROR",
    "6.9.1b": "a stream's: of the stream",
    "6.9.1c": "DATA above a window is FLOW_CONTROL_ERROR",
    "6.9.1d": "the server sends no DATA above a window",
    "6.9.2a": "a setting that takes a window above 2^31-1 is a connection error FLOW_CONTROL_ERROR",
    "6.9.2b": "a setting changes the windows of open streams, below zero as well",
    "6.9.3a": "DATA that came before a smaller window was known is taken",
    "6.9.3b": "DATA that came after is not",
    "6.10a": "a field block may come in pieces",
    "6.10b": "CONTINUATION on stream 0",
    "6.10c": "CONTINUATION without a block to continue",
    "7a": "unknown error codes are like INTERNAL_ERROR",
    "8.1a": "trailers are taken",
    "8.1b": "HEADERS within a body that do not end the stream make a request malformed",
    "8.1c": "trailers may come in pieces",
    "8.1d": "trailers with pseudo-header fields, or malformed ones",
    "8.1e": "a response may end before its request, RST_STREAM with NO_ERROR says so",
    "8.1.1a": "content-length of a request that has no body",
    "8.1.1b": "a body shorter than announced",
    "8.1.1c": "a body longer than announced",
    "8.1.1d": "content-length that is malformed or given twice",
    "8.1.1e": "a body as long as announced",
    "8.2.1a": "names with octets that no name has",
    "8.2.1b": "values with control octets",
    "8.2.1c": "values with blanks at an end",
    "8.2.1d": "values with anything else",
    "8.2.2a": "fields of the connection",
    "8.2.2b": "te with anything but trailers",
    "8.2.2c": "te with trailers",
    "8.2.3a": "crumbs of a cookie are one field",
    "8.3a": "pseudo-header fields that are not a request's",
    "8.3b": "pseudo-header fields behind others",
    "8.3c": "pseudo-header fields given twice",
    "8.3d": "pseudo-header fields in upper case",
    "8.3.1a": "pseudo-header fields that are missing",
    "8.3.1b": ":path that is empty or no path",
    "8.3.1c": "OPTIONS *",
    "8.3.1d": ":authority with user information or malformed",
    "8.3.1e": "host and :authority say the same",
    "8.3.1f": ":method that is no token",
    "8.3.1g": "methods that are not known",
    "8.3.1h": ":scheme that is not http or https",
    "8.5a": "CONNECT is not served",
    "8.5b": "CONNECT has :authority and nothing else",
    "8.5c": "on the stream of a session HEADERS are a stream error",
    "8441-3a": "ENABLE_CONNECT_PROTOCOL that is neither 0 nor 1",
    "8441-4a": ":protocol is for CONNECT",
    "8441-4b": "extended CONNECT has :scheme, :path and :authority",
    "8441-4c": ":protocol once, and a token",
    "7541-2.3.3a": "indexes beyond the tables",
    "7541-4.2a": "size updates stand at the beginning of a block",
    "7541-4.2b": "where one or two are allowed",
    "7541-5.1a": "integers above the limits",
    "7541-5.1b": "integers that are cut off",
    "7541-5.2a": "strings that are cut off",
    "7541-5.2b": "Huffman padding of more than 7 bits",
    "7541-5.2c": "Huffman padding that is not the beginning of EOS",
    "7541-5.2d": "EOS itself",
    "7541-5.2e": "Huffman coding as it should be",
    "7541-6.1a": "index 0",
    "7541-6.3a": "a table size above the limit",
}

ROWS = {row.rule.partition(" ")[0] for row in (*test_h2_frames.ROWS, *test_h2_requests.ROWS)}
_RULE = re.compile(r"(?:(\d{4})-)?(\d)")
_NAME = re.compile(r"test_rule_(\d[\d_]*[a-z])_")


def list_named() -> set[str]:
    """The rules that test functions name."""
    found = set()
    for path in HERE.glob("test_h2_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match = _NAME.match(node.name) if isinstance(node, ast.FunctionDef) else None
            if match:
                found.add(match[1].replace("_", "."))
    return found


TESTED = ROWS | list_named()


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_a_row_or_a_test(rule: str) -> None:
    assert rule in TESTED


def test_no_row_names_an_unknown_rule() -> None:
    assert set(RULES) >= TESTED


def test_rows_have_names_of_their_own() -> None:
    names = [row.rule for row in (*test_h2_frames.ROWS, *test_h2_requests.ROWS)]
    assert len(names) == len(set(names))


def test_the_documentation_counts_them() -> None:
    """`docs/conformance.md`: | RFC | sections: what they are of | rows |."""
    rows = Counter[tuple[str, str]]()
    for row in (*test_h2_frames.ROWS, *test_h2_requests.ROWS):
        match = _RULE.match(row.rule)
        assert match, row.rule
        rows[match[1] or "9113", match[2]] += 1
    told = re.findall(r"^\| (\d{4}) \| ([\d., ]+): .* \| (\d+) \|$", DOCUMENTATION.read_text("utf-8"), re.MULTILINE)
    for rfc, sections, count in told:
        assert sum(rows.pop((rfc, section[0]), 0) for section in sections.split(", ")) == int(count), (rfc, sections)
    assert not rows
