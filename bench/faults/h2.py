"""HTTP/2 of the client: many requests on one connection, and the rules of GOAWAY (RFC 9113 section 6.8).

GOAWAY frames are taken out before ``h2`` sees them: it ends a connection there and then, while the streams that the
server promises to finish are still under way.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from bench.faults.h1 import ANSWER_S, Request, judge_answer
from bench.faults.outcome import Attempt, Outcome
from bench.faults.wire import BrokenHandshake, End, Refused, Target, Wire, connect

GOAWAY = 0x7
REFUSED_STREAM = 0x7
_FRAME_HEAD = 9
#: The client's windows: downloads are never held up.
_WINDOW = 1 << 24


@dataclass(slots=True)
class _Stream:
    attempt: Attempt
    request: Request
    over: asyncio.Future[None]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    begun: bool = False


class H2Connection:
    """One connection: ``perform`` may be called by many at once, until it is ``closed``."""

    def __init__(self, wire: Wire) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._wire = wire
        self._streams: dict[int, _Stream] = {}
        self._opened = asyncio.Event()  # set whenever a window or a stream has become free
        self._owner = 0
        self._answers = 0
        self.last_stream: int | None = None
        self.goaways = 0
        wire.on_change = self._on_change
        values = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW, h2.settings.SettingCodes.ENABLE_PUSH: 0}
        self._h2.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()
        self._on_change()

    @property
    def usable(self) -> bool:
        """Whether new streams may be opened."""
        return self.last_stream is None and self._wire.end is None

    async def perform(self, attempt: Attempt, request: Request, answer_s: float) -> Attempt:
        """One request on a stream of its own, judged."""
        attempt.owner, attempt.reused, attempt.serial = self._owner, self._answers > 0, self._wire.serial
        if not await self._wait_room():
            return attempt.judge(Outcome.TOLD, "no stream was opened")
        stream_id = self._h2.get_next_available_stream_id()
        stream = _Stream(attempt, request, asyncio.get_running_loop().create_future())
        self._streams[stream_id] = stream
        attempt.sent = asyncio.get_running_loop().time()
        self._send_head(stream_id, stream)  # before anything else runs, since streams are opened in order
        sending = asyncio.ensure_future(self._send_body(stream_id, stream))
        try:
            await asyncio.wait_for(asyncio.shield(stream.over), answer_s)
        except asyncio.TimeoutError:
            attempt.judge(Outcome.TIMEOUT, "in mid-answer" if stream.begun else "")
        finally:
            sending.cancel()
            self._streams.pop(stream_id, None)
            self._opened.set()
        return attempt

    def close(self) -> None:
        """Give the connection up."""
        self._wire.close()

    async def _wait_room(self) -> bool:
        """Until the server allows one more stream; ``False`` where the connection takes no more."""
        while self.usable:
            if await self._wire.is_open() and self.usable and self._has_room():
                return True
            if self._wire.received:
                self._on_change()
            self._opened.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._opened.wait(), 0.01)
        return False

    def _has_room(self) -> bool:
        """Whether the server allows one more stream."""
        allowed = self._h2.remote_settings.max_concurrent_streams
        return max(len(self._streams), self._h2.open_outbound_streams) < allowed

    def _send_head(self, stream_id: int, stream: _Stream) -> None:
        request, ident = stream.request, stream.attempt.ident
        method = "POST" if request.path == "/upload" else "GET"
        head = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", request.target(ident)),
        ]
        if request.upload and not request.chunked:
            head.append(("content-length", str(request.upload)))
        self._h2.send_headers(stream_id, head, end_stream=not request.upload)
        self._flush()

    async def _send_body(self, stream_id: int, stream: _Stream) -> None:
        request, ident = stream.request, stream.attempt.ident
        try:
            parts = request.split(ident) if request.upload else []
            for index, part in enumerate(parts):
                if index and request.pause_s:
                    await asyncio.sleep(request.pause_s)
                await self._send_data(stream_id, part, index == len(parts) - 1)
        except (h2.exceptions.ProtocolError, KeyError):
            pass  # the stream or the connection has ended meanwhile: what has arrived is judged elsewhere

    async def _send_data(self, stream_id: int, data: bytes, last: bool) -> None:
        while data and self._wire.end is None:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size, len(data))
            if room <= 0:
                self._opened.clear()
                await self._opened.wait()
                continue
            self._h2.send_data(stream_id, data[:room], end_stream=last and room == len(data))
            data = data[room:]
            self._flush()
            await self._wire.write(b"")

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._wire.transport.is_closing():
            self._wire.transport.write(data)

    # What arrives.

    def _on_change(self) -> None:
        received = self._wire.received
        while len(received) >= _FRAME_HEAD:
            size = _FRAME_HEAD + int.from_bytes(received[:3], "big")
            if len(received) < size:
                break
            frame = bytes(received[:size])
            del received[:size]
            if frame[3] == GOAWAY:
                self._take_goaway(frame)
            else:
                self._take(frame)
        self._flush()
        self._opened.set()
        if self._wire.end is not None:
            self._end(self._wire.end)

    def _take(self, frame: bytes) -> None:
        try:
            events = self._h2.receive_data(frame)
        except h2.exceptions.ProtocolError as error:
            for stream in self._streams.values():
                _judge(stream, Outcome.WRONG, f"{type(error).__name__}: {error}")
            self._wire.close()
            return
        for event in events:
            self._take_event(event)

    def _take_event(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.DataReceived):
            if event.flow_controlled_length and event.stream_id is not None:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream is not None and event.data is not None:
                stream.body += event.data
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.begun = True
            stream.headers = {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.StreamEnded):
            self._take_answer(stream)
        elif isinstance(event, h2.events.StreamReset):
            if event.error_code == REFUSED_STREAM and not stream.begun:
                _judge(stream, Outcome.TOLD, "REFUSED_STREAM")
            else:
                _judge(stream, Outcome.CUT if stream.begun else Outcome.RESET, f"RST_STREAM {event.error_code}")

    def _take_answer(self, stream: _Stream) -> None:
        attempt = stream.attempt
        attempt.closing = self.last_stream is not None
        judge_answer(
            attempt, stream.request, int(stream.headers.get(":status", "0")), stream.headers, bytes(stream.body)
        )
        self._owner = attempt.pid or self._owner
        self._answers += 1
        if not stream.over.done():
            stream.over.set_result(None)

    def _take_goaway(self, frame: bytes) -> None:
        self.goaways += 1
        last = int.from_bytes(frame[_FRAME_HEAD : _FRAME_HEAD + 4], "big") & 0x7FFFFFFF
        self.last_stream = last if self.last_stream is None else min(last, self.last_stream)
        for stream_id, stream in self._streams.items():
            if stream_id > self.last_stream:
                _judge(stream, Outcome.TOLD, f"GOAWAY after stream {last}")

    def _end(self, end: End) -> None:
        for stream in self._streams.values():
            if stream.begun:
                _judge(stream, Outcome.CUT, f"{end.value} after {len(stream.body)} bytes of the body")
            elif stream.attempt.reused and not self.goaways:
                _judge(stream, Outcome.STALE, end.value)
            else:
                promised = "a stream that GOAWAY has promised to finish" if self.goaways else ""
                _judge(stream, Outcome.RESET if end is End.RST else Outcome.ENDED, promised)


def _judge(stream: _Stream, outcome: Outcome, detail: str) -> None:
    stream.attempt.judge(outcome, detail)
    if not stream.over.done():
        stream.over.set_result(None)


class H2Client:
    """Opens a connection when there is none that takes streams; the old one finishes what it has."""

    def __init__(self, target: Target, context: ssl.SSLContext, answer_s: float = ANSWER_S) -> None:
        self._target = target
        self._context = context
        self._answer_s = answer_s
        self._connection: H2Connection | None = None
        self._lock = asyncio.Lock()

    async def perform(self, attempt: Attempt, request: Request) -> Attempt:
        """Send ``request`` and judge what comes of it; never raises for anything that a server does."""
        try:
            async with self._lock:
                if self._connection is None or not self._connection.usable:
                    self._connection = await self._connect()
        except Refused as error:
            return attempt.judge(Outcome.REFUSED, str(error))
        except BrokenHandshake as error:
            return attempt.judge(Outcome.HANDSHAKE, str(error))
        return await self._connection.perform(attempt, request, self._answer_s)

    async def _connect(self) -> H2Connection:
        wire = await connect(self._target, self._context)
        if self._target.tls and wire.alpn != "h2":
            wire.close()
            raise BrokenHandshake(f"h2 was not agreed on, but {wire.alpn!r}")
        return H2Connection(wire)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
