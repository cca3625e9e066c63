"""The bad network of the HTTP/3 tests does what it says."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.badnetwork import BadNetwork, Faults

END = b"end"


class Echo:
    """A server that sends everything back and keeps whom it has heard, and what."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.heard: list[tuple[int, bytes]] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            data, address = self.socket.recvfrom(65536)
            if data == END:
                return
            self.heard.append((address[1], data))
            self.socket.sendto(data, address)

    def stop(self) -> None:
        self.socket.sendto(END, self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.stop()


@contextmanager
def open_client(network: BadNetwork) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", network.port))
        client.settimeout(5)
        yield client


def ask(client: socket.socket, data: bytes) -> bytes:
    client.send(data)
    return client.recv(65536)


def wait_taken(network: BadNetwork, count: int) -> None:
    deadline = time.monotonic() + 5
    while network.counts["up"] < count:
        assert time.monotonic() < deadline
        time.sleep(0)  # lets the network's thread run


def send_many(echo: Echo, faults: Faults, count: int) -> tuple[BadNetwork, list[int]]:
    """Send so many numbers; gives those that the server has heard once all that can come has come."""
    with BadNetwork(echo.port, faults) as network, open_client(network) as client:
        for number in range(count):
            client.send(b"%d" % number)
            wait_taken(network, number + 1)  # or the kernel would lose some itself
        client.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            while True:
                client.recv(65536)
    return network, [int(data) for _, data in echo.heard]


def test_a_good_network_passes_everything_on(echo: Echo) -> None:
    network, heard = send_many(echo, Faults(), 200)
    assert heard == list(range(200))
    assert network.counts == {"up": 200, "down": 200}


def test_clients_have_ports_of_their_own(echo: Echo) -> None:
    with BadNetwork(echo.port) as network, open_client(network) as one, open_client(network) as other:
        assert ask(one, b"one") == b"one"
        assert ask(other, b"other") == b"other"
        assert ask(one, b"one again") == b"one again"
        first, second, third = (port for port, _ in echo.heard)
        assert first == third != second
        assert sorted(network.ports) == sorted([first, second])


def test_loss_has_its_share(echo: Echo) -> None:
    network, heard = send_many(echo, Faults(loss=0.2), 500)
    assert 60 < 500 - len(heard) < 140
    assert heard == sorted(set(heard))
    assert network.counts["down"] == len(heard)
    assert 120 < network.counts["lost"] < 240


def test_duplicates_come_twice(echo: Echo) -> None:
    _, heard = send_many(echo, Faults(duplicate=0.2), 300)
    assert sorted(set(heard)) == list(range(300))
    assert 30 < len(heard) - 300 < 90


def test_reordered_datagrams_come_later(echo: Echo) -> None:
    _, heard = send_many(echo, Faults(reorder=0.2), 300)
    assert sorted(heard) == list(range(300))
    assert heard != sorted(heard)


def test_the_same_seed_is_the_same_network() -> None:
    """One datagram at a time, and nobody who answers: the draws are in the order of the numbers."""

    def find_lost(seed: int) -> list[int]:
        lost = []
        with BadNetwork(1, Faults(loss=0.5, seed=seed)) as network, open_client(network) as client:
            for number in range(50):
                before = network.counts["lost"]
                client.send(b"%d" % number)
                wait_taken(network, number + 1)
                network.rebind()  # the datagram's turn is over
                if network.counts["lost"] > before:
                    lost.append(number)
        return lost

    first = find_lost(3)
    assert first == find_lost(3) != find_lost(4)


def test_delay_is_kept_both_ways(echo: Echo) -> None:
    with BadNetwork(echo.port, Faults(delay_s=0.02)) as network, open_client(network) as client:
        began = time.monotonic()
        assert ask(client, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.04


def test_a_rebinding_is_another_port_for_the_same_client(echo: Echo) -> None:
    with BadNetwork(echo.port) as network, open_client(network) as client:
        ask(client, b"before")
        network.rebind()
        assert ask(client, b"after") == b"after"
        (before, _), (after, _) = echo.heard
        assert before != after
        assert network.ports == [after]
        # The old port is silent, not closed.
        echo.socket.sendto(b"late", ("127.0.0.1", before))
        assert ask(client, b"again") == b"again"
