"""The engine seam: all that HTTP/2 needs of the ``h2`` package, in one class.

An engine is the state machine of one server connection (RFC 9113): it reads frames, keeps streams and windows, and
writes frames into a buffer.  It knows no events, requests or applications.  What it reads it tells its ``Listener``,
one frame at a time, so that a frame is acted upon before the next is looked at.

``h2`` is used for its state machine alone.  Its parts that cost most or promise least are replaced:
``incoming_buffer`` is our frame scanner, ``decoder`` and ``encoder`` are our HPACK; its validation of fields is off,
since ``fieldlist`` and ``rendering`` do that for every protocol.  A header list therefore travels through ``h2``
unread, as the value of one nameless field.

Only the switches of its validation are an interface that ``h2`` offers.  The attributes are replaced at our own risk,
and ``_Connection`` overrides and reads private names, so the releases of ``h2`` and ``hyperframe`` are pinned
(``docs/design.md``), and a test looks for each name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import NoSuchStreamError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from fastserver._speedups.contract import Limits
from fastserver._speedups.h2.budget import Budget
from fastserver._speedups.h2.codes import FIRST_WINDOW, LARGEST_STREAM
from fastserver._speedups.h2.errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    ConnectionFault,
)
from fastserver._speedups.h2.frames import FrameScanner
from fastserver._speedups.hpack.decoder import Decoder
from fastserver._speedups.hpack.encoder import Encoder
from fastserver._speedups.hpack.errors import HPACKError, OversizedList

Field: TypeAlias = tuple[bytes, bytes]

_STATUS: Final = b":status"

#: Bytes of the table that compresses requests' fields (RFC 9113 section 6.5.2: the default).
TABLE_BYTES: Final = 4096
#: More fields than a request may have are still decoded, so that it can be answered; many more are not.
FIELDS_FACTOR: Final = 2
#: The largest DATA frame that is written, whatever the peer allows: others' frames want their turn.
LARGEST_FRAME: Final = 64 * 1024
#: How many closed streams ``h2`` remembers, about 100 bytes each (H2-1).
CLOSED_STREAMS: Final = 2048


class Listener(Protocol):
    """Who hears what an engine has read.  ``ends`` says that the peer's side of the stream is complete."""

    def on_head(self, stream_id: int, fields: list[Field], ends: bool) -> None:
        """A request has begun."""

    def on_trailers(self, stream_id: int, fields: list[Field]) -> None:
        """A request has ended with trailers."""

    def on_data(self, stream_id: int, data: bytes, size: int, ends: bool) -> None:
        """Body bytes; ``size`` is what they took of the windows, padding included."""

    def on_reset(self, stream_id: int) -> None:
        """The stream is over, reset by the peer or because of it."""

    def on_window(self, stream_id: int) -> None:
        """The peer takes more of one stream, or of all where ``stream_id`` is 0."""

    def on_settings_acknowledged(self) -> None:
        """The peer knows our settings."""

    def on_go_away(self) -> None:
        """The peer begins no more streams."""


