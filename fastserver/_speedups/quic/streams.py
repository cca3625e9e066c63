"""One stream: its receiving and its sending half (RFC 9000 sections 2 and 3).

The table around it reads the frames and does the connection's part of flow control.  Invariants: what came out of order
is held as pieces with gaps between them, never as zeros; a byte that was given to send is in one place: not yet in a
packet, in one packet in flight, lost, or acknowledged.
"""

from .bounds import STREAM_GAPS
from .errors import INTERNAL_ERROR, TransportFault
from .packets import Ranges
from .state import DISCARDING, ENDED, LAST_DATA, OPEN, OVER, RESETTING


class Piece:
    """What one frame of a packet carried: bytes ``start`` to ``stop`` of a stream, or a word about one."""

    def __init__(self, kind, stream, start, stop):
        self.kind = kind
        self.stream = stream
        self.start = start
        self.stop = stop

    def is_data(self):
        """Whether it is bytes of a stream, or its end."""
        return self.kind <= LAST_DATA


class Run:
    """Bytes that came out of order, from ``start`` on."""

    def __init__(self, start, data):
        self.start = start
        self.data = bytearray(data)

    def end(self):
        """Behind the last byte."""
        return self.start + len(self.data)


class Stream:
    """Both halves of a stream; ``window`` is what we let the peer send, ``allowed`` what it lets us."""

    def __init__(self, number, receives, sends, window, allowed):
        self.number = number
        self.receiving = OPEN if receives else OVER
        self.received = 0
        self.highest = 0
        self.final = -1
        self.consumed = 0
        self.window = window
        self.limit = window
        self.stop_code = 0
        self.wants_stop = False
        self.wants_window = False
        self.is_noted = False
        self._runs = None
        self.sending = OPEN if sends else OVER
        self.allowed = allowed
        self.queued = 0
        self.sent = 0
        self.wants_end = False
        self.end_is_acked = False
        self.wants_reset = False
        self.reset_code = 0
        self.is_ready = False
        self._parts = []
        self._starts = []
        self._acked = 0
        self._acked_above = None
        self._lost = None

    # Receiving.

    def keep(self, offset, data):
        """Hold what came out of order; ``TransportFault`` where there are more gaps than ``STREAM_GAPS``."""
        runs = self._runs
        if runs is None:
            runs = self._runs = []
        index = len(runs)
        while index > 0:
            run = runs[index - 1]
            if run.start <= offset:
                break
            index -= 1
        if index > 0 and run.end() >= offset:
            index -= 1
            _extend(run, offset, data)
        else:
            if len(runs) >= STREAM_GAPS:
                raise TransportFault(INTERNAL_ERROR, "too many gaps in a stream")
            run = Run(offset, data)
            runs.insert(index, run)
        while index + 1 < len(runs):
            following = runs[index + 1]
            if following.start > run.end():
                break
            del runs[index + 1]
            _extend(run, following.start, following.data)

    def take_run(self):
        """What has become contiguous with ``received``, which moves behind it."""
        runs = self._runs
        if not runs:
            return b""
        run = runs[0]
        if run.start > self.received:
            return b""
        del runs[0]
        stop = run.end()
        if stop <= self.received:
            return self.take_run()
        data = bytes(run.data[self.received - run.start :])
        self.received = stop
        return data

    def end_receiving(self):
        """The receiving half is over: what is held is thrown away."""
        self.receiving = OVER
        self._runs = None
        self.wants_stop = self.wants_window = False

    def discard(self, code):
        """Throw away what is held and what will come, and ask the peer to stop: STOP_SENDING with ``code``."""
        self.end_receiving()
        self.receiving = DISCARDING
        self.stop_code = code
        self.wants_stop = True

    # Sending.

    def queue(self, data, ends):
        """Take what the application says; nothing is copied."""
        if data:
            self._parts.append(data)
            self._starts.append(self.queued)
            self.queued += len(data)
        if ends:
            self.sending = ENDED
            self.wants_end = True

    def give_up(self, code):
        """Reset the sending half: nothing of it is sent any more.  Gives how many bytes were unsent."""
        unsent = self.queued - self.sent
        self.sending = RESETTING
        self.reset_code = code
        self.wants_reset = True
        self.wants_end = False
        self.queued = self.sent
        self._parts = []
        self._starts = []
        self._lost = None
        self._acked_above = None
        return unsent

    def end_sending(self):
        """The sending half is over: what it said last is acknowledged."""
        self.sending = OVER

    def has_lost(self):
        """Whether something is to be sent again."""
        return self._lost is not None and self._lost.count() > 0

    def has_new(self):
        """Whether there are bytes that were in no packet and that the peer's window lets go."""
        return self.sent < self.queued and self.sent < self.allowed

    def may_send(self):
        """Whether a STREAM frame could be written, but for the connection's window."""
        if self.sending == RESETTING or self.sending == OVER:
            return False
        return self.has_lost() or self.has_new() or (self.wants_end and self.sent == self.queued)

    def take_lost(self, size):
        """The first ``size`` bytes at the most of what is to be sent again: where they begin and end."""
        start, stop = self._lost.shift()
        if stop - start > size:
            self._lost.put_back(start + size, stop)
            stop = start + size
        return start, stop

    def copy_to(self, out, start, stop):
        """Append bytes ``start`` to ``stop`` of what is not acknowledged."""
        starts = self._starts
        index = len(starts) - 1
        while starts[index] > start:
            index -= 1
        while start < stop:
            part = self._parts[index]
            base = starts[index]
            size = min(stop - base, len(part))
            if start == base and size == len(part):
                out += part
            else:
                out += part[start - base : size]
            start = base + size
            index += 1

    def note_acked(self, start, stop):
        """These bytes have arrived: what is contiguous from the first on is let go."""
        if self.sending == RESETTING:
            return
        above = self._acked_above
        if start != self._acked:
            if above is None:
                above = self._acked_above = Ranges()
            if stop > start:
                above.add(start, stop)
            return
        self._acked = stop
        while above is not None and above.count():
            low, high = above.shift()
            if low > self._acked:
                above.put_back(low, high)
                break
            self._acked = high
        self._let_go()

    def _let_go(self):
        """Drop the parts that have arrived whole."""
        done = 0
        while done < len(self._parts) and self._starts[done] + len(self._parts[done]) <= self._acked:
            done += 1
        if done:
            del self._parts[:done]
            del self._starts[:done]

    def note_lost(self, start, stop):
        """These bytes are to be sent again."""
        if self._lost is None:
            self._lost = Ranges()
        self._lost.add(start, stop)

    def has_arrived(self):
        """Whether all has been acknowledged, the end too."""
        return self.end_is_acked and self._acked == self.queued


def _extend(run, offset, data):
    """Append to ``run`` what of ``data`` at ``offset`` lies behind its end."""
    skipped = run.end() - offset
    if skipped < len(data):
        run.data += data[skipped:]
