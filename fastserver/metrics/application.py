"""The metrics as an ASGI application: Prometheus' page, ``/stats`` as JSON for ``fastserver top`` and scripts, and what
a probe wants to know, ``/ready`` and ``/live``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from fastserver.config.bind import LIVE_PATH, READY_PATH, STATS_PATH
from fastserver.metrics.exposition import CONTENT_TYPE, render
from fastserver.metrics.scoreboard import Board
from fastserver.typing import Receive, Scope, Send

_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_NO_STORE: Final = (b"cache-control", b"no-store")

_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class MetricsApp:
    """``read`` gives the board, ``clock`` the time in Unix seconds; ``version`` is the server's.

    ``path`` is where Prometheus finds its page; ``is_ready`` says whether new clients shall come.  GET and HEAD only.
    There is no lifespan: like any ASGI application that does not know a kind of scope, it raises.
    """

    def __init__(
        self,
        read: Callable[[], Board],
        clock: Callable[[], float],
        version: str,
        path: str = "/metrics",
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._read = read
        self._clock = clock
        self._version = version
        self._path = path
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the metrics have no {scope['type']} side")
        status, headers, body = self._answer(scope["method"], scope["path"])
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> _Answer:
        if path not in (self._path, STATS_PATH, READY_PATH, LIVE_PATH):
            return 404, [_TEXT], b"not found\n"
        if method not in ("GET", "HEAD"):
            return 405, [(b"allow", b"GET, HEAD"), _TEXT], b"method not allowed\n"
        if path == LIVE_PATH:
            return 200, [_TEXT, _NO_STORE], b"live\n"
        if path == READY_PATH:
            is_ready = self._is_ready()
            return 200 if is_ready else 503, [_TEXT, _NO_STORE], b"ready\n" if is_ready else b"not ready\n"
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
