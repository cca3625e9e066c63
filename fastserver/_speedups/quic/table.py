"""The streams of one connection as the application uses them, and the frames that they send (RFC 9000 section 19).

Invariant: a packet costs what is in it, however many streams are open.  Only streams that have something to say are
ever visited: ``_noted`` with a word about themselves, ``ready`` with data, in turn, ``_starved`` with data that the
connection's window holds back.
"""

from collections import deque

from .bounds import CREDIT_BYTES
from .codes import MAX_DATA, MAX_STREAM_DATA, RESET_STREAM, STOP_SENDING, STREAM
from .packets import size_varint
from .receiving import Receiving
from .state import (
    BIDI_STREAMS,
    CONNECTION_WINDOW,
    DATA,
    DISCARDING,
    ENDED,
    LAST_DATA,
    OPEN,
    OVER,
    RESET,
    RESETTING,
    STOP,
    TELL_CLOSED,
    TELL_DATA,
    TELL_RESET,
    TELL_STOP,
    WINDOW,
)
from .streams import Piece, Stream

#: The largest word: a type and three integers.
WORD_BYTES = 25
#: A frame that does not end a stream's data is not begun for fewer bytes.
LEAST_DATA = 24


class Table(Receiving):
    """All streams of a connection.  ``unsent`` counts the bytes of all that have not been in a packet."""

    def __init__(self, listener, limits):
        super().__init__(limits)
        self.unsent = 0
        self.is_closed = False
        self.ready = deque()
        self._listener = listener
        self._is_telling = False
        self._noted = deque()
        self._starved = []
        self._allowed = 0
        self._sent = 0
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

    # What the peer allows.

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

    def on_stop_sending(self, reader):
        """A STOP_SENDING frame: the sending half is reset with its code (RFC 9000 section 3.5)."""
        number = reader.read()
        code = reader.read()
        stream = self._find(number, STOP_SENDING, False)
        if stream is None or stream.sending == RESETTING or stream.sending == OVER:
            return
        self._give_up(stream, code)
        self._told.append((TELL_STOP, number))

    # What the application does.

    def open_uni(self):
        """Our next unidirectional stream; its data wait where the peer allows no more streams."""
        number = self._next_uni
        self._next_uni = number + 4
        allowed = self._allowed_uni if number >> 2 < self._allowed_uni_streams else 0
        self.streams[number] = Stream(number, False, True, 0, allowed)
        return number

    def send(self, number, data, ends):
        """Queue data on a stream; nothing happens where its sending half has ended."""
        stream = self.streams.get(number)
        if stream is None or stream.sending != OPEN:
            return
        stream.queue(data, ends)
        self.unsent += len(data)
        self._make_ready(stream)

    def reset(self, number, code):
        """Give up the sending half of a stream."""
        stream = self.streams.get(number)
        if stream is not None and (stream.sending == OPEN or stream.sending == ENDED):
            self._give_up(stream, code)

    def stop(self, number, code):
        """Receive no more of a stream: what comes is thrown away, and gives its credit back."""
        stream = self.streams.get(number)
        if stream is None or stream.receiving != OPEN:
            return
        self._credit(stream, stream.highest - stream.consumed)
        if stream.final >= 0:
            stream.end_receiving()
            self._check_over(stream)
            return
        stream.discard(code)
        self._note(stream)

    def consume(self, number, size):
        """So many received bytes have been consumed: the windows move (RFC 9000 section 4.2)."""
        stream = self.streams.get(number)
        if stream is None:
            return
        size = min(size, stream.highest - stream.consumed)
        if size <= 0:
            return
        self._credit(stream, size)
        if stream.receiving == OPEN and stream.final < 0:
            more = stream.consumed + stream.window - stream.limit
            if more >= CREDIT_BYTES or more * 4 >= stream.window:
                stream.wants_window = True
                self._note(stream)

    def get_unsent(self, number):
        """How many bytes of a stream have not been in a packet."""
        stream = self.streams.get(number)
        return 0 if stream is None else stream.queued - stream.sent

    def _give_up(self, stream, code):
        self.unsent -= stream.give_up(code)
        self._note(stream)

    def _make_ready(self, stream):
        if not stream.is_ready and stream.may_send():
            stream.is_ready = True
            self.ready.append(stream)

    def _note(self, stream):
        if not stream.is_noted:
            stream.is_noted = True
            self._noted.append(stream)

    # Telling the listener.

    def tell(self):
        """Call the listener with all that has happened; what it does may make more happen."""
        if self._is_telling or not self._told:
            return
        self._is_telling = True
        try:
            while self._told:
                told = self._told
                self._told = []
                for entry in told:
                    if self.is_closed:
                        return
                    self._tell_one(entry)
        finally:
            self._is_telling = False

    def _tell_one(self, entry):
        listener = self._listener
        kind = entry[0]
        if kind == TELL_DATA:
            listener.on_stream_data(entry[1], entry[2], entry[3])
        elif kind == TELL_CLOSED:
            listener.on_stream_closed(entry[1])
        elif kind == TELL_RESET:
            listener.on_stream_reset(entry[1])
        else:
            listener.on_stop_sending(entry[1])

    # Writing frames.

    def has_words(self):
        """Whether anything but data is to be said."""
        return self._wants_window or self.bidi.is_wanted or self.uni.is_wanted or len(self._noted) > 0

    def has_data(self):
        """Whether a stream has data that may go."""
        return len(self.ready) > 0

    def write(self, draft):
        """Fill a packet."""
        if self._wants_window and draft.get_room() >= WORD_BYTES:
            self._wants_window = False
            self._limit = max(self._limit, self._consumed + self._window)
            draft.out.append(MAX_DATA)
            draft.push(self._limit)
            draft.keep(Piece(CONNECTION_WINDOW, None, 0, 0))
        if self.bidi.is_wanted:
            self._write_grant(draft, self.bidi)
        if self.uni.is_wanted:
            self._write_grant(draft, self.uni)
        noted = self._noted
        while noted and draft.get_room() >= 3 * WORD_BYTES:
            stream = noted.popleft()
            stream.is_noted = False
            self._write_words(stream, draft)
        ready = self.ready
        while ready:
            stream = ready[0]
            if not self._write_data(stream, draft):
                return
            ready.popleft()
            if stream.may_send():
                if self._sent >= self._allowed and not stream.has_lost() and stream.has_new():
                    self._starved.append(stream)
                else:
                    ready.append(stream)
            else:
                stream.is_ready = False

    def _write_grant(self, draft, grant):
        if draft.get_room() < WORD_BYTES:
            return
        grant.is_wanted = False
        grant.limit = max(grant.limit, grant.width + grant.closed)
        draft.out.append(grant.frame_type)
        draft.push(grant.limit)
        draft.keep(Piece(grant.kind, None, 0, 0))

    def _write_words(self, stream, draft):
        """RESET_STREAM, STOP_SENDING and MAX_STREAM_DATA of one stream."""
        out = draft.out
        if stream.wants_reset:
            stream.wants_reset = False
            out.append(RESET_STREAM)
            draft.push(stream.number)
            draft.push(stream.reset_code)
            draft.push(stream.sent)
            draft.keep(Piece(RESET, stream, 0, 0))
        if stream.wants_stop:
            stream.wants_stop = False
            out.append(STOP_SENDING)
            draft.push(stream.number)
            draft.push(stream.stop_code)
            draft.keep(Piece(STOP, stream, 0, 0))
        if stream.wants_window:
            stream.wants_window = False
            stream.limit = max(stream.limit, stream.consumed + stream.window)
            out.append(MAX_STREAM_DATA)
            draft.push(stream.number)
            draft.push(stream.limit)
            draft.keep(Piece(WINDOW, stream, 0, 0))

    def _write_data(self, stream, draft):
        """One STREAM frame of a stream that is ready, if it has any; ``False`` where the packet has no room for it."""
        if not stream.may_send():
            return True
        room = draft.get_room() - 3 - size_varint(stream.number) - size_varint(stream.sent)
        if stream.has_lost():
            if room < LEAST_DATA:
                return False
            start, stop = stream.take_lost(room)
        else:
            start = stream.sent
            most = min(stream.queued, stream.allowed, start + self._allowed - self._sent)
            stop = min(most, start + room)
            if room < 0 or (stop < most and room < LEAST_DATA):
                return False
            if stop <= start and not (stream.wants_end and start == stream.queued):
                return True
            self._sent += stop - start
            self.unsent -= stop - start
            stream.sent = stop
        ends = stream.sending == ENDED and stop == stream.queued
        if ends:
            stream.wants_end = False
        out = draft.out
        out.append(STREAM | 2 | (4 if start else 0) | (1 if ends else 0))
        draft.push(stream.number)
        if start:
            draft.push(start)
        size = stop - start
        out.append(0x40 | size >> 8)
        out.append(size & 0xFF)
        if size:
            stream.copy_to(out, start, stop)
        draft.keep(Piece(LAST_DATA if ends else DATA, stream, start, stop))
        return True

    # What became of packets.

    def on_acked(self, packet):
        """A packet has arrived: its pieces need not be kept."""
        for piece in packet.pieces:
            kind = piece.kind
            if piece.is_data():
                self._note_acked(piece)
            elif kind == RESET:
                stream = piece.stream
                stream.end_sending()
                self._check_over(stream)

    def _note_acked(self, piece):
        stream = piece.stream
        stream.note_acked(piece.start, piece.stop)
        if piece.kind == LAST_DATA:
            stream.end_is_acked = True
        if stream.sending == ENDED and stream.has_arrived():
            stream.end_sending()
            self._check_over(stream)

    def on_lost(self, packet):
        """A packet is lost: what it said is to be said again."""
        for piece in packet.pieces:
            kind = piece.kind
            stream = piece.stream
            if piece.is_data():
                if stream.sending == OPEN or stream.sending == ENDED:
                    self._note_lost(stream, piece)
            elif kind == RESET:
                stream.wants_reset = stream.sending == RESETTING
                self._note(stream)
            elif kind == STOP:
                stream.wants_stop = stream.receiving == DISCARDING
                self._note(stream)
            elif kind == WINDOW:
                stream.wants_window = stream.receiving == OPEN
                self._note(stream)
            elif kind == CONNECTION_WINDOW:
                self._wants_window = True
            elif kind == BIDI_STREAMS:
                self.bidi.is_wanted = True
            else:
                self.uni.is_wanted = True

    def _note_lost(self, stream, piece):
        if piece.stop > piece.start:
            stream.note_lost(piece.start, piece.stop)
        if piece.kind == LAST_DATA:
            stream.wants_end = True
        self._make_ready(stream)
