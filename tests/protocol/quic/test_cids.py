"""Connection IDs: they find their worker, and show it to nobody else."""

import random
from collections import Counter

import pytest

from fastserver.protocol.quic.cids import (
    CID_BYTES,
    CONFIG_BITS,
    CONFIG_MASK,
    MAX_WORKERS,
    ConnectionIDs,
    mix,
    mix_constants,
)

SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
#: The 0.001 quantile beyond which 255 degrees of freedom are no chance.
CHI_SQUARE = 330.5


def measure_unevenness(values: list[int]) -> float:
    """Chi-square of bytes against an even spread."""
    expected = len(values) / 256
    counts = Counter(values)
    return sum((counts[value] - expected) ** 2 / expected for value in range(256))


@pytest.mark.parametrize("worker", [0, 1, 127, 255])
def test_q_5_an_id_finds_its_worker(worker: int) -> None:
    cids = ConnectionIDs(SECRET, worker)
    finder = ConnectionIDs(SECRET, 7)
    made = {cids.make() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(cid) for cid in made} == {CID_BYTES}
    assert {cid[0] & CONFIG_MASK for cid in made} == {CONFIG_BITS}
    assert {finder.find_worker(cid) for cid in made} == {worker}


def test_the_worker_is_not_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(5)
    monkeypatch.setattr("fastserver.protocol.quic.cids.os.urandom", noise.randbytes)
    of_one = [ConnectionIDs(SECRET, 3).make()[1] for _ in range(12_800)]
    of_all = [cids.make()[1] for cids in (ConnectionIDs(SECRET, n) for n in range(MAX_WORKERS)) for _ in range(50)]
    assert measure_unevenness(of_one) < CHI_SQUARE
    assert measure_unevenness(of_all) < CHI_SQUARE


def test_another_secret_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(6)
    monkeypatch.setattr("fastserver.protocol.quic.cids.os.urandom", noise.randbytes)
    cids, stranger = ConnectionIDs(SECRET, 3), ConnectionIDs(OTHER_SECRET, 3)
    found = [stranger.find_worker(cids.make()) for _ in range(12_800)]
    assert measure_unevenness([worker for worker in found if worker is not None]) < CHI_SQUARE


def test_neighbours_are_hidden_differently() -> None:
    """One bit of the nonce changes the byte as often as chance would."""
    constants = mix_constants(SECRET)
    for bit in range(32):
        same = sum(mix(word, constants) == mix(word ^ (1 << bit), constants) for word in range(0, 1 << 20, 1021))
        assert same < 64, bit


@pytest.mark.parametrize(
    "cid",
    [b"", bytes(7), bytes(8), bytes(9), b"\xe0" + bytes(7), b"\x40" + bytes(6), b"\x40" + bytes(8), b"\x60" + bytes(7)],
)
def test_what_no_worker_gives_has_none(cid: bytes) -> None:
    assert ConnectionIDs(SECRET, 0).find_worker(cid) is None


@pytest.mark.parametrize("word", [0, 1, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF])
def test_mix_is_what_a_filter_program_computes(word: int) -> None:
    k1, k2, k3 = mix_constants(SECRET)
    assert k2 & k3 & 1
    assert max(k1, k2, k3) < 1 << 32
    a = (word ^ k1) % (1 << 32)
    a = (a * k2) % (1 << 32)
    a = a ^ (a // (1 << 16))
    a = (a * k3) % (1 << 32)
    assert mix(word, (k1, k2, k3)) == a // (1 << 24)


def test_the_layout_is_fixed() -> None:
    """Workers of an older release read these IDs too, in a rolling restart."""
    assert mix_constants(SECRET) == (0x05CD0CA2, 0x8BFDB8D1, 0xD49BDC7D)
    assert ConnectionIDs(SECRET, 0).find_worker(bytes.fromhex("5f00010203040506")) == 105
    assert ConnectionIDs(SECRET, 9).make_reset_token(bytes(8)).hex() == "479658844f9a4b77087f0105703de21f"


@pytest.mark.parametrize("worker", [-1, 256])
def test_numbers_out_of_range_are_refused(worker: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        ConnectionIDs(SECRET, worker)


def test_q_5_reset_tokens_are_of_the_secret_alone() -> None:
    cids = ConnectionIDs(SECRET, 1)
    made = [cids.make() for _ in range(100)]
    tokens = [cids.make_reset_token(cid) for cid in made]
    assert [ConnectionIDs(SECRET, 2).make_reset_token(cid) for cid in made] == tokens
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {16}
    assert ConnectionIDs(OTHER_SECRET, 1).make_reset_token(made[0]) != tokens[0]
