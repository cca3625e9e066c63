"""A WSGI application in an embedded server: how it is given, how it starts, and that nothing is left of its threads."""

import asyncio
import logging
import threading
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import fastserver
from fastserver.config.model import Config
from fastserver.errors import StartupFailed
from fastserver.server.server import Server

Environ = dict[str, Any]


def plain(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['PATH_INFO']} in {threading.current_thread().name}".encode()]


def anything(*args: Any) -> Iterable[bytes]:
    return plain(*args)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fastserver-wsgi")]


async def ask(server: Server, path: str = "/") -> str:
    address = server.addresses[0]

    def fetch() -> str:
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=20) as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.get_running_loop().run_in_executor(None, fetch)


def make_config(**settings: Any) -> Config:
    return Config.from_mapping({"bind": "127.0.0.1:0", **settings})


def test_a_callable_is_served_in_threads_that_end_with_the_server() -> None:
    async def main() -> None:
        async with Server(plain, make_config(threads=2)) as server:
            assert threads() == [], "they are started when they are needed"
            assert await ask(server, "/x") == "/x in fastserver-wsgi-1"
        assert threads() == []

    asyncio.run(main())


def test_without_threads_it_runs_in_the_loops() -> None:
    async def main() -> None:
        async with Server(plain, make_config(threads=0)) as server:
            assert await ask(server) == f"/ in {threading.current_thread().name}"

    asyncio.run(main())


def test_each_call_has_a_context_of_its_own() -> None:
    import contextvars

    seen: list[str] = []
    variable = contextvars.ContextVar("variable", default="fresh")

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append(variable.get())
        variable.set("used")
        seen.append(variable.get())
        return plain(environ, start_response)

    async def main() -> None:
        for count in (1, 0):
            async with Server(app, make_config(threads=count)) as server:
                for _ in range(2):
                    await ask(server)

    asyncio.run(main())
    assert seen == ["fresh", "used"] * 4


@pytest.mark.parametrize("mode", ["wsgi", None])
def test_serve_takes_it_too(mode: str | None) -> None:
    async def main() -> None:
        told = asyncio.Event()
        config = make_config(bind="127.0.0.1:0")
        serving = asyncio.ensure_future(fastserver.serve(anything, config, mode=mode, shutdown_trigger=told.wait))
        await asyncio.sleep(0)
        told.set()
        await asyncio.wait_for(serving, 20)

    asyncio.run(main())


def test_there_is_no_lifespan_to_be_demanded(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with pytest.raises(StartupFailed, match="a WSGI application has no lifespan"):
            await Server(plain, make_config(lifespan="on")).start()

    asyncio.run(main())


class Twice:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(scope["type"])
        self.path = scope["path"]

    async def __call__(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.path.encode()})


def test_asgi_2_is_served(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Server(Twice, make_config()) as server:
            assert await ask(server, "/two") == "/two"

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())


def test_a_thread_that_is_stuck_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    gate, inside = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        inside.set()
        gate.wait(20)
        return plain(environ, start_response)

    async def main() -> None:
        async with Server(app, make_config(threads=1)) as server:
            asking = asyncio.ensure_future(ask(server))
            await asyncio.get_running_loop().run_in_executor(None, inside.wait)
            await server.shutdown(timeout=0)
            with pytest.raises(OSError):  # noqa: PT011
                await asking

    try:
        asyncio.run(main())
    finally:
        gate.set()
        for thread in threading.enumerate():
            if thread.name.startswith("fastserver-wsgi"):
                thread.join(20)
    assert threads() == []
