"""The steering program in an interpreter, against the rule as it is said; its limits are the kernel's."""

import random
import struct
from collections.abc import Collection
from functools import cache

import pytest

from fastserver.protocol.quic.cids import ConnectionIDs, mix_constants
from fastserver.transport.bpf import Program
from fastserver.transport.steering import LEAST_BYTES, compose_steering, pick_number

CONSTANTS = (0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35)
CHANCE = random.Random(5)


def mix(cid: bytes) -> int:
    """The mask, written out from the definition of the layout."""
    word = int.from_bytes(cid[2:6], "big") ^ CONSTANTS[0]
    word = (word * CONSTANTS[1]) % 2**32
    word ^= word >> 16
    word = (word * CONSTANTS[2]) % 2**32
    return word >> 24


def choose_number(data: bytes, accepting: Collection[int], living: Collection[int]) -> int:
    """The rule: who gave the ID, where he lives, otherwise one who accepts."""
    if len(data) < LEAST_BYTES:
        return min(accepting)
    is_long = data[0] & 0x80
    cid = data[6:14] if is_long else data[1:9]
    if (not is_long or data[5] == 8) and cid[0] >> 5 == 2:
        number = cid[1] ^ mix(cid)
        if number in living:
            return number
    return pick_number(cid, CONSTANTS, accepting)


def make_cid(number: int) -> bytes:
    body = CHANCE.randbytes(8)
    return bytes([0x40 | body[0] & 0x1F, number ^ mix(body)]) + body[2:]


def make_short(cid: bytes) -> bytes:
    return bytes([0x40 | CHANCE.randrange(0x40)]) + cid + CHANCE.randbytes(CHANCE.randrange(21, 1300))


def make_long(cid: bytes, version: int = 1) -> bytes:
    first = 0xC0 | CHANCE.randrange(0x40)
    return struct.pack("!BIB", first, version, len(cid)) + cid + CHANCE.randbytes(CHANCE.randrange(21, 1300))


class OutOfPacket(Exception):
    pass


def execute(program: Program, data: bytes) -> int:
    """What the kernel makes of ``program``: 32-bit registers, big-endian loads, 0 for a load beyond the packet."""
    try:
        return run(program, data)
    except OutOfPacket:
        return 0


def load(data: bytes, offset: int, size: int) -> int:
    if offset + size > len(data):
        raise OutOfPacket
    return int.from_bytes(data[offset : offset + size], "big")


def run(program: Program, data: bytes) -> int:
    a = x = pc = 0
    memory: dict[int, int] = {}
    while True:
        code, yes, no, k = program[pc]
        pc += 1
        match code:
            case 0x80:
                a = len(data)
            case 0x30:
                a = load(data, k, 1)
            case 0x50:
                a = load(data, x + k, 1)
            case 0x40:
                a = load(data, x + k, 4)
            case 0x01:
                x = k
            case 0x61:
                x = memory[k]
            case 0x02:
                memory[k] = a
            case 0x03:
                memory[k] = x
            case 0x07:
                x = a
            case 0x04:
                a = a + k & 0xFFFFFFFF
            case 0x24:
                a = a * k & 0xFFFFFFFF
            case 0x54:
                a &= k
            case 0x74:
                a >>= k
            case 0x94:
                a %= k
            case 0xA4:
                a ^= k
            case 0xAC:
                a ^= x
            case 0x05:
                pc += k
            case 0x15:
                pc += yes if a == k else no
            case 0x25:
                pc += yes if a > k else no
            case 0x35:
                pc += yes if a >= k else no
            case 0x45:
                pc += yes if a & k else no
            case 0x06:
                return k
            case 0x16:
                return a
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@cache
def compose(accepting: frozenset[int], living: frozenset[int]) -> Program:
    return compose_steering(CONSTANTS, accepting, living)


def route(data: bytes, accepting: Collection[int], living: Collection[int]) -> int:
    return execute(compose(frozenset(accepting), frozenset(living)), data)


