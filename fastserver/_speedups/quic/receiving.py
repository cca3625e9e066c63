"""What comes of one connection's streams, and the windows that the peer has to keep to (RFC 9000 section 4).

Windows follow consumption: what we let the peer send moves by what is consumed or thrown away (Q-7).  What the listener
is to hear is kept for the table to tell.
"""

from .bounds import CREDIT_BYTES, MOST_UNI_STREAMS
from .codes import MAX_STREAMS_BIDI, MAX_STREAMS_UNI, RESET_STREAM, STREAM_DATA_BLOCKED
from .errors import (
    FINAL_SIZE_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_ENCODING_ERROR,
    STREAM_LIMIT_ERROR,
    STREAM_STATE_ERROR,
    TransportFault,
)
from .state import BIDI_STREAMS, DISCARDING, OPEN, OVER, TELL_CLOSED, TELL_DATA, TELL_RESET, UNI_STREAMS
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


class Receiving:
    """The streams that there are, and what has come of them: the base of ``Table``."""

    def __init__(self, limits):
        self.streams = {}
        self._told = []
        self._stream_window = limits.stream_window
        self._window = limits.connection_window
        self._limit = limits.connection_window
        self._received = 0
        self._consumed = 0
        self._wants_window = False
        self.bidi = Grant(BIDI_STREAMS, MAX_STREAMS_BIDI, limits.streams)
        self.uni = Grant(UNI_STREAMS, MAX_STREAMS_UNI, MOST_UNI_STREAMS)
        self._next_uni = 3
        self._allowed_bidi = 0

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
        reader.read()  # the code, for which nobody asks
        final = reader.read()
        stream = self._find(number, RESET_STREAM, True)
        if stream is None:
            return
        self._grow(stream, final, True, RESET_STREAM)
        if stream.receiving == OVER:
            return
        stream.end_receiving()
        self._credit(stream, stream.highest - stream.consumed)
        self._told.append((TELL_RESET, number))
        self._check_over(stream)

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

    def _credit(self, stream, size):
        """So many bytes of a stream are no longer held."""
        stream.consumed += size
        self._consumed += size
        more = self._consumed + self._window - self._limit
        if more >= CREDIT_BYTES or more * 4 >= self._window:
            self._wants_window = True

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
