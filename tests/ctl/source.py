"""A control socket that answers what a test wants."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

Answer = Callable[[socket.socket], object]


class Source:
    """Serves ``answer`` for each connection at ``path``, and keeps the requests."""

    def __init__(self, path: Path, answer: Answer | bytes) -> None:
        self.path = str(path)
        self.requests: list[bytes] = []
        self._answer = answer
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(self.path)
        self._sock.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Source":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                client: Any = self._sock.accept()[0]
            except OSError:
                return
            with client:
                data = b""
                while not data.endswith(b"\n") and (chunk := client.recv(4096)):
                    data += chunk
                self.requests.append(data)
                if isinstance(self._answer, bytes):
                    client.sendall(self._answer)
                else:
                    self._answer(client)
