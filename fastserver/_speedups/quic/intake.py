"""The streams of one connection and the frames that come for them, with the flow control that they obey.

Windows follow consumption: what we let the peer send moves by what is consumed or thrown away (Q-7).  What the listener
is to hear is kept for the table to tell.  Invariant: only streams that have something to say are ever visited:
``_noted`` with a word about themselves, ``ready`` with data, in turn, ``_starved`` with data that the connection's
window holds back.
"""

from collections import deque

from .bounds import CREDIT_BYTES, MOST_UNI_STREAMS
from .codes import (
    MAX_STREAM_DATA,
    MAX_STREAMS_BIDI,
    MAX_STREAMS_UNI,
    RESET_STREAM,
    STOP_SENDING,
    STREAM_DATA_BLOCKED,
)
from .errors import (
    FINAL_SIZE_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_ENCODING_ERROR,
    STREAM_LIMIT_ERROR,
    STREAM_STATE_ERROR,
    TransportFault,
)
from .state import (
    BIDI_STREAMS,
    DISCARDING,
    OPEN,
    OVER,
    RESETTING,
    TELL_CLOSED,
    TELL_DATA,
    TELL_RESET,
    TELL_STOP,
    UNI_STREAMS,
)
from .streams import Stream

LARGEST_OFFSET = (1 << 62) - 1


class Grant:
    """How many streams of one kind the peer may open: ``width`` at once (RFC 9000 section 4.6)."""

    def __init__(self, kind, frame_type, width):
        self.kind = kind
        self.frame_type = frame_type
        self.width = width
        self.limit = width
        self.opened = 0
        self.closed = 0
        self.is_wanted = False

    def close_one(self):
        """A stream has closed: ask for a frame once it is worth one, or once the peer may have to wait for it."""
        self.closed += 1
        more = self.width + self.closed - self.limit
        if more * 4 >= self.width or more >= self.limit - self.opened:
            self.is_wanted = True


