"""A real HTTP server on a thread, which answers as a test wants."""

import itertools
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from fastserver.config.bind import STATS_PATH, TCPBind
from fastserver.top.client import Client
from tests.top.samples import compose_snapshot, compose_stats


class Source:
    """A real HTTP server on a thread; ``answer`` writes what it wants to a request."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None], port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with suppress(ConnectionError):
                    answer(self)

            def log_message(self, format: str, *facts: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port = self._server.server_port
        self.client = Client(TCPBind("127.0.0.1", self.port))

    def __enter__(self) -> "Source":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def say(body: bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status if handler.path == STATS_PATH else 404)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def count_up() -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers with stats, with 50 requests more each time."""
    answers = itertools.count()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        number = next(answers)
        say(json.dumps(compose_stats(compose_snapshot(50 * number), uptime=60.0 + number)).encode())(handler)

    return answer
