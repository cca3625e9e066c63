"""Tokens: they open for whom and while they should, and for nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography")

from fastserver.protocol.quic.tokens import (
    ADDRESS_LIFE_S,
    MAX_TOKEN_BYTES,
    RETRY_LIFE_S,
    InvalidToken,
    Tokens,
)

SECRET = bytes(range(32))
ADDRESS = ("192.0.2.9", 4711)
NOW = 1_700_000_000.0
ORIGINAL, RETRY = b"original", b"retrycid"
TOKENS = Tokens(SECRET)


@pytest.mark.parametrize("address", [ADDRESS, ("2001:db8::1", 1), ("fe80::1%eth0", 65535), ("", 0)])
@pytest.mark.parametrize("original", [ORIGINAL, bytes(20)])
def test_q_4_every_worker_opens_what_one_has_sealed(address: tuple[str, int], original: bytes) -> None:
    token = TOKENS.seal_retry(address, original, RETRY, NOW)
    assert len(token) <= MAX_TOKEN_BYTES
    assert Tokens(SECRET).open_retry(token, address, RETRY, NOW + 1) == original
    token = TOKENS.seal_address(address, NOW)
    Tokens(SECRET).open_address(token, address, NOW + 1)
    Tokens(SECRET).open_address(token, (address[0], 1234), NOW + 1)


@pytest.mark.parametrize(
    ("address", "cid", "secret"),
    [
        (("192.0.2.8", 4711), RETRY, SECRET),
        (("192.0.2.9", 4712), RETRY, SECRET),
        (ADDRESS, b"retrycie", SECRET),
        (ADDRESS, b"", SECRET),
        (ADDRESS, RETRY, bytes(32)),
    ],
)
def test_q_4_a_retry_token_is_bound(address: tuple[str, int], cid: bytes, secret: bytes) -> None:
    token = TOKENS.seal_retry(ADDRESS, ORIGINAL, RETRY, NOW)
    with pytest.raises(InvalidToken):
        Tokens(secret).open_retry(token, address, cid, NOW)


def test_what_a_token_is_bound_to_does_not_run_together() -> None:
    """The ID's length is bound as well: no byte of it can pass for one of the host."""
    token = TOKENS.seal_retry(("b.example", 1), ORIGINAL, b"12345678a", NOW)
    with pytest.raises(InvalidToken):
        TOKENS.open_retry(token, ("ab.example", 1), b"12345678", NOW)


def test_an_address_token_is_of_its_host() -> None:
    token = TOKENS.seal_address(ADDRESS, NOW)
    with pytest.raises(InvalidToken):
        TOKENS.open_address(token, ("192.0.2.8", 4711), NOW)


@pytest.mark.parametrize(
    ("age_s", "opens"),
    [
        (0.0, True),
        (RETRY_LIFE_S, True),
        (RETRY_LIFE_S + 0.01, False),
        (-RETRY_LIFE_S, True),
        (-RETRY_LIFE_S - 0.01, False),
        (1e12, False),
        (-1e12, False),
    ],
)
def test_a_token_has_its_time_and_the_clock_may_jump(age_s: float, opens: bool) -> None:
    retry = TOKENS.seal_retry(ADDRESS, ORIGINAL, RETRY, NOW)
    long_ago = ADDRESS_LIFE_S / RETRY_LIFE_S * age_s
    address = TOKENS.seal_address(ADDRESS, NOW)
    if opens:
        assert TOKENS.open_retry(retry, ADDRESS, RETRY, NOW + age_s) == ORIGINAL
        TOKENS.open_address(address, ADDRESS, NOW + long_ago)
        return
    with pytest.raises(InvalidToken):
        TOKENS.open_retry(retry, ADDRESS, RETRY, NOW + age_s)
    with pytest.raises(InvalidToken):
        TOKENS.open_address(address, ADDRESS, NOW + long_ago)


def test_a_clock_before_its_epoch_is_a_clock() -> None:
    token = TOKENS.seal_retry(ADDRESS, ORIGINAL, RETRY, -5.0)
    assert TOKENS.open_retry(token, ADDRESS, RETRY, 5.0) == ORIGINAL


def test_the_kinds_are_told_apart() -> None:
    retry, address = TOKENS.seal_retry(ADDRESS, b"", RETRY, NOW), TOKENS.seal_address(ADDRESS, NOW)
    assert TOKENS.is_retry(retry)
    assert not TOKENS.is_retry(address)
    assert not TOKENS.is_retry(b"")
    for token in (address, b"\1" + address[1:]):
        with pytest.raises(InvalidToken):
            TOKENS.open_retry(token, ADDRESS, RETRY, NOW)
    for token in (retry, b"\2" + retry[1:]):
        with pytest.raises(InvalidToken):
            TOKENS.open_address(token, ADDRESS, NOW)


def test_tokens_differ_and_tell_nothing() -> None:
    one, other = (TOKENS.seal_retry(ADDRESS, ORIGINAL, RETRY, NOW) for _ in range(2))
    assert one[1:13] != other[1:13]
    assert one[13:] != other[13:]
    assert ORIGINAL not in one
    assert b"192.0.2.9" not in one


@given(data=st.data())
def test_no_bytes_raise_anything_else(data: st.DataObject) -> None:
    made = TOKENS.seal_retry(ADDRESS, ORIGINAL, RETRY, NOW)
    at = data.draw(st.integers(0, len(made) - 1))
    flipped = made[:at] + bytes((made[at] ^ data.draw(st.integers(1, 255)),)) + made[at + 1 :]
    loose = data.draw(st.sampled_from([b"", b"\1", b"\2"])) + data.draw(st.binary(max_size=200))
    for token in (flipped, made[:at], made + b"\0", loose):
        with pytest.raises(InvalidToken):
            TOKENS.open_retry(token, ADDRESS, RETRY, NOW)
        with pytest.raises(InvalidToken):
            TOKENS.open_address(token, ADDRESS, NOW)
