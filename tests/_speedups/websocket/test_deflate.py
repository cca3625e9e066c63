"""permessage-deflate: RFC 7692's examples, what is agreed on, and what a client may not do."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from fastserver._speedups.websocket.deflate import Deflate, negotiate
from tests._speedups.websocket.wire import (
    BINARY,
    CONTINUATION,
    FIN,
    PING,
    RSV1,
    TEXT,
    Item,
    cut,
    deflate,
    frame,
    read,
    read_by_wsproto,
)

OURS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
HELLO = bytes.fromhex("f248cdc9c90700")

EXAMPLES: dict[str, tuple[bytes, list[Item]]] = {
    # RFC 7692 section 7.2.3; its second message of 7.2.3.2 takes context over, which we have the client promise not to.
    "7.2.3.1": (frame(FIN | RSV1 | TEXT, HELLO), [("text", "Hello")]),
    "7.2.3.1, fragments": (
        frame(RSV1 | TEXT, HELLO[:3]) + frame(FIN | CONTINUATION, HELLO[3:]), [("text", "Hello")]
    ),
    "7.2.3.2, without context": (frame(FIN | RSV1 | TEXT, HELLO) * 2, [("text", "Hello")] * 2),
    "7.2.3.3": (frame(FIN | RSV1 | TEXT, bytes.fromhex("000500faff48656c6c6f00")), [("text", "Hello")]),
    "7.2.3.4": (frame(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c9070000")) * 2, [("text", "Hello")] * 2),
    "7.2.3.5": (frame(FIN | RSV1 | TEXT, bytes.fromhex("f248050000 00ffffcac9c90700")), [("text", "Hello")]),
    "7.2.3.6": (frame(FIN | RSV1 | TEXT, b"\x00"), [("text", "")]),
    "no byte at all": (frame(FIN | RSV1 | TEXT), [("text", "")]),
    "a final block without its zero": (frame(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c90700")), [("text", "Hello")]),
    "not compressed": (frame(FIN | TEXT, b"Hello") + frame(FIN | RSV1 | TEXT, HELLO), [("text", "Hello")] * 2),
}  # fmt: skip


@pytest.mark.parametrize(("data", "items"), EXAMPLES.values(), ids=list(EXAMPLES))
def test_examples_of_rfc_7692(data: bytes, items: list[Item]) -> None:
    for size in (len(data), 1, 2, 5):
        assert read(cut(data, size), Deflate()) == items


@pytest.mark.parametrize(("data", "code"), [
    (frame(RSV1 | TEXT, HELLO) + frame(FIN | RSV1 | CONTINUATION), 1002),
    (frame(FIN | RSV1 | PING), 1002),
    (frame(RSV1 | TEXT, HELLO) + frame(FIN | RSV1 | TEXT, HELLO), 1002),
    (frame(FIN | RSV1 | BINARY, b"\xff\xff\xff"), 1007),
    (frame(FIN | RSV1 | TEXT, deflate(b"ab\xff")), 1007),
    (frame(FIN | RSV1 | TEXT, deflate("é".encode()[:1])), 1007),
    # What follows a final block, and the second message of 7.2.3.2: it points into the first.
    (frame(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c90700") + HELLO), 1007),
    (frame(FIN | RSV1 | TEXT, bytes.fromhex("f200110000")), 1007),
])  # fmt: skip
def test_faults(data: bytes, code: int) -> None:
    for pieces in ([data], cut(data, 1)):
        assert read(pieces, Deflate()) == [("fault", code)]


def test_bad_compressed_text_fails_at_once() -> None:
    deflater = zlib.compressobj(wbits=-12)
    begun = deflater.compress(b"abc\xff") + deflater.flush(zlib.Z_FULL_FLUSH)
    assert read([frame(RSV1 | TEXT, begun)], Deflate()) == [("fault", 1007)]


def test_a_ping_inside_of_a_compressed_message() -> None:
    """Where we differ: wsproto's own extension takes what follows the ping as not compressed."""
    data = frame(RSV1 | BINARY, HELLO[:3]) + frame(FIN | PING) + frame(FIN | CONTINUATION, HELLO[3:])
    assert read([data], Deflate()) == [("ping", b""), ("binary", b"Hello")]
    theirs = PerMessageDeflate()
    theirs.accept("permessage-deflate")
    assert read_by_wsproto([data], [theirs]) != read([data], Deflate())


