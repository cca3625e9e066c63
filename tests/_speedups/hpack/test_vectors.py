"""The examples of RFC 7541, appendix C: what is decoded, what stands in the dynamic table then, and the way back."""

from itertools import count
from typing import NamedTuple

import pytest

from fastserver._speedups.hpack.errors import HPACKError
from tests._speedups.hpack.texts import Room

Fields = list[tuple[bytes, bytes]]


class Example(NamedTuple):
    block: str
    fields: str
    #: The dynamic table after it, the newest entry first, and its size.
    table: str
    size: int


REQUEST_1 = ":method: GET|:scheme: http|:path: /|:authority: www.example.com"
REQUEST_3 = ":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value"
REQUEST_TABLE = "custom-key: custom-value|cache-control: no-cache|:authority: www.example.com"
DATE_21 = "date: Mon, 21 Oct 2013 20:13:21 GMT"
DATE_22 = "date: Mon, 21 Oct 2013 20:13:22 GMT"
LOCATION = "location: https://www.example.com"
COOKIE = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"

#: Requests with and without Huffman codes: the same fields and tables.
REQUESTS = [
    (REQUEST_1, ":authority: www.example.com", 57),
    (f"{REQUEST_1}|cache-control: no-cache", "cache-control: no-cache|:authority: www.example.com", 110),
    (REQUEST_3, REQUEST_TABLE, 164),
]
PLAIN_REQUESTS = [
    "828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]  # fmt: skip
CODED_REQUESTS = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]  # fmt: skip
#: Responses, in a table of 256 bytes, so that entries are evicted.
RESPONSES = [
    (f":status: 302|cache-control: private|{DATE_21}|{LOCATION}",
     f"{LOCATION}|{DATE_21}|cache-control: private|:status: 302", 222),
    (f":status: 307|cache-control: private|{DATE_21}|{LOCATION}",
     f":status: 307|{LOCATION}|{DATE_21}|cache-control: private", 222),
    (f":status: 200|cache-control: private|{DATE_22}|{LOCATION}|content-encoding: gzip|{COOKIE}",
     f"{COOKIE}|content-encoding: gzip|{DATE_22}", 215),
]  # fmt: skip
PLAIN_RESPONSES = [
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f"
    "7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b42"
    "5a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
]  # fmt: skip
CODED_RESPONSES = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f"
    "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
]  # fmt: skip


def join(blocks: list[str], rest: list[tuple[str, str, int]]) -> list[Example]:
    return [Example(block, *others) for block, others in zip(blocks, rest, strict=True)]


EXAMPLES = {
    "C.2.1": (4096, [Example("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header",
                             "custom-key: custom-header", 55)]),
    "C.2.2": (4096, [Example("040c2f73616d706c652f70617468", ":path: /sample/path", "", 0)]),
    "C.2.3": (4096, [Example("100870617373776f726406736563726574", "password: secret", "", 0)]),
    "C.2.4": (4096, [Example("82", ":method: GET", "", 0)]),
    "C.3": (4096, join(PLAIN_REQUESTS, REQUESTS)),
    "C.4": (4096, join(CODED_REQUESTS, REQUESTS)),
    "C.5": (256, join(PLAIN_RESPONSES, RESPONSES)),
    "C.6": (256, join(CODED_RESPONSES, RESPONSES)),
}  # fmt: skip


def parse(text: str) -> Fields:
    lines = [line.encode() for line in text.split("|") if line]
    return [(line[:at], line[at + 2 :]) for line in lines for at in [line.index(b": ", 1)]]


def list_table(decoder: object, room: Room) -> Fields:
    """The dynamic table, by asking for one index after the other."""
    fields: Fields = []
    for index in count(62):
        try:
            fields += room.decoder.Decoder.decode(decoder, bytes([0x80 | index]))
        except HPACKError:
            return fields
    raise AssertionError


@pytest.mark.parametrize("name", EXAMPLES)
def test_blocks_are_decoded(room: Room, name: str) -> None:
    capacity, examples = EXAMPLES[name]
    decoder = room.decoder.Decoder(capacity, 65536, 100, 65536)
    for example in examples:
        assert decoder.decode(bytes.fromhex(example.block)) == parse(example.fields)
        table = list_table(decoder, room)
        assert table == parse(example.table)
        assert sum(len(name) + len(value) + 32 for name, value in table) == example.size


@pytest.mark.parametrize(("name", "huffman"), [("C.3", False), ("C.4", True)])
def test_requests_are_encoded_as_there(room: Room, name: str, huffman: bool) -> None:
    encoder = room.encoder.Encoder()
    for example in EXAMPLES[name][1]:
        assert encoder.encode(parse(example.fields), huffman).hex() == example.block
