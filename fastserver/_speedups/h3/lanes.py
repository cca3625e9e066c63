"""The unidirectional streams of one HTTP/3 connection: both control streams, and what else a client opens (RFC 9114
section 6.2).

Ours is the control stream alone: with a QPACK table of capacity 0 there is nothing to say on others (RFC 9204 section
4.2).  What a client says on its own is read here and checked; nothing of it changes what this server does.

A *lane* is a stream that goes one way, here and in ``budget``; what carries a request is a *stream*.
"""

from ..qpack.streams import DecoderStreamReader, EncoderStreamReader
from .bounds import CONTROL_FRAME_BYTES
from .codes import (
    CANCEL_PUSH,
    CONTROL,
    CONTROL_STREAM,
    ENABLE_CONNECT_PROTOCOL,
    GOAWAY,
    MAX_FIELD_SECTION_SIZE,
    PUSH_STREAM,
    QPACK_BLOCKED_STREAMS,
    QPACK_DECODER_STREAM,
    QPACK_ENCODER_STREAM,
    QPACK_MAX_TABLE_CAPACITY,
    SETTINGS,
)
from .errors import (
    H3_CLOSED_CRITICAL_STREAM,
    H3_EXCESSIVE_LOAD,
    H3_ID_ERROR,
    H3_STREAM_CREATION_ERROR,
    ConnectionFault,
    FrameTooLarge,
)
from .frames import FrameReader
from .payloads import read_goaway, read_push_id, read_settings, render_goaway, render_settings
from .varint import encode_varint, measure_varint, read_varint

_CRITICAL = {
    CONTROL_STREAM: "control stream",
    QPACK_ENCODER_STREAM: "encoder stream",
    QPACK_DECODER_STREAM: "decoder stream",
}


class Lanes:
    """The unidirectional streams of a connection.  Whatever the peer does wrong on them raises ``ConnectionFault``."""

    def __init__(self, engine, budget, limits):
        self._engine = engine
        self._budget = budget
        self._limits = limits.h3
        self._control = -1
        # What reads each of the client's streams; ``None`` where nothing of it is wanted, its first bytes where its
        # type is not known yet.
        self._readers = {}
        self._critical = {}
        self._settings = None
        self._push_limit = -1
        self._go_away = -1

    @property
    def settings(self):
        """The client's SETTINGS, or ``None`` before they have come."""
        return self._settings

    def open(self):
        """Open our control stream: the client learns what it may do (RFC 9114 section 7.2.4)."""
        limits = self._limits
        settings = {
            QPACK_MAX_TABLE_CAPACITY: 0,
            QPACK_BLOCKED_STREAMS: 0,
            MAX_FIELD_SECTION_SIZE: limits.field_section,
        }
        if limits.sessions:
            settings[ENABLE_CONNECT_PROTOCOL] = 1
        self._control = self._engine.open_stream()
        self._engine.send(self._control, encode_varint(CONTROL_STREAM) + render_settings(settings), False)

    def go_away(self, stream_id):
        """Tell the client that requests from ``stream_id`` on are not served (RFC 9114 section 5.2)."""
        if self._control >= 0:
            self._engine.send(self._control, render_goaway(stream_id), False)

    def read(self, stream_id, data, ends):
        """Bytes of one of the client's streams."""
        reader = self._readers.get(stream_id, b"")
        if type(reader) is bytes:
            reader, data = self._open_reader(stream_id, reader + data)
        if type(reader) is FrameReader:
            self._read_control(reader, data)
        elif reader is None:
            self._budget.count_skipped(len(data))
        elif data and type(reader) is not bytes:
            reader.feed(data)
        if ends:
            self.lose(stream_id)

    def lose(self, stream_id):
        """A stream was ended, reset or stopped: some must live as long as the connection (section 6.2.1)."""
        if stream_id == self._control:
            raise ConnectionFault(H3_CLOSED_CRITICAL_STREAM, "control stream stopped")
        if stream_id in self._critical:
            raise ConnectionFault(H3_CLOSED_CRITICAL_STREAM, f"{self._critical[stream_id]} closed")
        if type(self._readers.get(stream_id, b"")) is bytes:
            # It has never said what it is.
            self._budget.count_lane()

    def forget(self, stream_id):
        """The stream is over."""
        self._readers.pop(stream_id, None)

    def close(self):
        """Let go of everything."""
        self._readers = {}

    def _open_reader(self, stream_id, data):
        """What reads a stream that begins with ``data``, and the rest of it; the ``data`` where its type is cut."""
        kind = read_varint(data, 0)
        if kind < 0:
            self._readers[stream_id] = data
            return data, b""
        reader = self._choose_reader(stream_id, kind)
        self._readers[stream_id] = reader
        return reader, data[measure_varint(data[0]) :]

    def _choose_reader(self, stream_id, kind):
        name = _CRITICAL.get(kind)
        if name is None:
            if kind == PUSH_STREAM:
                raise ConnectionFault(H3_STREAM_CREATION_ERROR, "a client's push stream")
            # Of a type that means nothing here, as many of which as grease may come (section 6.2.3).
            self._budget.count_lane()
            self._engine.stop(stream_id, H3_STREAM_CREATION_ERROR)
            return None
        if name in self._critical.values():
            raise ConnectionFault(H3_STREAM_CREATION_ERROR, f"a second {name}")
        self._critical[stream_id] = name
        if kind == QPACK_ENCODER_STREAM:
            return EncoderStreamReader()
        if kind == QPACK_DECODER_STREAM:
            return DecoderStreamReader()
        reader = FrameReader.__new__(FrameReader)
        reader.begin(CONTROL_FRAME_BYTES, CONTROL)
        return reader

    def _read_control(self, reader, data):
        skipped = reader.skipped_bytes
        reader.feed(data)
        try:
            while (kind := reader.read()) >= 0:
                self._take_frame(kind, reader.payload)
        except FrameTooLarge:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "frame too large on the control stream") from None
        self._budget.count_skipped(reader.skipped_bytes - skipped)

    def _take_frame(self, kind, payload):
        """One frame of the client's control stream (RFC 9114 section 7.2)."""
        if kind == SETTINGS:
            self._settings = read_settings(payload)
        elif kind == GOAWAY:
            # It names a push, of which there are none: nothing follows from it but that it may not grow.
            identifier = read_goaway(payload)
            if 0 <= self._go_away < identifier:
                raise ConnectionFault(H3_ID_ERROR, "GOAWAY grows")
            self._go_away = identifier
            self._budget.count_skipped(len(payload))
        elif kind == CANCEL_PUSH:
            read_push_id(payload)
            raise ConnectionFault(H3_ID_ERROR, "CANCEL_PUSH of what was never promised")
        else:
            limit = read_push_id(payload)
            if limit < self._push_limit:
                raise ConnectionFault(H3_ID_ERROR, "MAX_PUSH_ID goes back")
            self._push_limit = limit
            self._budget.count_skipped(len(payload))
