"""What a test talks to a server process with: where it listens for what, and blocking clients with a deadline."""

import re
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import TypeAlias

from tests.e2e.processes import PATIENCE_S, ServerProcess

Address: TypeAlias = int | str

_UP = r"worker \[(\d+)\] is ready|listening on (\w+)(?:\+unix:(\S+)|://\S*?:(\d+)\S*)(?: \((\S+)\))?$"


def wait_up(server: ServerProcess, workers: int, count: int = 1) -> tuple[list[int], dict[str, Address]]:
    """The workers' process ids, and where it listens by purpose: ``http``, ``metrics``, or a handler's name.

    ``count`` is how many addresses are waited for; a port goes over a path that serves the same.
    """
    pids: list[int] = []
    found: dict[str, Address] = {}
    while count or (workers > 1 and len(pids) < workers):
        match = server.wait_log(_UP)
        pid, scheme, path, port, purpose = match.groups()
        if pid is not None:
            pids.append(int(pid))
            continue
        count -= 1
        if port:
            found[purpose or scheme] = int(port)
        else:
            found.setdefault(purpose or scheme, path)
    return pids or [server.process.pid], found


def connect(address: Address, context: ssl.SSLContext | None = None) -> socket.socket:
    """A connection; under TLS its handshake is done."""
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.settimeout(PATIENCE_S)
    client.connect(address if isinstance(address, str) else ("127.0.0.1", address))
    return wrap(client, context)


def wrap(client: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
    """TLS over ``client``, where there is a context."""
    return client if context is None else context.wrap_socket(client, server_hostname="localhost")


def is_closed(client: socket.socket) -> bool:
    """Wait for the end of the connection: true for a clean end or a reset, false for bytes."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


class Client:
    """A blocking client of HTTP or of lines; ``sent`` and ``received`` count its bytes."""

    def __init__(
        self, address: Address, context: ssl.SSLContext | None = None, sock: socket.socket | None = None
    ) -> None:
        """Connect, or go on from ``sock``, which is connected and has said nothing."""
        self.sock = connect(address, context) if sock is None else wrap(sock, context)
        self.sent = self.received = 0
        self._data = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Drop the connection so that the server is told at once: a clean end only says that no more is sent."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self.sent += len(data)

    def read_until(self, end: bytes) -> bytes:
        """What comes up to and with ``end``."""
        while end not in self._data:
            self._fill()
        return self.read_exactly(self._data.index(end) + len(end))

    def read_exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._fill()
        found, self._data = self._data[:size], self._data[size:]
        return found

    def say(self, line: str) -> str:
        """Send a line and read one."""
        self.send(line.encode() + b"\n")
        return self.read_until(b"\n").decode().rstrip("\n")

    def request(self, path: str, method: str = "GET", *fields: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one answer."""
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "host: test", *fields, "", ""])
        self.send(head.encode() + body)
        return self.read_response(has_body=method != "HEAD")

    def read_response(self, has_body: bool = True) -> tuple[int, bytes]:
        head = self.read_until(b"\r\n\r\n").decode("latin-1").lower()
        length = re.search(r"\r\ncontent-length: (\d+)\r\n", head)
        assert length is not None, head
        return int(head.split()[1]), self.read_exactly(int(length[1])) if has_body else b""

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended behind {self._data!r}")
        self.received += len(data)
        self._data += data


def fetch(address: Address, path: str = "/", method: str = "GET") -> tuple[int, bytes]:
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.request(path, method)
