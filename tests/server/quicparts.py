"""Fakes of the parts that carry QUIC, which need aioquic: as the server sees them."""

import socket
from typing import Any


class FakePort:
    """A port of ``FakeParts``; ``calls`` is what was asked of it in its order."""

    def __init__(self, host: Any, sock: socket.socket, dispatcher: Any, protocol: Any, forward: Any) -> None:
        self.host = host
        self.sock = sock
        self.dispatcher = dispatcher
        self.protocol = protocol
        self.forward = forward
        self.calls: list[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def on_readable(self) -> None:
        self.calls.append("read")

    def deliver(self, *datagram: Any) -> None:
        self.calls.append(datagram)

    def close(self) -> None:
        self.calls.append("close")
        self.sock.close()


class FakeParts:
    """``ports`` are those that were made; a wire or an engine is the tuple of what it was made of."""

    def __init__(self) -> None:
        self.ports: list[FakePort] = []

    def open_port(self, *facts: Any) -> FakePort:
        self.ports.append(FakePort(*facts))
        return self.ports[-1]

    def open_wire(self, *facts: Any) -> Any:
        return ("wire", *facts)

    def make_engine(self, *facts: Any) -> Any:
        return ("engine", *facts)
