"""Memory per idle keep-alive connection: hold thousands, each after one request, and see what the server grew by.

Only the processes count (``smaps_rollup``), not the kernel's socket buffers, which are the same for everyone.
"""

import contextlib
import resource
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.macro.contest import Contest, Contestant
from bench.macro.process import Memory
from bench.macro.report import render_table

#: Connections that each loopback client address carries: well below the number of ephemeral ports.
PER_ADDRESS = 5000
WARM_CONNECTIONS = 100
TIMEOUT_S = 10.0
SPARE_FILES = 200
#: Choose the port at ``connect``: ``ip(7)``; Python 3.12 has the constant.
IP_BIND_ADDRESS_NO_PORT = 24
_REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_END = b"\r\n\r\nHello, World!\n"


@dataclass(frozen=True, slots=True)
class Growth:
    """What one server grew by, in bytes, with ``connections`` held; ``fault`` says why there is no figure."""

    connections: int
    before: Memory
    after: Memory
    fault: str = ""

    @property
    def rss_per_connection(self) -> float:
        """Bytes of resident set for each connection."""
        return (self.after.rss - self.before.rss) / self.connections if self.connections else 0.0

    @property
    def pss_per_connection(self) -> float:
        """The same of the proportional set, where pages shared by several processes count once."""
        return (self.after.pss - self.before.pss) / self.connections if self.connections else 0.0


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, for the servers started from now on too; the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def client_address(index: int) -> str:
    """The loopback address from which connection ``index`` is made."""
    return f"127.0.0.{2 + index // PER_ADDRESS}"


def _ask(client: socket.socket) -> None:
    """One request and its whole answer; ``OSError`` where it does not come."""
    client.sendall(_REQUEST)
    answer = b""
    while not answer.endswith(_END):
        data = client.recv(4096)
        if not data:
            raise ConnectionResetError("closed instead of an answer")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answered {answer[:40]!r}")


def _connect(port: int, index: int) -> socket.socket:
    client = socket.socket()
    try:
        client.settimeout(TIMEOUT_S)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((client_address(index), 0))
        client.connect(("127.0.0.1", port))
        _ask(client)
    except OSError:
        client.close()
        raise
    return client


def _is_open(client: socket.socket) -> bool:
    """Whether an idle connection has neither data nor an end waiting."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _settle(contestant: Contestant) -> Memory:
    """The server's memory once two readings a fifth of a second apart agree, or after three seconds."""
    assert contestant.process is not None
    reading = contestant.process.memory()
    for _ in range(15):
        time.sleep(0.2)
        last, reading = reading, contestant.process.memory()
        if last == reading:
            break
    return reading


def measure(contestant: Contestant, connections: int) -> Growth:
    """Hold ``connections`` idle connections to a running server, and close them again."""
    nothing = Memory(0, 0)
    clients: list[socket.socket] = []
    try:
        for index in range(WARM_CONNECTIONS):
            clients.append(_connect(contestant.port, index))
        for client in clients:
            client.close()
        clients.clear()
        before = _settle(contestant)
        for index in range(connections):
            clients.append(_connect(contestant.port, index))
        after = _settle(contestant)
        lost = sum(not _is_open(client) for client in clients)
    except OSError as error:
        fault = f"after {len(clients)} connections: {error} {contestant.state()}".rstrip()
        return Growth(0, nothing, nothing, fault)
    finally:
        for client in clients:
            with contextlib.suppress(OSError):
                client.close()
    return Growth(connections, before, after, f"{lost} connections were closed by the server" if lost else "")


def measure_all(contest: Contest, connections: int) -> dict[str, Growth]:
    """``measure`` for each server of the contest, one after the other."""
    return {one.server.name: measure(one, connections) for one in contest.present()}


def render_memory(growths: dict[str, Growth], references: Sequence[str], absent: Mapping[str, str]) -> str:
    """The readable table with everything that went wrong below it; sizes in KB of 1024 bytes."""
    reference = next((name for name in references if name in growths and growths[name].rss_per_connection > 0), "")
    rows = []
    for name, growth in growths.items():
        if not growth.connections:
            rows.append([name, "-", "-", "-", "-", "-"])
            continue
        base = growths[reference].rss_per_connection if reference else 0.0
        rows.append(
            [
                name,
                f"{growth.rss_per_connection / 1024:.2f}",
                f"{growth.pss_per_connection / 1024:.2f}",
                f"{growth.rss_per_connection / base:.2f}" if base else "-",
                f"{growth.before.rss / 1024:,.0f}",
                f"{growth.after.rss / 1024:,.0f}",
            ]
        )
    header = ["KB", "RSS/connection", "PSS/connection", f"to {reference or 'nobody'}", "RSS before", "RSS after"]
    faults = [f"{name} did not take part: {reason}" for name, reason in absent.items()]
    faults += [f"{name}: {growth.fault}" for name, growth in growths.items() if growth.fault]
    return "\n".join([render_table(header, rows), *faults])


def build_memory(growths: dict[str, Growth]) -> dict[str, Any]:
    """The same for the JSON document, in bytes."""
    return {
        name: {
            **asdict(growth),
            "rss_per_connection": growth.rss_per_connection,
            "pss_per_connection": growth.pss_per_connection,
        }
        for name, growth in growths.items()
    }