class Engine:
    """One connection's HTTP/2 by the ``h2`` package.

    ``receive`` raises ``ConnectionFault`` where the peer has broken the connection: GOAWAY stands in the output then,
    and nothing more may be received.  The methods that write put frames into the output, which ``take_output`` takes.
    """

    def __init__(self, listener: Listener, limits: Limits, budget: Budget) -> None:
        self.scanner = FrameScanner(limits, budget)
        self._listener = listener
        self._limits = limits
        self._connection = _Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._connection.incoming_buffer = self.scanner  # type: ignore[assignment]
        self._connection.decoder = _Decoder(limits)  # type: ignore[assignment]
        self._encoder = Encoder()
        self._connection.encoder = _Encoder(self._encoder)  # type: ignore[assignment]
        self._on_event: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._on_request,
            DataReceived: self._on_data,
            TrailersReceived: self._on_trailers,
            StreamReset: self._on_reset,
            WindowUpdated: self._on_window,
            RemoteSettingsChanged: self._on_settings_changed,
            SettingsAcknowledged: self._on_settings_acknowledged,
        }
        # Frames that ``h2`` is not asked to write.
        self._own_output: list[bytes] = []

    def start(self) -> None:
        """Write the server's SETTINGS and open the connection's window."""
        limits = self._limits.h2
        connection = self._connection
        connection.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.HEADER_TABLE_SIZE: TABLE_BYTES,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_FRAME_SIZE: limits.frame,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_list,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(limits.sessions),
            },
        )
        connection.max_inbound_frame_size = limits.frame
        connection.initiate_connection()
        # What holds from now on.  The limit of streams is enforced by the listener: ``h2`` would end the connection
        # over one more.  A client that does not know our windows yet may go by the default (RFC 9113 section 6.9.3).
        connection.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: LARGEST_STREAM,
                SettingCodes.INITIAL_WINDOW_SIZE: max(FIRST_WINDOW, limits.stream_window),
            },
        )
        connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = limits.stream_window
        if limits.connection_window > FIRST_WINDOW:
            connection.increment_flow_control_window(limits.connection_window - FIRST_WINDOW)

    # Reading.

    def is_in_block(self) -> bool:
        """Whether a header block has begun and not ended: nothing else may come in between (RFC 9113 section 4.3)."""
        return bool(self.scanner.in_block)

    def has_more(self) -> bool:
        """Whether ``receive`` has left something for its next call."""
        return bool(self.scanner.has_frame())

    def receive(self, data: bytes, most: int) -> int:
        """Read what ``data`` completes, up to ``most`` frames, and tell the listener; returns how many there were."""
        connection, scanner = self._connection, self.scanner
        frames = 0
        try:
            scanner.add_data(data)
            while frames < most and scanner.has_frame():
                events = connection.receive_data(b"")
                frames += 1
                if scanner.faults:
                    # A head with a fault has been decoded, for the table's sake, and is served to nobody.
                    self._reset_faulty()
                    continue
                for event in events:
                    act = self._on_event.get(type(event))
                    if act is not None:
                        act(event)
                if scanner.went_away:
                    scanner.went_away = False
                    self._listener.on_go_away()
        except ConnectionFault as fault:
            self.go_away(self.highest_stream_id, fault.code)
            raise
        except ProtocolError as error:
            # ``h2`` has written GOAWAY itself.
            raise ConnectionFault(int(error.error_code), str(error)) from None
        return frames

    def _reset_faulty(self) -> None:
        """Answer the faults of single streams that the scanner has found."""
        faults, self.scanner.faults = self.scanner.faults, []
        for stream_id, code in faults:
            if self.reset(stream_id, code):
                self._listener.on_reset(stream_id)

    def _on_request(self, event: RequestReceived) -> None:
        self._listener.on_head(event.stream_id, event.headers[0][1], event.stream_ended is not None)  # type: ignore

    def _on_data(self, event: DataReceived) -> None:
        self._listener.on_data(
            event.stream_id, event.data, event.flow_controlled_length, event.stream_ended is not None
        )

    def _on_trailers(self, event: TrailersReceived) -> None:
        self._listener.on_trailers(event.stream_id, event.headers[0][1])  # type: ignore[arg-type]

    def _on_reset(self, event: StreamReset) -> None:
        self._listener.on_reset(event.stream_id)

    def _on_window(self, event: WindowUpdated) -> None:
        self._listener.on_window(event.stream_id)

    def _on_settings_changed(self, event: RemoteSettingsChanged) -> None:
        self._listener.on_window(0)

    def _on_settings_acknowledged(self, event: SettingsAcknowledged) -> None:
        self._listener.on_settings_acknowledged()

    # Writing.

    def respond(self, stream_id: int, status: int, fields: list[Field], ends: bool) -> None:
        """Write the head of a response, or with a ``status`` of 100 to 199 that of an interim one."""
        block = self._encoder.encode_head(status, fields)
        self._connection.send_headers(stream_id, ((_STATUS, b"%d" % status), (b"", block)), ends)

    def trail(self, stream_id: int, fields: list[Field]) -> None:
        """End the response with trailers."""
        self._connection.send_headers(stream_id, ((b"", self._encoder.encode(fields)),), True)

    def send_data(self, stream_id: int, data: bytes, ends: bool) -> None:
        """Write one DATA frame; ``data`` fits ``get_window`` and ``get_frame_limit``."""
        self._connection.send_data(stream_id, data, ends)

    def reset(self, stream_id: int, code: int) -> bool:
        """End a stream with RST_STREAM, unless it is over; returns whether it was open."""
        try:
            self._connection.reset_stream(stream_id, code)
        except NoSuchStreamError:
            return False
        return True

    def forget(self, stream_id: int) -> None:
        """The stream is over on both sides."""
        self._connection.forget(stream_id)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Give the peer back ``size`` bytes of the windows: the application has taken them."""
        self._connection.acknowledge_received_data(size, stream_id)

    def get_window(self, stream_id: int) -> int:
        """How many bytes of DATA the peer takes on a stream now."""
        return self._connection.local_flow_control_window(stream_id)

    def get_room(self, stream_id: int) -> int:
        """How many bytes of DATA the peer may send on a stream now, by its window and that of the connection."""
        return self._connection.remote_flow_control_window(stream_id)

    def is_shut(self, stream_id: int) -> bool:
        """Whether it is the stream's own window that takes no DATA, and not that of the connection."""
        return self._connection.streams[stream_id].outbound_flow_control_window <= 0

    def get_frame_limit(self) -> int:
        """How many bytes of DATA fit one frame."""
        return min(self._connection.max_outbound_frame_size, LARGEST_FRAME)

    @property
    def highest_stream_id(self) -> int:
        """The last stream that the peer has begun; 0 where there was none."""
        return self._connection.highest_inbound_stream_id

    def go_away(self, last_stream_id: int, code: int) -> None:
        """Write GOAWAY.  Streams that are open go on, which ``h2`` itself would not allow after this frame."""
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code)
        self._own_output += (self._connection.data_to_send(), frame.serialize())

    def close(self) -> None:
        """Nothing is received any more: let go of the listener, and of the circles that ``h2`` makes."""
        self.scanner.close()
        self._on_event.clear()
        self._connection._frame_dispatch_table.clear()
        del self._listener

    def take_output(self) -> bytes:
        """What has been written since the last call."""
        data = self._connection.data_to_send()
        if self._own_output:
            data = b"".join((*self._own_output, data))
            self._own_output.clear()
        return data


