"""WebSockets as the client of ``websockets`` speaks them, over TCP and TLS."""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import struct
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.typing import Subprotocol

from tests.e2e.conftest import AUTHORITY, Serve, Served, read_rss
from tests.e2e.processes import PATIENCE_S

APP = "tests.e2e.websocket_application:app"
MIB = 1 << 20


@pytest.fixture(scope="module")
def deflating(serve_long: Serve) -> Served:
    return serve_long(APP, "--ws-per-message-deflate", "true")


@pytest.fixture(params=["plain", "secure", "deflating"])
def site(request: pytest.FixtureRequest) -> Served:
    served = request.getfixturevalue(request.param)
    assert isinstance(served, Served)
    return served


def open_session(site: Served, path: str = "/", **options: Any) -> connect:
    """A session; what it says is compressed where the server agrees."""
    context = None
    if site.scheme == "https":
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
    return connect(site.ws.rstrip("/") + path, ssl=context, max_size=None, **options)


def run(main: Any) -> Any:
    async def checked() -> Any:
        return await asyncio.wait_for(main, PATIENCE_S)

    return asyncio.run(checked())


def take_ends(site: Served) -> str:
    """What applications were told of the ends of their sessions since the last question."""
    return httpx.get(site.url(), verify=False).text


# Messages.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MIB])
def test_messages_of_any_size_come_back(site: Served, size: int) -> None:
    async def main() -> None:
        async with open_session(site) as session:
            text = ("aä€😀" * size)[:size]
            for message in (text, bytes(range(256)) * (size // 256) + b"x" * (size % 256)):
                await session.send(message)
                assert await session.recv() == message

    run(main())


def test_fragments_are_one_message_with_pings_between(site: Served) -> None:
    async def main() -> None:
        async with open_session(site) as session:

            async def cut() -> Any:
                for number in range(50):
                    yield f"€{number}"
                    await (await session.ping(b"between"))

            await session.send(cut())
            assert await session.recv() == "".join(f"€{number}" for number in range(50))

    run(main())


def test_pings_are_answered_with_their_payload(site: Served) -> None:
    async def main() -> None:
        async with open_session(site) as session:
            waiters = [await session.ping(bytes([number]) * 125) for number in range(10)]
            for waiter in waiters:
                assert await waiter >= 0

    run(main())


def test_many_messages_keep_their_order(site: Served) -> None:
    async def main() -> None:
        async with open_session(site) as session:

            async def send() -> None:
                for number in range(2000):
                    await session.send(str(number))

            sending = asyncio.create_task(send())
            assert [await session.recv() for _ in range(2000)] == [str(number) for number in range(2000)]
            await sending

    run(main())


@pytest.mark.parametrize(("offer", "is_agreed"), [("deflate", True), (None, False)])
def test_compression_is_agreed_where_both_want_it(
    deflating: Served, plain: Served, offer: str | None, is_agreed: bool
) -> None:
    async def main() -> None:
        for site in (deflating, plain):
            async with open_session(site, compression=offer) as session:
                names = [extension.name for extension in session.protocol.extensions]
                assert names == (["permessage-deflate"] if is_agreed and site is deflating else [])
                for _ in range(3):
                    await session.send("a" * 100_000)
                    assert await session.recv() == "a" * 100_000

    run(main())


# Handshakes.


@pytest.mark.parametrize("offered", [[], ["one"], ["one", "two"]])
def test_subprotocols(site: Served, offered: list[str]) -> None:
    async def main() -> None:
        subprotocols = [Subprotocol(name) for name in offered] or None
        async with open_session(site, "/tell", subprotocols=subprotocols) as session:
            assert session.subprotocol == (offered[-1] if offered else None)
            scheme = "wss" if site.scheme == "https" else "ws"
            assert await session.recv() == f"{site.pids[0]} {scheme} 1.1 {','.join(offered)}"

    run(main())


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/deny", 401, b"who then?"), ("/reject", 403, b"Forbidden\n"), ("/fail-early", 500, b"Internal Server Error\n")],
)
def test_a_session_that_is_denied_is_an_http_response(site: Served, path: str, status: int, body: bytes) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus) as caught:
            async with open_session(site, path):
                pass
        response = caught.value.response
        assert (response.status_code, response.body) == (status, body)
        if status == 401:
            assert response.headers["www-authenticate"] == "Basic"

    run(main())


