"""What only a real loop shows of the ASGI exchange: waiting that is given up, and callers in other threads."""

import asyncio
import gc
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from tests.fakes import Message, Receive, Send, read_body, respond
from tests.site import LOOPS, Site, run_in_loop

pytestmark = pytest.mark.parametrize("make_loop", LOOPS.values(), ids=LOOPS)
MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def count_futures() -> int:
    gc.collect()
    return sum(issubclass(type(each), asyncio.Future) for each in gc.get_objects())


def test_receives_that_are_given_up_leave_nothing(make_loop: MakeLoop) -> None:
    """As Starlette's `request.is_disconnected()` polls, for as long as a stream lasts."""
    counts: list[int] = []

    async def poll(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        counts.append(count_futures())
        for _ in range(500):
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        del waiting
        counts.append(count_futures())
        await respond(send, b"done")

    async def main() -> None:
        async with Site(poll) as site:
            client = await site.connect()
            assert (await client.fetch())[2] == b"done"

    run_in_loop(make_loop, main())
    assert counts[1] - counts[0] < 50


def test_a_pipelined_request_does_not_see_the_context_of_the_one_before(make_loop: MakeLoop) -> None:
    variable = ContextVar("variable", default=b"nobody's")

    async def remember(scope: Message, receive: Receive, send: Send) -> None:
        seen = variable.get()
        variable.set(scope["raw_path"])
        await asyncio.sleep(0)
        await respond(send, seen)

    async def main() -> None:
        async with Site(remember) as site:
            reader, writer = await asyncio.open_connection(*site.address)
            writer.write(
                b"GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            assert (await reader.read()).count(b"nobody's") == 2
            writer.close()

    run_in_loop(make_loop, main())


def test_send_from_another_thread_acts_in_the_loop(make_loop: MakeLoop) -> None:
    parts = [bytes([65 + number % 26]) * 1000 for number in range(200)]

    async def from_a_thread(scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            size = sum(map(len, parts))
            messages: list[dict[str, Any]] = [
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]},
                *({"type": "http.response.body", "body": part, "more_body": True} for part in parts),
                {"type": "http.response.body"},
            ]
            for message in messages:
                sending: Any = send(message)
                asyncio.run_coroutine_threadsafe(sending, loop).result(10)

        await loop.run_in_executor(None, run)

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)  # tells of calls from the wrong thread
        async with Site(from_a_thread) as site:
            client = await site.connect()
            assert (await client.fetch())[2] == b"".join(parts)
            assert site.failures == []

    run_in_loop(make_loop, main())
