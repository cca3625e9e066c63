"""The writing half of an HTTP/2 connection: what its streams say, in which order, and when it leaves.

``Outlet`` shares the peer's windows among the streams (RFC 9113 section 5.2): each says what it can, and those that
cannot wait for their turns.  All of one turn of the loop leaves in one ``RawData``.  It reads nothing and ends no
stream by itself; ``H2Connection`` derives from it and gives what stands last in the class.
"""

from ..bounds import CORK_BYTES
from ..contract import Protocol
from ..kernels import raw_data
from ..ownfields import OwnFields, compose_refusal
from .bounds import CREDIT_BYTES
from .errors import NO_ERROR

_NEVER = float("inf")


class Outlet(Protocol):
    """What the streams of one connection say.

    ``engine`` is the derived class's to set.  ``waiting`` are the streams that have something to say and no window, in
    the order of their turns; ``sent_at`` is when the last DATA was written, for whichever stream.  ``alt_svc`` is a
    line for responses that say nothing themselves of where else the server is (RFC 7838), or empty.
    """

    def __init__(self, connection, host, budget):
        self.connection = connection
        self.host = host
        self.budget = budget
        self.engine = None
        self.alt_svc = b""
        self._own = OwnFields(host)
        # Applications that have not ended, whatever became of their streams.
        self.running = 0
        self.waiting = []
        self.pending_bytes = 0
        self.sent_at = host.clock.now
        self.credit_bytes = max(1, min(CREDIT_BYTES, host.limits.h2.stream_window // 4))
        self.writing_paused = False
        # Nothing may be written any more.
        self.is_silent = False
        self.corks = 0
        self._flush_is_due = False
        self._unflushed = 0

    # What the streams call.

    def write_head(self, stream, head, fields, ends):
        fields = self._own.add(head, fields, self.alt_svc)
        self.engine.respond(stream.number, head.status, fields, ends)
        self.budget.count_sent(0)
        if ends:
            self.end_response(stream)
        self.speak()

    def write_interim(self, stream, status, fields):
        self.engine.respond(stream.number, status, fields, False)
        self.speak()

    def push(self, stream):
        """The stream has something new to say: say it, or let it wait for its turn."""
        if stream.stalled_since == _NEVER and not self._send_all(stream):
            stream.stalled_since = self.host.clock.now
            self.waiting.append(stream)
        self.speak()

    def give_back(self, stream):
        """Give the peer the window of what the application has taken (H2-9)."""
        credit = stream.credit
        if credit <= 0:
            return
        stream.credit = 0
        self.engine.acknowledge(stream.number, credit)
        self.speak()

    def cork(self):
        self.corks += 1

    def uncork(self):
        self.corks -= 1
        self.speak()

    # What the connection calls.

    def answer(self, stream_id, error, bodyless):
        """Write a whole response that says what the client has done: whether it fits; ``bodyless`` is one to HEAD."""
        head, body = compose_refusal(error)
        self.engine.respond(stream_id, error.status, self._own.add(head, head.fields, self.alt_svc), bodyless)
        if bodyless:
            return True
        if self.engine.get_window(stream_id) < len(body):
            self.engine.reset(stream_id, NO_ERROR)
            return False
        self.engine.send_data(stream_id, body, True)
        return True

    def pump(self):
        """Let the streams that wait say a frame each in turn, until none can."""
        waiting = self.waiting
        self.waiting = []
        blocked = []
        while waiting and not self.writing_paused:
            again = []
            for stream in waiting:
                if not stream.is_open:
                    continue
                if self.writing_paused or not self._send_part(stream):
                    blocked.append(stream)
                    continue
                stream.stalled_since = self.host.clock.now
                if stream.is_open and (stream.pending_bytes or stream.ends):
                    again.append(stream)
                else:
                    stream.stalled_since = _NEVER
                if stream.is_open and stream.is_writable():
                    exchange = stream.exchange
                    exchange.on_writable()
            waiting = again
        self.waiting = [*blocked, *waiting, *self.waiting]
        self.speak()

    def pump_one(self, stream):
        """The peer takes more of ``stream`` alone.

        The others have gained nothing by it, and a look at each of them would cost more than the frame did.
        """
        others = self.waiting
        others.remove(stream)
        self.waiting = [stream]
        self.pump()
        self.waiting = others + self.waiting

    def speak(self):
        """Something stands in the output: it leaves when the reading has ended, or at the loop's next turn."""
        if self.corks == 0 and not self._flush_is_due:
            self._flush_is_due = True
            self.host.call_soon(self._take_turn)

    def flush(self):
        self._unflushed = 0
        if not self.is_silent:
            data = self.engine.take_output()
            if data:
                self.connection.send(raw_data(data))

    # Private.

    def _send_all(self, stream):
        """Write what waits on ``stream``: whether that was possible."""
        while stream.is_open and (stream.pending_bytes or stream.ends):
            if self.writing_paused or not self._send_part(stream):
                return False
        return True

    def _send_part(self, stream):
        """Write one frame of what waits on ``stream``: whether anything could go."""
        engine = self.engine
        number = stream.number
        size = stream.pending_bytes
        if size:
            window = engine.get_window(number)
            if window <= 0:
                return False
            part = stream.take_part(min(window, engine.get_frame_limit()))
            size = stream.pending_bytes
            ends = stream.ends and size == 0 and stream.trailers is None
            engine.send_data(number, part, ends)
            self.sent_at = self.host.clock.now
            self.budget.count_sent(len(part))
            self._unflushed += len(part)
            if self._unflushed >= CORK_BYTES:
                self.flush()
        elif stream.trailers is not None:
            engine.trail(number, stream.trailers)
            ends = True
        else:
            engine.send_data(number, b"", True)
            ends = True
        if ends:
            self.end_response(stream)
        return True

    def _take_turn(self):
        self._flush_is_due = False
        self.finish_turn()

    # What the connection gives.

    def end_response(self, stream):
        """The last of a response is written."""
        raise NotImplementedError

    def abort_stream(self, stream):
        """The application has failed: the client must not take the response for whole."""
        raise NotImplementedError

    def finish_turn(self):
        """All that this turn had to say is said."""
        raise NotImplementedError
