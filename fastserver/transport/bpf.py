"""Classic BPF: programs that the Linux kernel runs for a socket, and how it gets them.  No privilege is needed.

An instruction is ``(code, jump if true, jump if false, operand)``; a jump counts the instructions that it skips, and a
load beyond the packet ends a program with 0.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeAlias

Instruction: TypeAlias = tuple[int, int, int, int]
Program: TypeAlias = Sequence[Instruction]

#: Options of a socket, which Python does not name.
SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
SO_ATTACH_REUSEPORT_CBPF: Final = 51


class Op(IntEnum):
    """The codes in use.  ``A`` and ``X`` are the registers, ``M`` the memory, ``k`` the operand, ``P`` the packet."""

    LD_LEN = 0x80  # A = length of P
    LD_BYTE = 0x30  # A = P[k]
    LD_BYTE_X = 0x50  # A = P[X + k]
    LD_WORD_X = 0x40  # A = P[X + k : X + k + 4], big endian
    LDX_K = 0x01  # X = k
    LDX_MEM = 0x61  # X = M[k]
    ST = 0x02  # M[k] = A
    STX = 0x03  # M[k] = X
    TAX = 0x07  # X = A
    ADD = 0x04  # A += k, and so on
    MUL = 0x24
    AND = 0x54
    RSH = 0x74
    MOD = 0x94
    XOR = 0xA4
    XOR_X = 0xAC  # A ^= X
    JA = 0x05  # skip k
    JEQ = 0x15  # by A == k
    JGT = 0x25
    JGE = 0x35
    JSET = 0x45  # by A & k
    RET = 0x06  # return k
    RET_A = 0x16


#: Run on each segment for a listening socket, starting at the TCP header: drop a SYN without ACK, pass everything else.
#: So no handshake begins, and those that have begun end (a filter that drops everything would lose them: the client has
#: its SYN-ACK and believes to be connected).
DROP_SYN: Final[Program] = (
    (Op.LD_BYTE, 0, 0, 13),  # A = flags byte
    (Op.AND, 0, 0, 0x12),  # A &= SYN | ACK
    (Op.JEQ, 0, 1, 0x02),  # if A != SYN skip one
    (Op.RET, 0, 0, 0),  # drop
    (Op.RET, 0, 0, 0xFFFFFFFF),  # pass
)

#: For a socket that nobody reads.
DROP_ALL: Final[Program] = ((Op.RET, 0, 0, 0),)


def attach(sock: socket.socket, option: int, program: Program) -> None:
    """Have the kernel run ``program`` in place of what it ran before; in one step.  Raises ``OSError``."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program), ctypes.addressof(buffer)))
