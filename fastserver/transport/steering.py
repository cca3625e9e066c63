"""Which worker a datagram of QUIC is for, as a program that the kernel runs.

The number of a worker is in each connection ID that it gives (``fastserver.protocol.quic.cids``).  What carries no
number of a living worker is of a new client, or of one whose worker is dead.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, groupby
from typing import Final

from fastserver.protocol.quic.cids import CID_BYTES, CONFIG_BITS, CONFIG_MASK
from fastserver.transport.bpf import Instruction, Op, Program

#: Where a connection ID begins behind a short and a long header (RFC 8999 section 5).
SHORT_CID_OFFSET: Final = 1
LONG_CID_OFFSET: Final = 6

#: Fewer bytes than this carry no connection: a long header has no room for eight bytes of ID, and a short one none for
#: the sample of its protection (RFC 9001 section 5.4.2).
LEAST_BYTES: Final = LONG_CID_OFFSET + CID_BYTES


def compose_steering(constants: tuple[int, int, int], accepting: Collection[int], living: Collection[int]) -> Program:
    """The program that gives the number of the worker which a datagram is for, starting behind the UDP header.

    That is the one whose number its connection ID carries, where that worker lives; otherwise one of ``accepting``,
    the same one for all datagrams with the same ID (see ``pick_number``).  A living worker gets what carries its number
    even where it takes no new connections, since nothing tells the second Initial of a handshake that it has begun from
    the first of a new client, whose random ID carries its number by chance (one in 2048): only the worker itself knows
    its IDs, and hands over what it does not know.

    ``accepting`` is a part of ``living`` and not empty.  At most 810 instructions, and less than 60 where the numbers
    are a few ranges; the kernel takes 4096.
    """
    to_owner = _compose_owner(constants, living)
    return (
        (Op.LD_LEN, 0, 0, 0),
        (Op.JGE, 1, 0, LEAST_BYTES),
        (Op.RET, 0, 0, min(accepting)),
        (Op.LD_BYTE, 0, 0, 0),
        (Op.LDX_K, 0, 0, SHORT_CID_OFFSET),
        (Op.STX, 0, 0, 1),  # M[1] = where the ID begins
        (Op.JSET, 0, 5, 0x80),  # a short header has no length to look at
        (Op.LDX_K, 0, 0, LONG_CID_OFFSET),
        (Op.STX, 0, 0, 1),
        (Op.LD_BYTE, 0, 0, LONG_CID_OFFSET - 1),
        (Op.JEQ, 1, 0, CID_BYTES),
        (Op.JA, 0, 0, 4 + len(to_owner)),  # not an ID of ours
        (Op.LD_BYTE_X, 0, 0, 0),
        (Op.AND, 0, 0, CONFIG_MASK),
        (Op.JEQ, 1, 0, CONFIG_BITS),
        (Op.JA, 0, 0, len(to_owner)),  # nor this one
        *to_owner,
        *_compose_hash(constants, accepting),
    )


def _compose_owner(constants: tuple[int, int, int], living: Collection[int]) -> Program:
    """The number that the ID at X carries (see ``cids.mix``), if it is one of ``living``; else it goes on behind."""
    key, odd, last = constants
    ranges = [
        step
        for first, final in _find_ranges(living)
        for step in ((Op.JGE, 0, 2, first), (Op.JGT, 1, 0, final), (Op.RET_A, 0, 0, 0))
    ]
    return (
        (Op.LD_WORD_X, 0, 0, 2),
        (Op.XOR, 0, 0, key),
        (Op.MUL, 0, 0, odd),
        (Op.TAX, 0, 0, 0),
        (Op.RSH, 0, 0, 16),
        (Op.XOR_X, 0, 0, 0),
        (Op.MUL, 0, 0, last),
        (Op.RSH, 0, 0, 24),
        (Op.ST, 0, 0, 0),
        (Op.LDX_MEM, 0, 0, 1),
        (Op.LD_BYTE_X, 0, 0, 1),
        (Op.LDX_MEM, 0, 0, 0),
        (Op.XOR_X, 0, 0, 0),
        *ranges,
    )


def _compose_hash(constants: tuple[int, int, int], accepting: Collection[int]) -> Program:
    """One of ``accepting``, by the eight bytes at M[1]."""
    key, odd, _ = constants
    numbers = sorted(accepting)
    choices: list[Instruction] = []
    for first, final in _find_ranges(numbers):
        index = numbers.index(first)
        choices += [
            (Op.JGE, 2, 0, index + final - first + 1),
            (Op.ADD, 0, 0, first - index),
            (Op.RET_A, 0, 0, 0),
        ]
    return (
        (Op.LDX_MEM, 0, 0, 1),
        (Op.LD_WORD_X, 0, 0, 0),
        (Op.ST, 0, 0, 0),
        (Op.LD_WORD_X, 0, 0, 4),
        (Op.LDX_MEM, 0, 0, 0),
        (Op.XOR_X, 0, 0, 0),
        (Op.XOR, 0, 0, key),
        (Op.MUL, 0, 0, odd),
        (Op.TAX, 0, 0, 0),
        (Op.RSH, 0, 0, 16),
        (Op.XOR_X, 0, 0, 0),
        (Op.MOD, 0, 0, len(numbers)),
        *choices,
        (Op.RET, 0, 0, numbers[0]),
    )


def pick_number(cid: bytes, constants: tuple[int, int, int], numbers: Collection[int]) -> int:
    """One of ``numbers``, always the same for the same first eight bytes of ``cid``: the program's choice in Python."""
    word = int.from_bytes(cid[:4], "big") ^ int.from_bytes(cid[4:8], "big") ^ constants[0]
    word = word * constants[1] & 0xFFFFFFFF
    return sorted(numbers)[(word ^ word >> 16) % len(numbers)]


def _find_ranges(numbers: Collection[int]) -> list[tuple[int, int]]:
    """``numbers`` as ranges, each by its first and its last."""
    ordinal = count()
    runs = [list(run) for _, run in groupby(sorted(numbers), lambda number: number - next(ordinal))]
    return [(run[0], run[-1]) for run in runs]
