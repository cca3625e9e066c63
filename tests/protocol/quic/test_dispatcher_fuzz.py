"""Whatever comes, nothing raises, nothing is amplified, and nothing is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aioquic")

from fastserver.protocol.quic.cids import ConnectionIDs
from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.protocol.quic.tokens import Tokens
from fastserver.protocol.quic.verdicts import Forward, Open, Reply, Verdict
from tests.protocol.quic.clients import CLIENT, SECRET, V1, V2, Client, make_dispatcher

TOKENS = Tokens(SECRET)
RETRY_CID = ConnectionIDs(SECRET, 1).make()
INITIALS = [
    *(Client(version).datagrams[0] for version in (V1, V2)),
    Client(token=TOKENS.seal_address(CLIENT, 0.0)).datagrams[0],
    Client(token=TOKENS.seal_retry(CLIENT, bytes(8), RETRY_CID, 0.0)).datagrams[0],
]
SIZES = (0, 1, 6, 7, 20, 21, 22, 43, 1199, 1200, 1472)


@st.composite
def draw_datagram(draw: st.DrawFn) -> bytes:
    """A real Initial with some bytes changed, or bytes with a likely head; then cut or lengthened."""
    if draw(st.booleans()):
        data = bytearray(draw(st.sampled_from(INITIALS)))
        for at, value in draw(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4)):
            data[at] = value
    else:
        version = draw(st.sampled_from((0, V1, V2, 0x1A2A3A4A)))
        data = bytearray((draw(st.integers(0, 255)),)) + version.to_bytes(4, "big") + draw(st.binary(max_size=80))
    size = draw(st.sampled_from((len(data), *SIZES)))
    return bytes(data[:size].ljust(size, b"\0"))


@st.composite
def draw_dispatcher(draw: st.DrawFn) -> Dispatcher[int]:
    """One of any state."""
    is_full, has_choice = draw(st.booleans()), draw(st.booleans())
    dispatcher = make_dispatcher(
        retry=draw(st.sampled_from(("auto", "always", "never"))),
        max_half_open=4,
        is_full=lambda: is_full,
        is_living=draw(st.sampled_from((None, lambda number: number % 2 == 0))),
        choose_worker=(lambda cid: cid[0] % 4) if has_choice else None,
    )
    for number in range(draw(st.sampled_from((0, 1, 4)))):
        dispatcher.note_opened(number, b"initial%d" % number)
    stops = draw(st.sampled_from((None, False, True)))
    if stops is not None:
        dispatcher.stop_admitting(is_retiring=stops)
    return dispatcher


@given(dispatcher=draw_dispatcher(), datagrams=st.lists(draw_datagram(), max_size=3), is_forwarded=st.booleans())
def test_q_1_nothing_raises_and_nothing_is_amplified(
    dispatcher: Dispatcher[int], datagrams: list[bytes], is_forwarded: bool
) -> None:
    known, half_open = len(dispatcher), dispatcher.half_open
    for data in datagrams:
        if dispatcher.find(data) is None:
            check(data, dispatcher.admit(data, CLIENT, 0.0, is_forwarded=is_forwarded))
    assert (len(dispatcher), dispatcher.half_open) == (known, half_open)


def check(data: bytes, verdict: Verdict | None) -> None:
    """What every answer has to be."""
    if isinstance(verdict, Reply):
        # A stateless reset (RFC 9000 section 10.3), or versions for connection IDs that may be empty (section 17.2.1).
        least = 11 if verdict.data[0] & 0x80 else 21
        assert least <= len(verdict.data) < len(data)
    elif isinstance(verdict, Forward):
        assert 0 <= verdict.worker <= 255
        assert verdict.worker != 1
    elif isinstance(verdict, Open):
        assert len(data) >= 1200
        assert 8 <= len(verdict.initial_cid) <= 20


@given(data=st.binary(max_size=64), cids=st.sets(st.binary(max_size=20), max_size=8))
def test_only_a_known_id_is_found(data: bytes, cids: set[bytes]) -> None:
    dispatcher = make_dispatcher()
    for cid in cids:
        dispatcher.register(cid, cid)
    found = dispatcher.find(data)
    assert found is None or (found in cids and found in data)
