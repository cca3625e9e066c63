"""Classic BPF: programs that the Linux kernel runs for a socket, built here and attached here.

Two are in use.  ``DROP_SYN`` keeps a listening TCP socket from new connections; ``compose_steering`` chooses, for each
datagram that arrives at a group of UDP sockets, the one that gets it.  Both need no privilege.  Instructions are
``(code, jump if true, jump if false, operand)``; a load beyond the packet ends a program with 0.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection, Sequence
from itertools import count, groupby
from typing import Final, TypeAlias

from fastserver.protocol.quic.cids import CID_BYTES, CONFIG_BITS, CONFIG_MASK, mix

Instruction: TypeAlias = tuple[int, int, int, int]
Program: TypeAlias = Sequence[Instruction]

SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
SO_ATTACH_REUSEPORT_CBPF: Final = 51

#: Where a connection ID begins behind a short and a long header (RFC 8999 section 5).
SHORT_CID_OFFSET: Final = 1
LONG_CID_OFFSET: Final = 6

#: Fewer bytes than this carry no connection: a long header has no room for eight bytes of ID, and a short one none for
#: the sample of its protection (RFC 9001 section 5.4.2).
LEAST_BYTES: Final = LONG_CID_OFFSET + CID_BYTES

_LD_LEN: Final = 0x80
_LD_BYTE: Final = 0x30
_LD_BYTE_X: Final = 0x50
_LD_WORD_X: Final = 0x40
_LDX_K: Final = 0x01
_LDX_MEM: Final = 0x61
_ST: Final = 0x02
_STX: Final = 0x03
_TAX: Final = 0x07
_ADD: Final = 0x04
_MUL: Final = 0x24
_AND: Final = 0x54
_RSH: Final = 0x74
_MOD: Final = 0x94
_XOR: Final = 0xA4
_XOR_X: Final = 0xAC
_JA: Final = 0x05
_JEQ: Final = 0x15
_JGT: Final = 0x25
_JGE: Final = 0x35
_JSET: Final = 0x45
_RET: Final = 0x06
_RET_A: Final = 0x16

#: Run on each segment for a listening socket, starting at the TCP header: drop a SYN without ACK, pass everything else.
#: So no handshake begins, and those that have begun end (a filter that drops everything would lose them: the client has
#: its SYN-ACK and believes to be connected).
DROP_SYN: Final[Program] = (
    (_LD_BYTE, 0, 0, 13),  # A = flags byte
    (_AND, 0, 0, 0x12),  # A &= SYN | ACK
    (_JEQ, 0, 1, 0x02),  # if A != SYN skip one
    (_RET, 0, 0, 0),  # drop
    (_RET, 0, 0, 0xFFFFFFFF),  # pass
)

#: For a socket that nobody reads.
DROP_ALL: Final[Program] = ((_RET, 0, 0, 0),)


def attach(sock: socket.socket, option: int, program: Program) -> None:
    """Have the kernel run ``program`` in place of what it ran before; in one step.  Raises ``OSError``."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program), ctypes.addressof(buffer)))


def compose_steering(constants: tuple[int, int, int], accepting: Collection[int], living: Collection[int]) -> Program:
    """The program that gives the number of the worker which a datagram is for, starting behind the UDP header.

    It says what ``choose_number`` says.  ``accepting`` is a part of ``living`` and not empty.  At most 810
    instructions, and less than 60 where the numbers are a few ranges; the kernel takes 4096.
    """
    key, odd, last = constants
    ranges = [
        step
        for first, final in _find_ranges(living)
        for step in ((_JGE, 0, 2, first), (_JGT, 1, 0, final), (_RET_A, 0, 0, 0))
    ]
    return (
        (_LD_LEN, 0, 0, 0),
        (_JGE, 1, 0, LEAST_BYTES),
        (_RET, 0, 0, min(accepting)),
        (_LD_BYTE, 0, 0, 0),
        (_LDX_K, 0, 0, SHORT_CID_OFFSET),
        (_STX, 0, 0, 1),
        (_JSET, 0, 5, 0x80),  # a short header: to what finds the worker
        (_LDX_K, 0, 0, LONG_CID_OFFSET),
        (_STX, 0, 0, 1),
        (_LD_BYTE, 0, 0, LONG_CID_OFFSET - 1),
        (_JEQ, 1, 0, CID_BYTES),
        (_JA, 0, 0, 17 + len(ranges)),  # not an ID of ours: to the hash
        (_LD_BYTE_X, 0, 0, 0),
        (_AND, 0, 0, CONFIG_MASK),
        (_JEQ, 1, 0, CONFIG_BITS),
        (_JA, 0, 0, 13 + len(ranges)),  # nor this one: its configuration is another
        (_LD_WORD_X, 0, 0, 2),
        (_XOR, 0, 0, key),
        (_MUL, 0, 0, odd),
        (_TAX, 0, 0, 0),
        (_RSH, 0, 0, 16),
        (_XOR_X, 0, 0, 0),
        (_MUL, 0, 0, last),
        (_RSH, 0, 0, 24),
        (_ST, 0, 0, 0),
        (_LDX_MEM, 0, 0, 1),
        (_LD_BYTE_X, 0, 0, 1),
        (_LDX_MEM, 0, 0, 0),
        (_XOR_X, 0, 0, 0),  # A = the number that the ID carries
        *ranges,
        *_compose_hash(constants, accepting),
    )


