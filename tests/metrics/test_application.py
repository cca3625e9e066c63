"""The metrics' ASGI application."""

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastserver.metrics.application import MetricsApp
from tests.metrics.samples import make_board, make_snapshot

BOARD = make_board(make_snapshot(1), make_snapshot(2), past={"bytes_in": 1000})
APP = MetricsApp(lambda: BOARD, lambda: BOARD.started + 60.5, "1.2.3")


def ask(app: MetricsApp, path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the request's body is of no interest")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(app(scope, receive, send))
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    return start["status"], dict(start["headers"]), body["body"]


def test_prometheus() -> None:
    status, headers, body = ask(APP, "/metrics")
    assert status == 200
    assert headers == {
        b"content-type": b"text/plain; version=0.0.4; charset=utf-8",
        b"content-length": str(len(body)).encode(),
    }
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    (sample,) = families["fastserver_received_bytes"].samples
    assert sample.value == 2000


def test_stats() -> None:
    status, headers, body = ask(APP, "/stats")
    assert status == 200
    assert headers == {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
    stats = json.loads(body)
    assert list(stats) == ["uptime", "version", "total", "workers"]
    assert (stats["uptime"], stats["version"]) == (60.5, "1.2.3")
    assert stats["workers"] == [make_snapshot(1), make_snapshot(2)]
    assert stats["total"]["bytes_in"] == 2000
    assert stats["total"]["gauges"]["tasks"] == 6


def test_probes() -> None:
    ready = [True]
    app = MetricsApp(lambda: BOARD, lambda: 0.0, "1.2.3", is_ready=lambda: ready[0])
    status, headers, body = ask(app, "/ready")
    assert (status, body) == (200, b"ready\n")
    assert headers[b"cache-control"] == b"no-store"
    ready[0] = False
    assert ask(app, "/ready")[::2] == (503, b"not ready\n")
    assert ask(app, "/live")[::2] == (200, b"live\n")


@pytest.mark.parametrize("path", ["/metrics", "/stats", "/ready", "/live"])
def test_head_is_get_without_the_body(path: str) -> None:
    status, headers, _ = ask(APP, path)
    assert ask(APP, path, "HEAD") == (status, headers, b"")


@pytest.mark.parametrize("path", ["/", "", "/metrics/", "/stats/x", "/METRICS"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths(path: str, method: str) -> None:
    status, headers, body = ask(APP, path, method)
    assert (status, headers[b"content-length"], body) == (404, b"10", b"not found\n")


@pytest.mark.parametrize("path", ["/metrics", "/stats", "/ready", "/live"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "get"])
def test_other_methods(path: str, method: str) -> None:
    status, headers, _ = ask(APP, path, method)
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


def test_another_path_for_prometheus() -> None:
    app = MetricsApp(lambda: BOARD, lambda: 0.0, "1.2.3", "/internal/prometheus")
    assert ask(app, "/internal/prometheus")[0] == 200
    assert ask(app, "/metrics")[0] == 404


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_scopes_are_refused(kind: str) -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("not even heard out")

    with pytest.raises(RuntimeError, match=kind):
        asyncio.run(APP({"type": kind}, never, never))