def test_only_pages_of_allowed_origins_may_open_sessions(serve: Serve) -> None:
    site = serve(APP, "--ws-allowed-origin", "https://example.org")

    async def main() -> None:
        async with open_session(site, origin="https://example.org") as session:
            await session.send("x")
            assert await session.recv() == "x"
        with pytest.raises(InvalidStatus) as caught:
            async with open_session(site, origin="https://evil.example"):
                pass
        assert caught.value.response.status_code == 403

    run(main())


def test_without_websockets_the_handshake_is_a_request(serve: Serve) -> None:
    site = serve(APP, "--no-ws")

    async def main() -> None:
        with pytest.raises(InvalidStatus) as caught:
            async with open_session(site):
                pass
        assert caught.value.response.status_code == 200

    run(main())


# Ends.


async def read_end(session: ClientConnection) -> tuple[int, str]:
    """Code and reason of the server's Close."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await session.recv()
    close = session.protocol.close_rcvd
    assert close is not None, session
    return close.code, close.reason


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "größer"), (4999, "x" * 123)])
def test_the_clients_close_comes_back_and_is_told(plain: Served, code: int, reason: str) -> None:
    async def main() -> Close | None:
        take_ends(plain)
        async with open_session(plain) as session:
            await session.close(code, reason)
        return session.protocol.close_rcvd

    close = run(main())
    assert close is not None
    assert close.code == code
    assert take_ends(plain) == f"{code}:{reason}"


@pytest.mark.parametrize(
    ("path", "code", "reason"), [("/tell", 3001, "told"), ("/return", 1000, ""), ("/pour", 1000, "")]
)
def test_the_servers_close(site: Served, path: str, code: int, reason: str) -> None:
    async def main() -> None:
        async with open_session(site, path) as session:
            assert await read_end(session) == (code, reason)

    run(main())


def test_an_application_that_fails_closes_with_1011_and_is_logged(serve: Serve) -> None:
    site = serve(APP)

    async def main() -> None:
        async with open_session(site, "/fail") as session:
            await session.send("x")
            assert await read_end(session) == (1011, "")

    run(main())
    site.server.wait_log("RuntimeError: in the middle of a session")


def test_a_connection_that_is_cut_is_1006(plain: Served) -> None:
    take_ends(plain)

    async def main() -> None:
        session = await open_session(plain)
        sock: socket.socket = session.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        session.transport.abort()

    run(main())
    found = ""
    while not found:
        found = take_ends(plain)
    assert found == "1006:"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(Opcode.TEXT, b"\xff")], 1007),
        ([Frame(Opcode.CONT, b"x")], 1002),
        ([Frame(Opcode.PING, b"x", fin=False)], 1002),
        ([Frame(Opcode.TEXT, b"x", fin=False), Frame(Opcode.TEXT, b"y")], 1002),
        ([Frame(Opcode.BINARY, bytes(70_000))], 1009),
    ],
    ids=["bad UTF-8", "no beginning", "a ping in parts", "a message in a message", "too big"],
)
def test_what_is_wrong_is_closed_with_its_code(serve_long: Serve, frames: list[Frame], code: int) -> None:
    """What came before it is answered first."""
    site = limited(serve_long)

    async def main() -> None:
        async with open_session(site, compression=None) as session:
            data = b"".join(map(render, [Frame(Opcode.TEXT, b"good"), *frames]))
            session.transport.write(data)
            assert await session.recv() == "good"
            assert (await read_end(session))[0] == code

    run(main())


def render(frame: Frame) -> bytes:
    """A masked frame, right or wrong."""
    size = len(frame.data)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return bytes([frame.fin << 7 | frame.opcode]) + length + bytes(4) + frame.data


_limited: list[Served] = []


def limited(serve_long: Serve) -> Served:
    """One server of small messages for all cases."""
    if not _limited:
        _limited.append(serve_long(APP, "--ws-max-size", "65536"))
    return _limited[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_closes_each_session_with_1012(serve: Serve, workers: int) -> None:
    site = serve(APP, "--timeout-stream-shutdown", "0.1", workers=workers)

    async def main() -> None:
        sessions = await asyncio.gather(*(open_session(site) for _ in range(50)))
        for session in sessions:
            await session.send("x")
            await session.recv()
        site.server.send(signal.SIGTERM)
        assert Counter(await asyncio.gather(*map(read_end, sessions))) == {(1012, ""): 50}

    run(main())
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


def test_a_client_that_never_pongs_is_closed(serve: Serve) -> None:
    site = serve(APP, "--ws-ping-interval", "0.5", "--ws-ping-timeout", "0.5")

    async def main() -> None:
        async with open_session(site) as good:
            async with open_session(site) as silent:
                frames: list[Opcode] = []
                receive = silent.protocol.recv_frame

                def ignore_pings(frame: Frame) -> None:
                    frames.append(frame.opcode)
                    if frame.opcode is not Opcode.PING:
                        receive(frame)

                silent.protocol.recv_frame = ignore_pings  # type: ignore[method-assign]
                assert await read_end(silent) == (1011, "keepalive ping timeout")
                assert frames == [Opcode.PING, Opcode.CLOSE]
            await good.send("still")
            assert await good.recv() == "still"

    run(main())


# Many, and slow ones.


def test_five_hundred_sessions_at_once(serve: Serve) -> None:
    site = serve(APP, workers=2)

    async def main() -> Counter[str]:
        pids: Counter[str] = Counter()

        async def use(number: int) -> None:
            async with open_session(site, compression=None, open_timeout=None) as session:
                for turn in range(3):
                    await session.send(f"{number} {turn}")
                    assert await session.recv() == f"{number} {turn}"
                held.append(session)
                if len(held) == 500:
                    everyone.set()
                await everyone.wait()
                await session.send("last")
                assert await session.recv() == "last"

        held: list[ClientConnection] = []
        everyone = asyncio.Event()
        await asyncio.gather(*(use(number) for number in range(500)))
        while len(pids) < 2:
            async with open_session(site, "/tell") as session:
                pids[str(await session.recv()).split()[0]] += 1
        return pids

    assert {int(pid) for pid in run(main())} == set(site.pids)
    assert "ERROR" not in site.server.text


def test_a_client_that_reads_slowly_stops_its_application(serve: Serve) -> None:
    """Of 64 MiB no more lies in the server than a few buffers hold; the rest comes in its order."""
    site = serve(APP)

    async def main() -> None:
        async with open_session(site, compression=None) as warm:
            await warm.send(bytes(MIB))
            await warm.recv()
        before = read_rss(site.pids[0])
        async with open_session(site, "/pour", compression=None, max_queue=1) as session:
            await session.recv()
            most = 0
            for _ in range(20):
                async with open_session(site) as other:  # which is served all the time
                    await other.send("x")
                    assert await other.recv() == "x"
                most = max(most, read_rss(site.pids[0]) - before)
            assert most < 8 * MIB
            for number in range(1, 1024):
                message = await session.recv()
                assert isinstance(message, bytes)
                assert int.from_bytes(message[:4], "big") == number

    run(main())


def test_an_application_that_reads_nothing_stops_its_client(serve: Serve) -> None:
    site = serve(APP)

    async def main() -> None:
        async with open_session(site) as warm:
            await warm.send(bytes(MIB))
            await warm.recv()
        before = read_rss(site.pids[0])
        async with open_session(site, "/sleep", compression=None) as session:
            message = bytes(65536)
            sent = 0
            deadline = time.monotonic() + 1
            try:
                while time.monotonic() < deadline:
                    await asyncio.wait_for(session.send(message), 0.3)
                    sent += 1
            except asyncio.TimeoutError:
                sent += 1  # it is in the client's own buffer
            assert 0 < sent * 65536 < 32 * MIB
            assert read_rss(site.pids[0]) - before < 8 * MIB
            async with open_session(site, "/open"):
                pass
            await session.send("how much?")
            assert await session.recv() == str(sent * 65536)

    run(main())


# Frameworks.


def test_starlette(serve: Serve) -> None:
    site = serve("tests.e2e.websocket_application:starlette")

    async def main() -> None:
        async with open_session(site, "/ws", subprotocols=[Subprotocol("chat")]) as session:
            await session.send(json.dumps({"name": "you"}))
            assert json.loads(await session.recv()) == {"hello": "you"}
            await session.send(b"\0\1")
            assert await session.recv() == b"\0\1"
            assert await read_end(session) == (4000, "enough")
        with pytest.raises(InvalidStatus) as caught:
            async with open_session(site, "/elsewhere"):
                pass
        assert caught.value.response.status_code == 403

    run(main())


def test_fastapi(serve: Serve) -> None:
    site = serve("tests.e2e.websocket_application:fastapi")

    async def main() -> None:
        async with open_session(site, "/items/7?token=t") as session:
            for word in ("one", "two"):
                await session.send(word)
                assert await session.recv() == f"7 t {word}"
            await session.close(4321, "later")
        with pytest.raises(InvalidStatus) as caught:
            async with open_session(site, "/items/seven"):
                pass
        assert caught.value.response.status_code == 403

    run(main())
    assert httpx.get(site.url()).json() == ["4321:later"]