def _compose_hash(constants: tuple[int, int, int], accepting: Collection[int]) -> Program:
    """One of ``accepting`` by the eight bytes at the offset in M[1]."""
    key, odd, _ = constants
    numbers = sorted(accepting)
    choices: list[Instruction] = []
    for first, final in _find_ranges(numbers):
        index = numbers.index(first)
        choices += [
            (_JGE, 2, 0, index + final - first + 1),
            (_ADD, 0, 0, first - index),
            (_RET_A, 0, 0, 0),
        ]
    return (
        (_LDX_MEM, 0, 0, 1),
        (_LD_WORD_X, 0, 0, 0),
        (_ST, 0, 0, 0),
        (_LD_WORD_X, 0, 0, 4),
        (_LDX_MEM, 0, 0, 0),
        (_XOR_X, 0, 0, 0),
        (_XOR, 0, 0, key),
        (_MUL, 0, 0, odd),
        (_TAX, 0, 0, 0),
        (_RSH, 0, 0, 16),
        (_XOR_X, 0, 0, 0),
        (_MOD, 0, 0, len(numbers)),
        *choices,
        (_RET, 0, 0, numbers[0]),
    )


def choose_number(
    data: bytes, constants: tuple[int, int, int], accepting: Collection[int], living: Collection[int]
) -> int:
    """The worker that ``data`` is for: the one whose number its connection ID carries, where that worker lives.

    Otherwise one of ``accepting``, the same one for all datagrams with the same ID.  A living worker gets what carries
    its number even where it takes no new connections, since nothing tells the second Initial of a handshake that it
    has begun from the first of a new client, whose random ID carries its number by chance (one in 2048): only the
    worker itself knows its IDs, and hands over what it does not know.
    """
    if len(data) < LEAST_BYTES:
        return min(accepting)
    is_long = data[0] & 0x80
    offset = LONG_CID_OFFSET if is_long else SHORT_CID_OFFSET
    cid = data[offset : offset + CID_BYTES]
    has_length = not is_long or data[LONG_CID_OFFSET - 1] == CID_BYTES
    if has_length and cid[0] & CONFIG_MASK == CONFIG_BITS:
        number = cid[1] ^ mix(int.from_bytes(cid[2:6], "big"), constants)
        if number in living:
            return number
    return pick_number(cid, constants, accepting)


def pick_number(cid: bytes, constants: tuple[int, int, int], numbers: Collection[int]) -> int:
    """One of ``numbers``, always the same for the same first eight bytes of ``cid``."""
    word = int.from_bytes(cid[:4], "big") ^ int.from_bytes(cid[4:8], "big") ^ constants[0]
    word = word * constants[1] & 0xFFFFFFFF
    return sorted(numbers)[(word ^ word >> 16) % len(numbers)]


def _find_ranges(numbers: Collection[int]) -> list[tuple[int, int]]:
    """``numbers`` as ranges, each by its first and its last."""
    ordinal = count()
    runs = [list(run) for _, run in groupby(sorted(numbers), lambda number: number - next(ordinal))]
    return [(run[0], run[-1]) for run in runs]