class Intake:
    """All streams of a connection.  ``unsent`` counts the bytes of all that have not been in a packet."""

    def __init__(self, listener, limits):
        self.streams = {}
        self.unsent = 0
        self.is_closed = False
        self._listener = listener
        self._told = []
        self._is_telling = False
        self.ready = deque()
        self._noted = deque()
        self._starved = []
        self._stream_window = limits.stream_window
        self._window = limits.connection_window
        self._limit = limits.connection_window
        self._received = 0
        self._consumed = 0
        self._wants_window = False
        self.bidi = Grant(BIDI_STREAMS, MAX_STREAMS_BIDI, limits.streams)
        self.uni = Grant(UNI_STREAMS, MAX_STREAMS_UNI, MOST_UNI_STREAMS)
        self._next_uni = 3
        self._allowed = 0
        self._sent = 0
        self._allowed_bidi = 0
        self._allowed_uni = 0
        self._allowed_uni_streams = 0

    def detach(self):
        """Nobody listens any more."""
        self._listener = None
        self._told = []
        self.streams = {}
        self.ready.clear()
        self._noted.clear()
        self._starved = []

    # What the peer's transport parameters and frames allow.

    def begin(self, data, stream_bidi, stream_uni, uni_streams):
        """The peer's initial limits."""
        self._allowed = data
        self._allowed_bidi = stream_bidi
        self._allowed_uni = stream_uni
        self.allow_uni_streams(uni_streams)

    def allow_uni_streams(self, count):
        """The peer lets us open so many unidirectional streams: those that waited may send."""
        first = self._allowed_uni_streams
        if count <= first:
            return
        self._allowed_uni_streams = count
        for number in range(3 + 4 * first, self._next_uni, 4):
            if number >> 2 >= count:
                break
            stream = self.streams.get(number)
            if stream is not None:
                stream.allowed = self._allowed_uni
                self._make_ready(stream)

    # Reading frames.

    def on_stream(self, reader, frame_type):
        """A STREAM frame behind its type (RFC 9000 section 19.8)."""
        number = reader.read()
        offset = reader.read() if frame_type & 4 else 0
        size = reader.read() if frame_type & 2 else reader.end - reader.at
        at = reader.at
        if size > reader.end - at:
            raise TransportFault(FRAME_ENCODING_ERROR, "frame is truncated", frame_type)
        reader.at = at + size
        if offset > LARGEST_OFFSET - size:
            raise TransportFault(FRAME_ENCODING_ERROR, "stream offset is too large", frame_type)
        stream = self._find(number, frame_type, True)
        if stream is None:
            return
        stop = offset + size
        self._grow(stream, stop, frame_type & 1, frame_type)
        if stream.receiving == OPEN:
            self._deliver(stream, offset, reader.data[at : at + size])
        elif stream.receiving == DISCARDING:
            self._credit(stream, stream.highest - stream.consumed)
            if stream.final >= 0:
                stream.end_receiving()
                self._check_over(stream)

    def _grow(self, stream, stop, ends, frame_type):
        """Hold bytes up to ``stop`` to the final size and to both windows."""
        final = stream.final
        if final >= 0:
            if stop > final or (ends and stop != final):
                raise TransportFault(FINAL_SIZE_ERROR, "final size is exceeded or changed", frame_type)
        elif ends and stop < stream.highest:
            raise TransportFault(FINAL_SIZE_ERROR, "final size is below what was received", frame_type)
        if stop > stream.limit:
            raise TransportFault(FLOW_CONTROL_ERROR, "over the stream's window", frame_type)
        fresh = stop - stream.highest
        if fresh > 0:
            if self._received + fresh > self._limit:
                raise TransportFault(FLOW_CONTROL_ERROR, "over the connection's window", frame_type)
            self._received += fresh
            stream.highest = stop
        if ends:
            stream.final = stop

    def _deliver(self, stream, offset, data):
        """Tell what has become contiguous."""
        before = stream.received
        stop = offset + len(data)
        if stop > before:
            if offset > before:
                stream.keep(offset, data)
                return
            if offset < before:
                data = data[before - offset :]
            stream.received = stop
            following = stream.take_run()
            if following:
                data = data + following
        else:
            data = b""
        ends = stream.received == stream.final
        if data or ends:
            self._told.append((TELL_DATA, stream.number, data, ends))
        if ends:
            stream.end_receiving()
            self._check_over(stream)

    def on_reset(self, reader):
        """A RESET_STREAM frame (RFC 9000 section 19.4)."""
        number = reader.read()
        code = reader.read()
        final = reader.read()
        stream = self._find(number, RESET_STREAM, True)
        if stream is None:
            return
        self._grow(stream, final, True, RESET_STREAM)
        if stream.receiving == OVER:
            return
        stream.end_receiving()
        self._credit(stream, stream.highest - stream.consumed)
        self._told.append((TELL_RESET, number, code))
        self._check_over(stream)

    def on_stop_sending(self, reader):
        """A STOP_SENDING frame: the sending half is reset with its code (RFC 9000 section 3.5)."""
        number = reader.read()
        code = reader.read()
        stream = self._find(number, STOP_SENDING, False)
        if stream is None or stream.sending == RESETTING or stream.sending == OVER:
            return
        self._give_up(stream, code)
        self._told.append((TELL_STOP, number, code))

    def on_max_data(self, reader):
        """A MAX_DATA frame: streams that the connection's window held back are ready again."""
        limit = reader.read()
        if limit > self._allowed:
            self._allowed = limit
            for stream in self._starved:
                self.ready.append(stream)
            self._starved = []

    def on_max_stream_data(self, reader):
        """A MAX_STREAM_DATA frame."""
        number = reader.read()
        limit = reader.read()
        stream = self._find(number, MAX_STREAM_DATA, False)
        if stream is not None and limit > stream.allowed:
            stream.allowed = limit
            self._make_ready(stream)

    def on_stream_data_blocked(self, reader):
        """A STREAM_DATA_BLOCKED frame says nothing that we act upon, but may open the stream."""
        number = reader.read()
        reader.read()
        self._find(number, STREAM_DATA_BLOCKED, True)

    def _find(self, number, frame_type, receives):
        """The stream of a frame, opened if need be; ``None`` where it is over and forgotten."""
        if number & 2 and (number & 1 == 1) == receives:
            raise TransportFault(STREAM_STATE_ERROR, "stream goes one way only", frame_type)
        stream = self.streams.get(number)
        if stream is not None:
            return stream
        if number & 1:
            if number & 2 and number < self._next_uni:
                return None
            raise TransportFault(STREAM_STATE_ERROR, "stream was not opened", frame_type)
        grant = self.uni if number & 2 else self.bidi
        index = number >> 2
        if index < grant.opened:
            return None
        if index >= grant.limit:
            raise TransportFault(STREAM_LIMIT_ERROR, "too many streams", frame_type)
        # A stream opens those below it of its kind (RFC 9000 section 2.1).
        sends = not number & 2
        for opened in range(grant.opened * 4 + (number & 3), number + 4, 4):
            stream = Stream(opened, True, sends, self._stream_window, self._allowed_bidi)
            self.streams[opened] = stream
        grant.opened = index + 1
        return stream

    # What both halves need.

    def _credit(self, stream, size):
        """So many bytes of a stream are no longer held."""
        stream.consumed += size
        self._consumed += size
        more = self._consumed + self._window - self._limit
        if more >= CREDIT_BYTES or more * 4 >= self._window:
            self._wants_window = True

    def _give_up(self, stream, code):
        self.unsent -= stream.give_up(code)
        self._note(stream)

    def _check_over(self, stream):
        """Forget a stream both halves of which have ended."""
        if stream.receiving != OVER or stream.sending != OVER:
            return
        number = stream.number
        if self.streams.pop(number, None) is None:
            return
        self._credit(stream, stream.highest - stream.consumed)
        if not number & 1:
            if number & 2:
                self.uni.close_one()
            else:
                self.bidi.close_one()
        self._told.append((TELL_CLOSED, number))

    def _make_ready(self, stream):
        if not stream.is_ready and stream.may_send():
            stream.is_ready = True
            self.ready.append(stream)

    def _note(self, stream):
        if not stream.is_noted:
            stream.is_noted = True
            self._noted.append(stream)
