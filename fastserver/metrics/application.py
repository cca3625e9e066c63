"""The metrics as an ASGI application: Prometheus' page, and ``/stats`` as JSON for ``fastserver top`` and scripts."""

from __future__ import annotations

import json
from collections.abc import Callable

from fastserver.config.bind import STATS_PATH
from fastserver.metrics.exposition import CONTENT_TYPE, render
from fastserver.metrics.scoreboard import Board
from fastserver.typing import Receive, Scope, Send

_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class MetricsApp:
    """``read`` gives the board, ``clock`` the time in Unix seconds; ``version`` is the server's.

    ``path`` is where Prometheus finds its page.  GET and HEAD only.  There is no lifespan: like any ASGI application
    that does not know a kind of scope, it raises.
    """

    def __init__(
        self, read: Callable[[], Board], clock: Callable[[], float], version: str, path: str = "/metrics"
    ) -> None:
        self._read = read
        self._clock = clock
        self._version = version
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the metrics have no {scope['type']} side")
        status, headers, body = self._answer(scope["method"], scope["path"])
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> _Answer:
        if path not in (self._path, STATS_PATH):
            return 404, [(b"content-type", b"text/plain; charset=utf-8")], b"not found\n"
        if method not in ("GET", "HEAD"):
            headers = [(b"allow", b"GET, HEAD"), (b"content-type", b"text/plain; charset=utf-8")]
            return 405, headers, b"method not allowed\n"
        board = self._read()
        if path == self._path:
            return 200, [(b"content-type", CONTENT_TYPE.encode())], render(board, self._version)
        return 200, [(b"content-type", b"application/json")], self._render_stats(board)

    def _render_stats(self, board: Board) -> bytes:
        stats = {
            "uptime": self._clock() - board.started,
            "version": self._version,
            "total": board.total(),
            "workers": board.workers,
        }
        return json.dumps(stats, separators=(",", ":")).encode()
