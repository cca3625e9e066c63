"""WebSockets of the client: sessions that echo, and how they end (RFC 6455 sections 5.5.1 and 7.4)."""

import asyncio
import ssl

import wsproto
import wsproto.events

from bench.faults.outcome import Attempt, Book, Outcome
from bench.faults.wire import BrokenHandshake, End, Refused, Target, Wire, connect

#: Codes by which a server says that it goes away: the client connects anew, and has lost nothing that was promised.
LEAVING = (1001, 1012)


class WSClient:
    """One session at a time: ``open`` it, then ``echo``; both judge their attempt."""

    def __init__(self, target: Target, context: ssl.SSLContext | None = None, answer_s: float = 30.0) -> None:
        self._target = target
        self._context = context
        self._answer_s = answer_s
        self._wire: Wire | None = None
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: list[wsproto.events.Event] = []
        self._parts = ""
        self._owner = 0
        self.code: int | None = None

    @property
    def is_open(self) -> bool:
        return self._wire is not None

    async def open(self, attempt: Attempt) -> None:
        """Connect and upgrade."""
        self.code = None
        self._events = []
        self._parts = ""
        self._owner = 0
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        try:
            self._wire = await connect(self._target, self._context)
        except Refused as error:
            attempt.judge(Outcome.REFUSED, str(error))
            return
        except BrokenHandshake as error:
            attempt.judge(Outcome.HANDSHAKE, str(error))
            return
        attempt.serial = self._wire.serial
        await self._send(attempt, wsproto.events.Request(host="127.0.0.1", target=f"/ws?id={attempt.ident}"))
        event = await self._receive()
        if isinstance(event, wsproto.events.AcceptConnection):
            attempt.judge(Outcome.OK)
        elif isinstance(event, wsproto.events.RejectConnection):
            attempt.judge(Outcome.WRONG, f"status {event.status_code}")
            self.close()
        else:
            self._judge_end(attempt)

    async def echo(self, attempt: Attempt) -> None:
        """One message there and back."""
        attempt.owner, attempt.reused = self._owner, True
        wire = self._wire
        if wire is None:
            raise AssertionError("there is no session")
        event = await self._look(wire)
        if event is not None or not await wire.is_open():
            attempt.kind += "-end"  # nothing was sent; the attempt is about how the session ended
            return self._judge_end(attempt, event or await self._receive())
        text = f"{attempt.ident} {'x' * 40}"
        await self._send(attempt, wsproto.events.TextMessage(data=text))
        event = await self._receive()
        if not isinstance(event, wsproto.events.TextMessage):
            return self._judge_end(attempt, event)
        pid, _, back = str(event.data).partition(" ")
        attempt.pid = self._owner = int(pid) if pid.isdigit() else 0
        if back == text:
            attempt.judge(Outcome.OK)
        else:
            attempt.judge(Outcome.WRONG, f"echoed {event.data[:60]!r}")

    def close(self) -> None:
        """Give the session up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _send(self, attempt: Attempt, event: wsproto.events.Event) -> None:
        attempt.sent = asyncio.get_running_loop().time()
        if self._wire is not None:
            await self._wire.write(self._ws.send(event))

    async def _look(self, wire: Wire) -> wsproto.events.Event | None:
        """What has come while nothing was asked, pings aside."""
        await wire.is_open()  # have what the kernel holds read
        self._feed(wire)
        while self._events:
            event = self._events[0]
            if not isinstance(event, wsproto.events.Ping):
                break
            await wire.write(self._ws.send(event.response()))
            del self._events[0]
        return await self._receive() if self._events else None

    def _feed(self, wire: Wire) -> bool:
        """Take in what has been received; ``False`` where it is no WebSocket."""
        data = bytes(wire.received)
        wire.received.clear()
        try:
            self._ws.receive_data(data) if data else None
            self._events += self._ws.events()
        except wsproto.utilities.RemoteProtocolError:
            return False
        return True

    async def _receive(self) -> wsproto.events.Event | None:
        """The next message or close; ``None`` for an end without one, or the deadline."""
        wire = self._wire
        if wire is None:
            return None
        deadline = asyncio.get_running_loop().time() + self._answer_s
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, wsproto.events.Ping):
                    await wire.write(self._ws.send(event.response()))
                elif isinstance(event, wsproto.events.TextMessage) and not event.message_finished:
                    self._parts += event.data
                else:
                    if isinstance(event, wsproto.events.TextMessage):
                        event, self._parts = wsproto.events.TextMessage(data=self._parts + event.data), ""
                    if isinstance(event, wsproto.events.CloseConnection):
                        self.code = event.code
                        await wire.write(self._ws.send(event.response()))
                    return event
            if wire.received:
                if not self._feed(wire):
                    return None
                continue
            left_s = deadline - asyncio.get_running_loop().time()
            if wire.end is not None or left_s <= 0:
                return None
            try:
                await asyncio.wait_for(wire.wait(), left_s)
            except asyncio.TimeoutError:
                return None

    def _judge_end(self, attempt: Attempt, event: wsproto.events.Event | None = None) -> None:
        """The session ended where an answer was due."""
        end = self._wire.end if self._wire is not None else None
        if isinstance(event, wsproto.events.CloseConnection):
            attempt.closing = True
            told = self.code in LEAVING
            attempt.judge(Outcome.TOLD if told else Outcome.WRONG, f"closed with {self.code}")
        elif event is not None:
            attempt.judge(Outcome.WRONG, f"{type(event).__name__} where an answer was due")
        elif end is None:
            attempt.judge(Outcome.TIMEOUT)
        else:
            attempt.judge(Outcome.RESET if end is End.RST else Outcome.ENDED, "without a close frame")
        self.close()


async def run_session(client: WSClient, book: Book, pause_s: float, prefix: str = "ws") -> bool:
    """One step of a lane: open where there is no session, else one echo; ``False`` where the connection was refused."""
    if not client.is_open:
        attempt = book.open(f"{prefix}-open")
        await client.open(attempt)
        return attempt.outcome is not Outcome.REFUSED
    await client.echo(book.open(prefix))
    await asyncio.sleep(pause_s)
    return True
