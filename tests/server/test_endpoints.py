"""The addresses of a server: bound all or none, told apart by what they are for, and described for the log."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from fastserver import Config, Server
from fastserver.server.endpoints import Purpose, describe_endpoint, list_alpn, open_endpoints
from fastserver.transport.sockets import BindError, release
from tests.server.applications import Recorder, fetch, is_refused
from tests.site import LOOPS, run_in_loop


class Handler:
    def handle(self, event: Any) -> None:
        """Takes all and says nothing."""


def make_config(**settings: Any) -> Config:
    return Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings})


def test_each_address_is_bound_for_its_purpose(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("app", "lines", "metrics")]
    config = make_config(
        bind=("127.0.0.1:0", f"unix:{paths[0]}"),
        insecure_bind="127.0.0.1:0",
        protocols=[(f"unix:{paths[1]}", Handler), ("alpn:lines", Handler)],
        metrics_bind=("127.0.0.1:0", f"unix:{paths[2]}"),
        certfile=__file__,
    )
    endpoints = open_endpoints(config)
    try:
        assert [(endpoint.purpose, endpoint.binding) for endpoint in endpoints] == [
            *[(Purpose.APPLICATION, None)] * 3,
            (Purpose.HANDLER, config.protocols[0]),
            *[(Purpose.METRICS, None)] * 2,
        ]
        ports = [endpoint.listener.sock.getsockname()[1] for endpoint in (endpoints[0], endpoints[2], endpoints[4])]
        assert [describe_endpoint(endpoint, config) for endpoint in endpoints] == [
            f"https://127.0.0.1:{ports[0]}",
            f"https+unix:{paths[0]}",
            f"http://127.0.0.1:{ports[1]}",
            f"tls+unix:{paths[1]} ({__name__}:Handler)",
            f"http://127.0.0.1:{ports[2]}/metrics (metrics)",
            f"http+unix:{paths[2]}/metrics (metrics)",
        ]
    finally:
        release(endpoint.listener for endpoint in endpoints)
    assert not any(map(os.path.exists, paths))


@pytest.mark.parametrize("key", ["protocols", "metrics_bind"])
def test_one_that_cannot_be_bound_frees_all(key: str, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        config = make_config(bind=f"unix:{path}", **{key: where if key == "metrics_bind" else [(where, Handler)]})
        with pytest.raises(BindError, match="the address is in use"):
            open_endpoints(config)
    assert not os.path.exists(path)


def test_a_handlers_name_goes_before_http() -> None:
    """Else a client that could do both would never get the handler: the server's order decides (RFC 7301)."""
    config = make_config(
        protocols=[("alpn:one", Handler), ("127.0.0.1:0", Handler), ("alpn:two", Handler)], certfile=__file__
    )
    assert list_alpn(config) == ["one", "two", "h2", "http/1.1"]
    assert list_alpn(make_config()) == ["h2", "http/1.1"]
    assert list_alpn(make_config(http2=False)) == ["http/1.1"]
    assert list_alpn(make_config(http1=False, certfile=__file__)) == ["h2"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_says_where_it_listens_for_what(loop: str, tmp_path: Path) -> None:
    path = str(tmp_path / "lines.sock")

    async def main() -> None:
        async with Server(
            Recorder(), make_config(protocols=[(f"unix:{path}", Handler)], metrics_bind="127.0.0.1:0")
        ) as server:
            (address,), (metrics,) = server.addresses, server.metrics_addresses
            assert server.protocol_addresses == {f"unix:{path}": path}
            assert await fetch(address, "/metrics") == (200, b"/metrics")  # the application's own
            assert (await fetch(metrics, "/metrics"))[1].startswith(b"# HELP fastserver_build_info")
        assert all(map(is_refused, (address, metrics, path)))

    run_in_loop(LOOPS[loop], main())
