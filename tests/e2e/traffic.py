"""Clients of every kind in threads, each in a loop that ends when the server refuses it: who was failed, and how.

A failure is a request that was not answered rightly once its connection was made.  What a protocol lets a client know
to be unserved (HTTP/2's REFUSED_STREAM, and streams behind the last of a GOAWAY) is none, nor is a session that ends
with 1012.
"""

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_session

from fastserver._speedups.h2.errors import REFUSED_STREAM
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import Client, connect
from tests.e2e.processes import PATIENCE_S

#: One turn on a connection of its own: how many requests were answered on it.  Raises what goes wrong.
Turn = Callable[[int, ssl.SSLContext | None], int]

PART = b"x" * 4096
PARTS = 8


def ask(port: int, context: ssl.SSLContext | None) -> int:
    """Requests on one connection until the server says that it closes, at most 20."""
    with Client(port, context) as client:
        for number in range(20):
            client.send(f"GET /late?0.00{number % 10} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            head = client.read_until(b"\r\n\r\n").lower()
            assert head.startswith(b"http/1.1 200 "), head
            assert client.read_exactly(5) == f"0.00{number % 10}".encode()
            if b"connection: close" in head:
                return number + 1
    return 20


def upload(port: int, context: ssl.SSLContext | None) -> int:
    """One chunked upload, which takes its time."""
    with Client(port, context) as client:
        client.send(b"POST /upload HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(PARTS):
            client.send(b"%x\r\n%s\r\n" % (len(PART), PART))
            time.sleep(0.005)
        client.send(b"0\r\n\r\n")
        assert client.read_response() == (200, b"%d" % (PARTS * len(PART)))
    return 1


def ask_by_streams(port: int, context: ssl.SSLContext | None) -> int:
    """Two streams at a time on one connection, until the server goes away, at most 20 times."""
    count = 0
    with H2Peer(port, context, greet=False) as peer:
        peer.greet()
        while not (peer.went_away or peer.over or count >= 20):
            for stream in [peer.request("/late?0.005"), peer.request("/late?0.001", method="POST", body=PART)]:
                answer = peer.wait_answer(stream)
                if answer.ended and answer.status == 200:
                    count += 1
                    continue
                is_refused = answer.reset == REFUSED_STREAM or any(last < stream for _, last in peer.went_away)
                assert is_refused, f"stream {stream}: {answer}, {peer.went_away}"
    return count


def talk(port: int, context: ssl.SSLContext | None) -> int:
    """A session, which its client ends after 50 messages."""
    count = 0
    scheme = "ws" if context is None else "wss"
    url = f"{scheme}://localhost:{port}/"
    try:
        with connect(port) as sock, connect_session(url, sock=sock, ssl=context) as session:
            for count in range(50):
                session.send(f"{count}")
                assert session.recv(PATIENCE_S) == f"{count}"
                time.sleep(0.002)
    except ConnectionClosed as end:
        if end.rcvd is None or end.rcvd.code != 1012:
            raise ConnectionError(f"the session was cut after {count} messages: {end}") from end
    return count


class Traffic:
    """Two clients for each of ``turns``; a context manager that waits until all have been refused."""

    def __init__(self, port: int, *turns: tuple[Turn, ssl.SSLContext | None]) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self._port = port
        self._threads = [threading.Thread(target=self._run, args=turn, daemon=True) for turn in turns for _ in range(2)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, turn: Turn, context: ssl.SSLContext | None) -> None:
        while True:
            try:
                connect(self._port).close()  # one that says nothing: it tells a refusal from a failure
            except ConnectionRefusedError:
                return
            try:
                self.answered[turn.__name__] += turn(self._port, context)
            except ConnectionRefusedError:
                return
            except Exception as error:  # whatever it is, a client was failed
                self.failures.append(f"{turn.__name__}: {error!r}")
                return
