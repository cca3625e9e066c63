"""Datagrams of 1,200 bytes over the loopback: the share of each, so many at a time, of one peer or of as many.

"socket" is ``recvfrom`` and ``sendto``, one call for each, until there is nothing to read.
"""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, TypeAlias

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row
from fastserver._speedups.udpsocket import prepare_socket

DATA = bytes(1200)
COUNTS = (1, 16, 64)

Datagram: TypeAlias = "tuple[bytes, tuple[str, int], bytes | None]"
Receive: TypeAlias = Callable[[socket.socket], int]
Send: TypeAlias = "Callable[[socket.socket, list[Datagram]], int]"


def receive_plainly(sock: socket.socket) -> int:
    """Read all that waits: how many."""
    found: list[tuple[bytes, Any]] = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recvfrom(65536))
    return len(found)


def send_plainly(sock: socket.socket, datagrams: list[Datagram]) -> int:
    """Write all: how many."""
    for data, address, _ in datagrams:
        sock.sendto(data, address)
    return len(datagrams)


def make_calls(room: Room) -> tuple[Receive, Send]:
    """Reading and writing as one build of ours does."""
    module: Any = room.module("datagrams")

    def receive(sock: socket.socket) -> int:
        count = 0
        while batch := module.receive(sock.fileno(), 64):
            count += len(batch)
            if len(batch) < 64:
                break
        return count

    def send(sock: socket.socket, datagrams: list[Datagram]) -> int:
        count: int = module.send(sock.fileno(), datagrams)
        return count

    return receive, send


def open_socket(stack: ExitStack, is_prepared: bool) -> socket.socket:
    """A bound socket; without options where its calls do not know what comes of them."""
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    if is_prepared:
        prepare_socket(sock)
    return sock


def time_both(receive: Receive, send: Send, count: int, is_many: bool, effort: Effort) -> tuple[float, float]:
    """Nanoseconds of reading and of writing one of ``count`` datagrams, of as many peers or of one alone."""
    reading: list[int] = []
    writing: list[int] = []
    with ExitStack() as stack:
        is_prepared = receive is not receive_plainly
        server = open_socket(stack, is_prepared)
        peers = [open_socket(stack, is_prepared) for _ in range(count if is_many else 1)]
        share = count // len(peers)
        requests: list[Datagram] = [(DATA, server.getsockname(), None)] * share
        answers: list[Datagram] = [(DATA, peer.getsockname(), None) for peer in peers for _ in range(share)]
        for _ in range(effort.repeats):
            until = time.perf_counter() + effort.repeat_s
            while True:
                for peer in peers:
                    send(peer, requests)
                started = time.perf_counter_ns()
                assert receive(server) == count
                read = time.perf_counter_ns()
                assert send(server, answers) == count
                written = time.perf_counter_ns()
                for peer in peers:
                    assert receive(peer) == share
                reading.append(read - started)
                writing.append(written - read)
                if time.perf_counter() >= until:
                    break
    return min(reading) / count, min(writing) / count


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for reading and one for writing at each size, a variant for each room beside plain sockets."""
    variants = {room.name: make_calls(room) for room in rooms}
    variants["socket"] = (receive_plainly, send_plainly)
    rows = []
    for count in COUNTS:
        for is_many in (False, True)[: 1 if count == 1 else 2]:
            peers = f"{count} peers" if is_many else "one peer"
            read, written = Row(f"read {count}, {peers}", {}), Row(f"write {count}, {peers}", {})
            for name, (receive, send) in variants.items():
                read.ns[name], written.ns[name] = time_both(receive, send, count, is_many, effort)
            rows += [read, written]
    return rows
