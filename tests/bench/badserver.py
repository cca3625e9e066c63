"""Servers that answer wrongly on purpose, in each way in which one can fail a client: the client has to notice."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import h2.events
import wsproto
import wsproto.events

from bench.faults.content import fill

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]


async def meet(handler: Handler, client: Callable[[int], Awaitable[None]]) -> None:
    """Run ``client`` with the port of a server that does ``handler`` on each connection."""

    async def serve(reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await client(server.sockets[0].getsockname()[1])


async def read_head(reader: Reader) -> str:
    """One request's head; the id is in it."""
    return (await reader.readuntil(b"\r\n\r\n")).decode()


def find_ident(head: str) -> str:
    match = re.search(r"id=([^ &]+)", head)
    assert match is not None
    return match[1]


def render(ident: str, body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", f"x-id: {ident}", "x-pid: 7", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(writer: Writer) -> None:
    """RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answer_with(make: Callable[[str], bytes]) -> Handler:
    """Answers each request with what ``make`` gives for its id."""

    async def handle(reader: Reader, writer: Writer) -> None:
        while True:
            writer.write(make(find_ident(await read_head(reader))))

    return handle


def answer_once(make: Callable[[str], bytes]) -> Handler:
    """Answers one request, and closes."""

    async def handle(reader: Reader, writer: Writer) -> None:
        writer.write(make(find_ident(await read_head(reader))))

    return handle


def right(ident: str) -> bytes:
    return render(ident, fill(ident, 64))


async def reset_unanswered(reader: Reader, writer: Writer) -> None:
    await read_head(reader)
    reset(writer)


async def close_unanswered(reader: Reader, writer: Writer) -> None:
    await read_head(reader)


async def stay_silent(reader: Reader, writer: Writer) -> None:
    await reader.read()


async def reset_in_answer(reader: Reader, writer: Writer) -> None:
    ident = find_ident(await read_head(reader))
    writer.write(right(ident)[:-10])
    await asyncio.sleep(0.05)
    reset(writer)


async def drop_the_second(reader: Reader, writer: Writer) -> None:
    """The race of kept connections: it reads a request, and closes."""
    writer.write(right(find_ident(await read_head(reader))))
    await read_head(reader)


async def swap_pipelined(reader: Reader, writer: Writer) -> None:
    """Answers two in the wrong order."""
    first, second = find_ident(await read_head(reader)), find_ident(await read_head(reader))
    writer.write(right(second) + right(first))
    await reader.read()


# HTTP/2.

H2 = h2.connection.H2Connection
Misdeed = Callable[[H2, int, str], bool]


def serve_h2(misdeed: Misdeed) -> Handler:
    """Speaks HTTP/2; ``misdeed`` does something with each request, and says whether the connection stays."""

    async def handle(reader: Reader, writer: Writer) -> None:
        connection = H2(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        stays = True
        while stays and (data := await reader.read(65536)):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers or ()}
                    stays = misdeed(connection, event.stream_id or 0, find_ident(headers[":path"] + " ")) and stays
            writer.write(connection.data_to_send())

    return handle


def h2_answer(connection: H2, stream_id: int, ident: str) -> bool:
    connection.send_headers(stream_id, [(":status", "200"), ("x-id", ident), ("x-pid", "7")])
    connection.send_data(stream_id, fill(ident, 64), end_stream=True)
    return True


def h2_answer_other(connection: H2, stream_id: int, ident: str) -> bool:
    connection.send_headers(stream_id, [(":status", "200"), ("x-id", ident)])
    connection.send_data(stream_id, fill("other", 64), end_stream=True)
    return True


def h2_goaway_before(connection: H2, stream_id: int, ident: str) -> bool:
    connection.close_connection(last_stream_id=0)
    return False


def h2_goaway_promise(connection: H2, stream_id: int, ident: str) -> bool:
    connection.close_connection(last_stream_id=stream_id)
    return False


def h2_refuse(connection: H2, stream_id: int, ident: str) -> bool:
    connection.reset_stream(stream_id, 0x7)
    return True


def h2_reset_in_answer(connection: H2, stream_id: int, ident: str) -> bool:
    connection.send_headers(stream_id, [(":status", "200"), ("x-id", ident)])
    connection.send_data(stream_id, fill(ident, 10))
    connection.reset_stream(stream_id, 0x2)
    return True


def h2_vanish(connection: H2, stream_id: int, ident: str) -> bool:
    return False


# WebSockets.


def serve_ws(answer: Callable[[wsproto.WSConnection, str], bytes | None]) -> Handler:
    """Accepts, then answers each text with what ``answer`` gives, ``None`` for an end without a word."""

    async def handle(reader: Reader, writer: Writer) -> None:
        connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        while data := await reader.read(65536):
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, wsproto.events.Request):
                    writer.write(connection.send(wsproto.events.AcceptConnection()))
                elif isinstance(event, wsproto.events.TextMessage):
                    reply = answer(connection, event.data)
                    if reply is None:
                        return
                    writer.write(reply)

    return handle


def ws_echo(connection: wsproto.WSConnection, text: str) -> bytes:
    return connection.send(wsproto.events.TextMessage(data=f"7 {text}"))


def ws_echo_other(connection: wsproto.WSConnection, text: str) -> bytes:
    return connection.send(wsproto.events.TextMessage(data="7 something else"))


def ws_close(code: int) -> Callable[[wsproto.WSConnection, str], bytes]:
    return lambda connection, text: connection.send(wsproto.events.CloseConnection(code=code))


def ws_vanish(connection: wsproto.WSConnection, text: str) -> None:
    return None