def test_nothing_is_kept_between_messages() -> None:
    extension = Deflate()
    extension.max_bytes = 100
    assert extension.inflate_message(deflate(b"x" * 100)) == b"x" * 100
    assert extension._inflater is None
    assert extension.inflate_message(deflate(b"x" * 101)) is CloseReason.MESSAGE_TOO_BIG
    assert extension.compress(b"Hello") == HELLO
    assert extension.compress(b"Hello") == HELLO
    assert extension._compressor is None


@pytest.mark.parametrize(("offer", "answer", "bits"), [
    ("permessage-deflate", f"{OURS}; server_max_window_bits=12", (15, 12)),
    ("permessage-deflate; client_max_window_bits",
     f"{OURS}; server_max_window_bits=12; client_max_window_bits=12", (12, 12)),
    ("permessage-deflate; client_max_window_bits=15",
     f"{OURS}; server_max_window_bits=12; client_max_window_bits=15", (15, 12)),
    ("permessage-deflate;client_max_window_bits=8",
     f"{OURS}; server_max_window_bits=12; client_max_window_bits=8", (9, 12)),
    ("permessage-deflate ; server_max_window_bits = 15", f"{OURS}; server_max_window_bits=12", (15, 12)),
    ("permessage-deflate; server_max_window_bits=9", f"{OURS}; server_max_window_bits=9", (15, 9)),
    ('permessage-deflate; server_max_window_bits="10"', f"{OURS}; server_max_window_bits=10", (15, 10)),
    ("permessage-deflate; client_no_context_takeover; server_no_context_takeover",
     f"{OURS}; server_max_window_bits=12", (15, 12)),
    (" , ,x-webkit-deflate-frame, permessage-deflate,", f"{OURS}; server_max_window_bits=12", (15, 12)),
])  # fmt: skip
def test_agreed(offer: str, answer: str, bits: tuple[int, int]) -> None:
    agreed = negotiate(offer)
    assert agreed is not None
    assert agreed[0] == answer
    assert (agreed[1].client_max_window_bits, agreed[1].server_max_window_bits) == bits
    assert agreed[1].enabled()


DECLINED = [
    "permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=09", "permessage-deflate; server_max_window_bits=x",
    "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; client_max_window_bits=1e1", "permessage-deflate; client_max_window_bits=",
    'permessage-deflate; client_max_window_bits=""', "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover=true", "permessage-deflate; unknown",
    "permessage-deflate; client_max_window_bits=\u0661\u0662", "permessage-deflate; Client_Max_Window_Bits",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
    "permessage-deflate;", "permessage-deflate;;server_max_window_bits=10", "permessage-deflate x",
    'permessage-deflate; server_max_window_bits="10', "permessage-deflate; =10", "permessage-deflate=1", "=", ";",
    "permessage-deflate\x00", "x-permessage-deflate", "\u00e9", '"permessage-deflate"',
]  # fmt: skip


@pytest.mark.parametrize("offer", DECLINED)
def test_declined_and_the_next_is_tried(offer: str) -> None:
    assert negotiate(offer) is None
    fields: list[list[str | bytes]] = [
        [f"{offer}, permessage-deflate"], [offer, "permessage-deflate"], [offer, b"permessage-deflate"],
    ]  # fmt: skip
    for offers in fields:
        agreed = negotiate(offers)
        assert agreed is not None
        assert agreed[0] == f"{OURS}; server_max_window_bits=12"


def test_the_first_that_can_be_met() -> None:
    offers = [
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
        "permessage-deflate",
    ]
    agreed = negotiate(offers)
    assert agreed is not None
    assert agreed[0].endswith("server_max_window_bits=10")
    assert negotiate([]) is None
    assert negotiate("") is None


words = ["permessage-deflate", ";", ",", "=", '"', " ", "client_max_window_bits", "server_max_window_bits", "8", "12"]


@given(st.lists(st.one_of(st.binary(max_size=20), st.lists(st.sampled_from(words)).map("".join)), max_size=2))
def test_hostile_offers(offers: list[str | bytes]) -> None:
    agreed = negotiate(offers)
    assert agreed is None or agreed[0].startswith(OURS)


def test_long_offers_are_read_in_linear_time() -> None:
    for piece in (", ", "a,", "permessage-deflate;x=", '"', " ", "=,", "permessage-deflate; a, "):
        assert negotiate(piece * 50000) is None
