"""HTTP/2 as httpx speaks it: one connection, much at once, bodies both ways, and ends of connections."""

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.e2e.conftest import AUTHORITY, Serve, Served
from tests.e2e.processes import PATIENCE_S
from tests.e2e.streams import FILE, MIB, make_bytes

APP = "tests.e2e.streams:app"
ARGUMENTS = ["--h2c"]
BODY = make_bytes(10 * MIB)


def open_client(**options: object) -> httpx.AsyncClient:
    """A client that speaks HTTP/2, by ALPN or by prior knowledge."""
    return httpx.AsyncClient(http1=False, http2=True, timeout=PATIENCE_S, verify=_trust(), **options)  # type: ignore[arg-type]


def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    """``body`` in pieces, with the loop's turns between."""
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0)


def test_many_requests_share_one_connection(site: Served) -> None:
    async def main() -> None:
        async with open_client() as client:
            await client.get(site.url())
            answers = await asyncio.gather(*(client.get(site.url("/port")) for _ in range(300)))
        assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
        assert len({answer.text for answer in answers}) == 1

    asyncio.run(main())


def test_a_request_that_waits_holds_up_no_other(site: Served) -> None:
    """One after the other: of several waiting at once httpx (httpcore 1.0.9) lets the wrong one read."""

    async def main() -> None:
        async with open_client() as client:
            await client.get(site.url())
            slow = asyncio.create_task(client.get(site.url("/gate")))
            for _ in range(50):
                assert (await client.get(site.url())).status_code == 200
            assert not slow.done()
            await client.get(site.url("/open"))
            assert (await slow).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize("size", [10 * MIB, 1, 0])
def test_bodies_come_whole(site: Served, size: int) -> None:
    async def main() -> None:
        async with open_client() as client:
            sent = await client.post(site.url("/digest"), content=BODY[:size])
            assert sent.text == f"{size} {hashlib.sha256(BODY[:size]).hexdigest()}"
            received = await client.get(site.url(f"/bytes?{size}"))
            assert received.content == BODY[:size]

    asyncio.run(main())


def test_starlette_streams_and_sends_files(serve: Serve) -> None:
    site = serve("tests.e2e.streams:starlette", "--h2c")

    async def main() -> None:
        async with open_client() as client:
            files = await asyncio.gather(*(client.get(site.url("/file")) for _ in range(20)))
            assert {file.content for file in files} == {FILE.read_bytes()}
            echo = await client.post(site.url("/upload"), content=cut(BODY[:MIB], 10_000))
            assert echo.content == BODY[:MIB]

    asyncio.run(main())


def test_two_workers_answer(serve: Serve) -> None:
    site = serve(APP, "--h2c", workers=2)

    async def main() -> None:
        pids: Counter[int] = Counter()
        while len(pids) < 2:
            async with open_client() as client:
                answers = await asyncio.gather(*(client.get(site.url()) for _ in range(20)))
                found = {int(answer.text.split()[2]) for answer in answers}
                assert len(found) == 1  # a connection stays with its worker
                pids.update(found)
        assert set(pids) == set(site.pids)

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_has_had_its_share_is_replaced_without_a_failure(serve: Serve, scheme: str) -> None:
    """httpx gives up what is open at a GOAWAY, so that comes behind the last response."""
    arguments = ["--h2c"] if scheme == "http" else []
    site = serve(APP, *arguments, "--keep-alive-max-requests", "10", tls=scheme == "https")

    async def main() -> None:
        async with open_client() as client:
            answers = [await client.get(site.url("/port")) for _ in range(100)]
            assert {answer.status_code for answer in answers} == {200}
            assert set(Counter(answer.text for answer in answers).values()) == {10}

    asyncio.run(main())