class _Connection(H2Connection):
    """``h2``'s connection, without the walk over all streams that it does for each HEADERS.

    Frames on streams that are over are treated as RFC 9113 section 5.1 has it: what the peer cannot know to be late is
    dropped in silence, what it must know is an error, and that is an event (H2-2).
    """

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    @property
    def open_inbound_streams(self) -> int:
        """None: the number is the listener's to limit, and closed ones leave by ``forget``."""
        return 0

    def forget(self, stream_id: int) -> None:
        """Move a closed stream among those of which only the manner of their end is known."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.closed:
            del self.streams[stream_id]
            self._closed_streams[stream_id] = stream.closed_by

    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        stream_id = frame.stream_id
        if stream_id > self.highest_inbound_stream_id:
            return super()._receive_headers_frame(frame)
        stream = self.streams.get(stream_id)
        match self._stream_closed_by(stream_id):
            case StreamClosedBy.SEND_RST_STREAM:
                # Still decoded, for the table that is everyone's (RFC 9113 section 4.3).
                self.decoder.decode(frame.data)
                return [], []
            case StreamClosedBy.RECV_RST_STREAM:
                self.decoder.decode(frame.data)
                return [_make_reset(stream_id, STREAM_CLOSED)], [_make_reset_event(stream_id)]
        if stream is not None and "END_STREAM" not in frame.flags and _is_receiving(stream):
            # Malformed (RFC 9113 section 8.1), which is a fault of the stream alone.
            self.decoder.decode(frame.data)
            return list(stream.reset_stream(PROTOCOL_ERROR)), [_make_reset_event(stream_id)]
        return super()._receive_headers_frame(frame)

    def _handle_data_on_closed_stream(
        self, events: list[Event], exc: StreamClosedError, frame: DataFrame
    ) -> tuple[list[Frame], list[Event]]:
        was_half_open = bool(exc._events)
        frames, events = super()._handle_data_on_closed_stream(events, exc, frame)
        if not was_half_open:
            if self._stream_closed_by(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
                frames = [frame for frame in frames if not isinstance(frame, RstStreamFrame)]
            else:
                events = [*events, _make_reset_event(frame.stream_id)]
        return frames, events


def _is_receiving(stream: H2Stream) -> bool:
    """Whether the peer may send HEADERS and DATA."""
    return stream.state_machine.state in (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)


def _make_reset(stream_id: int, code: int) -> RstStreamFrame:
    return RstStreamFrame(stream_id, error_code=code)


def _make_reset_event(stream_id: int) -> StreamReset:
    return StreamReset(stream_id=stream_id, remote_reset=False)


class _Decoder:
    """Our HPACK decoder, as ``h2`` calls one: the decoded list is the value of one nameless field."""

    def __init__(self, limits: Limits) -> None:
        self._decoder = Decoder(
            TABLE_BYTES, limits.h2.header_list, FIELDS_FACTOR * limits.request_fields, limits.h2.header_list
        )

    def decode(self, block: bytes, raw: bool = True) -> tuple[tuple[bytes, list[Field]]]:
        try:
            return ((b"", self._decoder.decode(block)),)
        except HPACKError as error:
            # RFC 9113 section 4.3; ``h2`` itself would call it a PROTOCOL_ERROR.
            raise ConnectionFault(COMPRESSION_ERROR, str(error)) from None
        except OversizedList as error:
            raise ConnectionFault(ENHANCE_YOUR_CALM, str(error)) from None


class _Encoder:
    """Our HPACK encoder, as ``h2`` calls one: the last field's value is a block that is encoded already."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def header_table_size(self) -> int:
        return int(self._encoder.header_table_size)

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        self._encoder.header_table_size = size

    def encode(self, headers: list[Field]) -> bytes:
        return headers[-1][1]
