"""The reading half of an HTTP/3 connection: request streams, from their first byte to an exchange and its body.

``Intake`` acts upon each frame before it reads the next, and knows nothing of datagrams, time or the connection's end;
``H3Connection`` derives from it and gives what stands last in the class.  Which frames may follow which is the frame
reader's to know.

Invariants: an application is started by a whole and valid head only; of what a stream has brought, all but body bytes
goes back to the peer's windows at once.
"""

from ..bodyclock import BodyClock
from ..bounds import DISCARD_BYTES
from ..contract import WireError
from ..events import ACTIVE
from ..fieldlist import check_trailers, read_field_list
from ..qpack.decoder import decode_fields
from ..qpack.errors import FieldSectionTooLarge
from .bounds import EMPTY_FRAMES
from .budget import Budget
from .codes import DATA, LARGEST_STREAM, NOTHING
from .errors import (
    H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR,
    H3_FRAME_UNEXPECTED,
    H3_REQUEST_INCOMPLETE,
    H3_REQUEST_REJECTED,
    ConnectionFault,
    FrameTooLarge,
)
from .outlet import Outlet
from .stream import H3Stream

#: A deadline that has always passed: look at every tick.
_EVERY_TICK = 0.0


class Intake(Outlet):
    """The request streams of one connection."""

    def __init__(self, connection, host):
        Outlet.__init__(self, connection, host, Budget(host.limits))
        self.streams = {}
        # Streams that are over here and not yet in the engine, and those of which nothing was ever read.
        self.tails = {}
        self.passed = set()
        # Bytes of what is read just now that wait for an application.
        self._charged = 0
        # Requests that came behind the last that is served.
        self._late = 0
        self.is_idle = True
        self.is_draining = host.draining
        # The streams of the client from here on are refused, once a drain has been announced for good.
        self.refused_from = LARGEST_STREAM
        self.next_stream = 0
        self.deadline = _EVERY_TICK

    def read_stream(self, stream_id, data, ends):
        """Bytes of a request stream; ``ends`` says that they are the last.  Raises ``ConnectionFault``."""
        stream = self.streams.get(stream_id)
        if stream is None:
            # One packet may bring more of a stream whose first part has ended it.
            if stream_id not in self.tails and stream_id not in self.passed:
                stream = self._open_stream(stream_id)
            if stream is None:
                self.engine.consume(stream_id, len(data))
                return
        if not stream.is_open:
            self._discard(stream, len(data), ends)
            return
        self._charged = 0
        self._read_frames(stream, data, ends)
        if len(data) > self._charged:
            self.engine.consume(stream_id, len(data) - self._charged)
        if ends:
            self._end_request(stream)
        if stream.is_due:
            self._start(stream)

    def _start(self, stream):
        """Let the application of a new request take its first step, with all of the body that has come with the head.

        An application that has to wait for its body costs a task and a turn of the loop.
        """
        stream.is_due = False
        if stream.is_open:
            exchange = stream.exchange
            exchange.start()
        else:
            # What came with the head has ended the stream: nobody is called.
            stream.release()

    def _read_frames(self, stream, data, ends):
        reader = stream.reader
        block = None
        is_too_large = False
        reader.feed(data)
        while stream.is_open:
            try:
                kind = reader.read()
            except FrameTooLarge:
                is_too_large = True
                kind = NOTHING
            if block is not None:
                # Whether there is a body is known only behind the head.
                self._take_head(stream, block, ends and kind < 0 and reader.is_between)
                block = None
                if not stream.is_open:
                    break
            if kind < 0:
                break
            if kind == DATA:
                self._take_data(stream, reader.payload)
            elif stream.request is None:
                block = reader.payload
            else:
                self._take_trailers(stream, reader.payload)
        if is_too_large and stream.request is None:
            self.refuse_head(stream, WireError(431, "request head too large"), [])
        elif is_too_large and stream.is_open:
            self.fail_malformed(stream, "trailers too large")
        if reader.empty_frames > EMPTY_FRAMES:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many empty frames")
        if reader.skipped_bytes > stream.skipped:
            self.budget.count_skipped(reader.skipped_bytes - stream.skipped)
            stream.skipped = reader.skipped_bytes

    def _open_stream(self, stream_id):
        """The client has begun a stream: ``None`` where it is refused (RFC 9114 sections 4.1.1 and 5.2)."""
        host = self.host
        limit = host.limits.h3.streams
        if stream_id >= self.refused_from or self.running >= limit or len(self.streams) >= limit:
            self.pass_over(stream_id, H3_REQUEST_REJECTED)
            if stream_id >= self.refused_from:
                self._late += 1
            if stream_id < self.refused_from or self._late > limit:
                # The client has been told how many; its resets do not end the applications that it has started.
                self.budget.count_reset(host.clock.now)
            return None
        self.next_stream = max(self.next_stream, stream_id + 4)
        stream = H3Stream.__new__(H3Stream)
        stream.begin(self, stream_id, host.limits.h3.field_section)
        stream.deadline = host.clock.now + host.limits.timeout_request_header
        self.streams[stream_id] = stream
        if self.is_idle:
            self.is_idle = False
            self.connection.send(ACTIVE)
        self.deadline = _EVERY_TICK
        return stream

    def pass_over(self, stream_id, code):
        """A stream is over before anything was read of it."""
        self.next_stream = max(self.next_stream, stream_id + 4)
        self.passed.add(stream_id)
        self.engine.reset(stream_id, code)
        self.engine.stop(stream_id, code)

    def _take_head(self, stream, block, ends):
        """The head of a request has come."""
        limits = self.host.limits
        fields = []
        try:
            fields = decode_fields(block, limits.h3.field_section)
            request = read_field_list(fields, limits, "3", "https")
            if ends and request.content_length > 0:
                raise WireError(400, "no body where content-length announces one")
        except FieldSectionTooLarge:
            self.refuse_head(stream, WireError(431, "request head too large"), fields)
            return
        except WireError as error:
            self.refuse_head(stream, error, fields)
            return
        # What HTTP/1 says by Transfer-Encoding: there is a body, of unknown length.
        request.chunked = not ends and request.content_length < 0 and not request.protocol
        # A session hears of the client's end behind its beginning.
        stream.take_request(request, True if request.protocol else not ends)
        self._begin(stream)

    def _begin(self, stream):
        """Open the exchange of a request; its application is called once all that has come with the head is read."""
        host = self.host
        request = stream.request
        connection = self.connection
        connection.requests += 1
        self.running += 1
        exchange = host.application.open(stream, request)
        stream.exchange = exchange
        if stream.receiving and not (request.expect_continue or request.protocol):
            stream.body_clock = BodyClock(host.clock.now, host.limits)
        limit = host.limits.keep_alive_max_requests
        if limit > 0 and connection.requests >= limit + host.limits.h3.streams:
            self.enter_draining()
        if self.is_draining:
            exchange.on_drain()
        if request.protocol:
            exchange.start()
        else:
            stream.is_due = True

    def _take_data(self, stream, data):
        """Body bytes, or a session's."""
        host = self.host
        request = stream.request
        size = len(data)
        self._charged += size
        stream.received += size
        stream.unread += size
        self.unread += size
        if stream.remaining >= 0:
            stream.remaining -= size
            if stream.remaining < 0:
                self.fail_malformed(stream, "request body is not as long as announced")
                return
        limit = host.limits.request_body
        if 0 < limit < stream.received and not request.protocol:
            self.refuse(stream, WireError(413, "request body too large"))
            return
        if stream.body_clock is not None:
            stream.body_clock.read(host.clock.now)
        elif request.expect_continue and not request.protocol:
            stream.body_clock = BodyClock(host.clock.now, host.limits)
        exchange = stream.exchange
        exchange.on_body(data, True)

    def _take_trailers(self, stream, block):
        """A request's trailers are checked and dropped."""
        limits = self.host.limits
        if stream.request.protocol:
            # Of a session's stream DATA is all that there is (RFC 9114 section 4.4).
            raise ConnectionFault(H3_FRAME_UNEXPECTED, "HEADERS on a session's stream")
        try:
            check_trailers(decode_fields(block, limits.h3.field_section), limits)
        except FieldSectionTooLarge:
            self.fail_malformed(stream, "trailers too large")
        except WireError as error:
            self.fail_malformed(stream, error.reason)

    def _end_request(self, stream):
        """The client has said all on a stream."""
        if not stream.receiving:
            return
        stream.receiving = False
        if not stream.is_open:
            self.close_stream(stream)
        elif not stream.reader.is_between:
            raise ConnectionFault(H3_FRAME_ERROR, "a stream ends within a frame")
        elif stream.request is None:
            self.budget.count_reset(self.host.clock.now)
            self.engine.reset(stream.number, H3_REQUEST_INCOMPLETE)
            self.close_stream(stream)
        elif stream.remaining > 0:
            self.fail_malformed(stream, "request body is not as long as announced")
        else:
            stream.body_clock = None
            exchange = stream.exchange
            exchange.on_body(b"", False)

    def _discard(self, stream, size, ends):
        """Throw away a part of a request whose response is whole."""
        self.engine.consume(stream.number, size)
        stream.received += size
        if ends:
            stream.receiving = False
            self.close_stream(stream)
        elif stream.received > DISCARD_BYTES:
            self.stop_reading(stream)
            self.close_stream(stream)

    # What the connection gives.

    def close_stream(self, stream):
        """A stream is over on both sides, as far as HTTP is concerned."""
        raise NotImplementedError

    def fail_malformed(self, stream, reason):
        """The request turned out malformed (RFC 9114 section 4.1.2)."""
        raise NotImplementedError

    def refuse_head(self, stream, error, fields):
        """A head that no application sees; ``fields`` are what could be read of it."""
        raise NotImplementedError

    def refuse(self, stream, error):
        """A fault in a request's body."""
        raise NotImplementedError

    def enter_draining(self):
        """The connection has had more than its share of requests."""
        raise NotImplementedError
