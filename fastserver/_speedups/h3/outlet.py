"""The writing half of an HTTP/3 connection: responses as frames, given to the engine, which shares out the path.

It reads nothing and ends no stream by itself; ``H3Connection`` derives from it and gives what stands last in the class.
"""

from ..contract import Protocol
from ..kernels import raw_datagram
from ..ownfields import OwnFields, compose_refusal
from ..qpack.encoder import encode_fields, encode_response
from .bounds import CONNECTION_UNSENT_BYTES, JOINED_BYTES
from .codes import DATA, HEADERS
from .errors import H3_NO_ERROR
from .varint import render_frame_head


class Outlet(Protocol):
    """What the streams of one connection say.

    ``engine`` is the derived class's to set.  ``unsent_bytes`` is what all streams had said at the last ``flush``
    that was in no packet, and what they have said since: a reset does not lower it before the next one.  ``full`` are
    the streams whose applications wait for room.
    """

    def __init__(self, connection, host, budget):
        self.connection = connection
        self.host = host
        self.budget = budget
        self.engine = None
        self._own = OwnFields(host)
        # Applications that have not ended, whatever became of their streams.
        self.running = 0
        # Body bytes that applications have not taken, of all streams.
        self.unread = 0
        self.full = []
        self.unsent_bytes = 0
        # Nothing may be said any more.
        self.is_silent = False
        self._turn_is_due = False

    # What the streams call.

    def write_head(self, stream, head, fields, body, ends):
        """The head of a response, and the first part of its body."""
        block = encode_response(head.status, self._own.add(head, fields))
        said = render_frame_head(HEADERS, len(block)) + block
        size = len(body)
        if size:
            said += render_frame_head(DATA, size)
            if size < JOINED_BYTES:
                said += body
                size = 0
        self._say(stream, said, ends and size == 0)
        if size:
            self._say(stream, body, ends)
        if ends:
            self.end_response(stream)

    def write_interim(self, stream, status, fields):
        block = encode_response(status, fields)
        self._say(stream, render_frame_head(HEADERS, len(block)) + block, False)

    def write_body(self, stream, body, ends):
        """A further part of a body; an empty one only where the response ends."""
        size = len(body)
        if 0 < size < JOINED_BYTES:
            self._say(stream, render_frame_head(DATA, size) + body, ends)
        elif size:
            self._say(stream, render_frame_head(DATA, size), False)
            self._say(stream, body, ends)
        else:
            self._say(stream, b"", True)
        if ends:
            self.end_response(stream)

    def write_trailers(self, stream, fields):
        """The end of a response, behind trailers if there are any (RFC 9114 section 4.1)."""
        if fields:
            block = encode_fields([(name.lower(), value) for name, value in fields])
            self._say(stream, render_frame_head(HEADERS, len(block)) + block, True)
        else:
            self._say(stream, b"", True)
        self.end_response(stream)

    def give_back(self, stream, count):
        """Give the peer the window of what the application has taken."""
        if count > 0 and not self.is_silent:
            self.engine.consume(stream.number, count)
            self.speak()

    def get_unsent(self, stream):
        """How many bytes of what ``stream`` has said are in no packet yet."""
        return self.engine.get_unsent(stream.number)

    def note_full(self, stream):
        """The application of ``stream`` is about to wait for room."""
        if not stream.is_full:
            stream.is_full = True
            self.full.append(stream)

    # What the connection calls.

    def answer(self, stream, error, bodyless):
        """Write a whole response that says what the client has done; ``bodyless`` is one to HEAD."""
        head, body = compose_refusal(error)
        stream.started = True
        self.write_head(stream, head, head.fields, b"" if bodyless else body, True)

    def close_both_ways(self, stream, code):
        """Neither side has anything more to say on ``stream``."""
        self.engine.reset(stream.number, code)
        self.stop_reading(stream, code)

    def stop_reading(self, stream, code=H3_NO_ERROR):
        """Ask the client to send no more on ``stream`` (RFC 9114 section 4.1)."""
        if stream.receiving:
            self.engine.stop(stream.number, code)
        self.speak()

    def speak(self):
        """Something is to be sent: it leaves at the end of the loop's turn."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self.connection.set_timer(0.0)

    def flush(self, now):
        """Send what the path takes now, and tell the applications that have room again."""
        engine = self.engine
        connection = self.connection
        for data, address in engine.take_datagrams(now):
            connection.send(raw_datagram(data, address))
        self.unsent_bytes = engine.unsent
        if self.full and self.unsent_bytes < CONNECTION_UNSENT_BYTES:
            self._tell_writable()

    # Private.

    def _say(self, stream, data, ends):
        if self.is_silent:
            return
        size = len(data)
        self.engine.send(stream.number, data, ends)
        stream.said += size
        self.unsent_bytes += size
        self.budget.count_payload(size)
        self.speak()

    def _tell_writable(self):
        full = self.full
        self.full = []
        for stream in full:
            stream.is_full = False
            exchange = stream.exchange
            if exchange is not None and stream.is_writable():
                exchange.on_writable()

    # What the connection gives.

    def end_response(self, stream):
        """The last of a response is said."""
        raise NotImplementedError

    def abort_stream(self, stream):
        """The application has failed: the client must not take the response for whole."""
        raise NotImplementedError