def list_datagrams(numbers: Collection[int]) -> list[bytes]:
    cids = [make_cid(number) for number in numbers for _ in range(3)] + [CHANCE.randbytes(8) for _ in range(50)]
    others = [CHANCE.randbytes(size) for size in (0, 1, 5, 7, 9, 18, 20) for _ in range(5)]
    stray = [CHANCE.randbytes(size) for size in range(40)]
    return [
        *map(make_short, cids),
        *map(make_long, cids),
        *(make_long(cid, 0x6B3343CF) for cid in cids),
        *map(make_long, others),
        *stray,
    ]


SETS = [
    ({0}, {0}),
    ({0, 1, 2, 3}, {0, 1, 2, 3}),
    ({4, 5, 2, 3}, {0, 1, 2, 3, 4, 5}),
    ({255}, {0, 255}),
    (set(range(256)), set(range(256))),
    (set(range(0, 256, 2)), set(range(0, 256, 2))),
    ({7, 9, 10, 11, 30}, {1, 7, 9, 10, 11, 30, 31, 32, 200}),
]


@pytest.mark.parametrize(("accepting", "living"), SETS)
def test_the_program_says_what_the_rule_says(accepting: set[int], living: set[int]) -> None:
    for data in list_datagrams(living):
        assert route(data, accepting, living) == choose_number(data, accepting, living), data[:20].hex()


@pytest.mark.parametrize(("accepting", "living"), SETS)
def test_programs_are_such_as_the_kernel_takes(accepting: set[int], living: set[int]) -> None:
    program = compose_steering(CONSTANTS, accepting, living)
    assert len(program) <= 810
    for index, (code, yes, no, k) in enumerate(program):
        assert 0 <= k < 2**32
        assert 0 <= yes < 256
        assert 0 <= no < 256
        target = max(yes, no) if code & 7 == 5 and code != 0x05 else k if code == 0x05 else 0
        assert index + 1 + target < len(program) or code & 7 == 6


def test_a_common_program_is_short() -> None:
    assert len(compose_steering(CONSTANTS, {2, 3, 4, 5}, {0, 2, 3, 4, 5})) < 60


def test_an_id_of_ours_leads_to_its_worker_behind_either_header() -> None:
    for number in range(256):
        cid = make_cid(number)
        for data in (make_short(cid), make_long(cid), make_long(cid, 0x6B3343CF)):
            assert route(data, {3}, set(range(256))) == number


def test_the_ids_of_the_maker_lead_to_their_worker() -> None:
    secret = bytes(32)
    for number in range(256):
        cid = ConnectionIDs(secret, number).make()
        program = compose_steering(mix_constants(secret), {3}, set(range(256)))
        assert execute(program, make_short(cid)) == execute(program, make_long(cid)) == number


def test_an_id_of_another_configuration_is_a_new_clients() -> None:
    for bits in (0x00, 0x20, 0x60, 0x80, 0xC0, 0xE0):
        cid = make_cid(7)
        cid = bytes([bits | cid[0] & 0x1F]) + cid[1:]
        assert route(make_long(cid), {3}, {3, 7}) == 3
        assert ConnectionIDs(bytes(32), 0).find_worker(cid) is None


def test_the_id_of_a_dead_worker_leads_to_one_that_accepts() -> None:
    found = {route(make_short(make_cid(7)), {1, 2, 3}, {1, 2, 3, 4}) for _ in range(200)}
    assert found == {1, 2, 3}


def test_a_draining_worker_gets_what_carries_its_number_and_nothing_else() -> None:
    accepting, living = {1, 2}, {1, 2, 9}
    assert route(make_long(make_cid(9)), accepting, living) == 9
    others = [make_long(CHANCE.randbytes(size)) for size in (9, 12, 18, 20) for _ in range(100)]
    assert {route(data, accepting, living) for data in others} == {1, 2}


def test_new_clients_are_spread_evenly_and_each_stays_where_it_is() -> None:
    accepting = {0, 1, 5, 6}
    counts = dict.fromkeys(accepting, 0)
    for _ in range(4000):
        cid = CHANCE.randbytes(18)
        number = route(make_long(cid), accepting, accepting)
        assert route(make_long(cid), accepting, accepting) == number
        assert pick_number(cid, CONSTANTS, accepting) == number
        counts[number] += 1
    assert min(counts.values()) > 850
