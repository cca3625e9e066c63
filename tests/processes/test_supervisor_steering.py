"""The supervisor with real processes behind one UDP address: its workers come and go, and datagrams follow them."""

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastserver.config.bind import TCPBind
from fastserver.config.model import Config
from fastserver.processes import crew, spawning
from fastserver.processes.channel import Channel, Message
from fastserver.processes.generation import Generation
from fastserver.processes.supervisor import Supervisor
from fastserver.server.numbers import WorkerNumbers
from fastserver.transport.udpgroup import QUICPlace, UDPGroup
from tests.transport.test_steering import CONSTANTS, make_cid, make_long, make_short

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux steers")

PATIENCE_S = 10.0


class EchoWorker:
    """A worker of a UDP socket alone: it answers with the question's ID, its number, its process, whether it drains.

    What the datagram says behind 30 bytes is done: ``leave`` (ask to be retired), ``end``, ``die``.
    """

    def __init__(self, *_: object, channel: object, quic: object, **others: object) -> None:
        assert isinstance(channel, Channel)
        assert isinstance(quic, QUICPlace)
        self.channel, self.quic = channel, quic
        self.is_draining = False

    def run(self) -> int:
        (sock,) = self.quic.group.take(self.quic.number)
        self.channel.send(Message.READY)
        while True:
            readable, _, _ = select.select([sock.fileno(), self.channel.fileno()], [], [])
            if self.channel.fileno() in readable:
                messages = [message for message, _ in self.channel.receive()]
                if self.channel.ended or Message.STOP in messages:
                    return 0
                self.is_draining = self.is_draining or Message.RETIRE in messages
            with contextlib.suppress(BlockingIOError):
                data, address = sock.recvfrom(2048)
                answer = f"{data[1:14].hex()} {self.quic.number} {os.getpid()} {int(self.is_draining)}"
                sock.sendto(answer.encode(), address)
                if data.endswith(b"leave"):
                    self.channel.send(Message.LEAVING)
                elif data.endswith(b"die"):
                    os._exit(1)
                elif data.endswith(b"end"):
                    return 0


@dataclass
class Answer:
    number: int
    pid: int
    is_draining: bool


@dataclass
class Site:
    """A supervisor in a child, and a client of its address."""

    pid: int
    address: tuple[str, int]
    client: socket.socket
    log: Path

    def ask(self, data: bytes, wait_s: float) -> Answer | None:
        self.client.sendto(data, self.address)
        while select.select([self.client], [], [], wait_s)[0]:
            cid, number, pid, is_draining = self.client.recv(100).split()
            if cid == data[1:14].hex().encode():  # not a late answer to another question
                return Answer(int(number), int(pid), is_draining == b"1")
        return None

    def ask_worker(self, number: int, command: bytes = b"", wait_s: float = PATIENCE_S) -> Answer | None:
        """The answer to what carries the ID of a worker."""
        return self.ask(make_short(make_cid(number)) + command, wait_s)

    def meet(self) -> dict[int, int]:
        """The workers that new clients meet: numbers with their processes."""
        answers = [self.ask(make_long(os.urandom(18)), 0.02) for _ in range(30)]
        return {answer.number: answer.pid for answer in answers if answer is not None}

    def wait(self, is_true: Callable[[], bool], what: str) -> None:
        """Ask again, as clients do, until it is so."""
        until = time.monotonic() + PATIENCE_S
        while not is_true():
            assert time.monotonic() < until, f"{what}; the log:\n{self.log.read_text()}"

    def stop(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def run_supervisor(group: UDPGroup, log_path: Path) -> int:
    log = logging.Logger("tests.supervisor", logging.DEBUG)
    log.addHandler(logging.FileHandler(log_path))
    return Supervisor(Generation("no:app", Config(workers=2), [], None, WorkerNumbers(group)), log).run()


@pytest.fixture
def open_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Site]]:
    monkeypatch.setattr(spawning, "Worker", EchoWorker)
    monkeypatch.setattr(crew, "LEAVING_S", 0.01)
    sites: list[Site] = []

    def start(numbers: int) -> Site:
        log = tmp_path / "log"
        group = UDPGroup((TCPBind("127.0.0.1", 0),), numbers, CONSTANTS, logging.getLogger("tests.supervisor"))
        assert group.steered
        address = group.addresses[0]
        pid = os.fork()
        if not pid:
            status = 99
            try:
                status = run_supervisor(group, log)
            finally:
                os._exit(status)
        group.close()
        sites.append(Site(pid, address, socket.socket(socket.AF_INET, socket.SOCK_DGRAM), log))
        return sites[-1]

    yield start
    for site in sites:
        site.client.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if os.waitpid(site.pid, os.WNOHANG)[0] == 0:
                os.kill(site.pid, signal.SIGQUIT)
                os.waitpid(site.pid, 0)


def test_datagrams_follow_the_workers(open_site: Callable[[int], Site]) -> None:
    site = open_site(6)
    site.wait(lambda: set(site.meet()) == {0, 1}, "two workers serve")
    first = site.meet()
    for number in (0, 1):
        answer = site.ask_worker(number)
        assert answer == Answer(number, first[number], False)

    # One retires: it keeps its own, and its successor with another number gets the new.
    assert site.ask_worker(0, b"leave") is not None
    site.wait(lambda: set(site.meet()) == {1, 2}, "a successor has a number of its own")
    site.wait(lambda: site.ask_worker(0) == Answer(0, first[0], True), "who drains gets what is its own")

    # One crashes: what is its own goes to others.
    assert site.ask_worker(1, b"die") == Answer(1, first[1], False)
    site.wait(lambda: set(site.meet()) == {2, 3}, "a crash is made good")
    second = site.meet()
    answer = site.ask_worker(1)
    assert answer is not None
    assert answer.pid in second.values()

    # The one that drained ends.
    assert site.ask_worker(0, b"end") == Answer(0, first[0], True)
    site.wait(
        lambda: (found := site.ask_worker(0, wait_s=0.05)) is not None and found.pid in second.values(), "0 is nobody's"
    )
    assert site.meet() == second
    assert site.stop() == 0


def test_without_a_free_number_the_next_start_waits_for_an_end(open_site: Callable[[int], Site]) -> None:
    site = open_site(3)  # room for one worker beside the two that are asked for
    site.wait(lambda: set(site.meet()) == {0, 1}, "two workers serve")
    assert site.ask_worker(0, b"leave") is not None
    site.wait(lambda: set(site.meet()) == {1, 2}, "the last number is taken")
    assert site.ask_worker(1, b"leave") is not None
    site.wait(lambda: set(site.meet()) == {2}, "no number is left")
    site.wait(lambda: "every worker number of QUIC is in use" in site.log.read_text(), "it is told")
    drained = site.ask_worker(0, b"end")
    assert drained is not None
    site.wait(lambda: set(site.meet()) == {0, 2}, "the freed number serves again")
    successor = site.ask_worker(0)
    assert successor is not None
    assert (successor.is_draining, successor.pid != drained.pid) == (False, True)
    assert site.log.read_text().count("every worker number") == 1
    assert site.stop() == 0
