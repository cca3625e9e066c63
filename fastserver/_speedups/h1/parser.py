"""llhttp, fed exactly one message at a time.

httptools cannot pause: given more than a message it parses on into the next.  So this side finds the end of each
message itself and feeds up to it: a head ends at an empty line, a body with a length after that many bytes, a chunked
body where a walk over its chunk sizes and trailer lines ends.  The walk also holds the limits that llhttp lacks.
llhttp stays the authority on grammar and framing: where it does not say that the message is complete exactly there, the
request is refused, so there is no framing on which the two differ.  No callback runs application code (H1-5, H1-40,
H1-43).

Between messages a parser holds nothing of its connection, so parsers are pooled and an idle connection has none.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ..contract import WireError

#: A chunk's size line with its extensions, CR LF included.
CHUNK_LINE_BYTES = 4096
#: Bytes of chunk framing beyond 16 and twice the data of each chunk that a body may carry (Go's rule, H1-15).
FRAMING_EXCESS_BYTES = 16 * 1024
#: The trailer section of a request, which is read and thrown away (H1-36).
TRAILER_BYTES = 16 * 1024
TRAILER_FIELDS = 64
_CHUNK_SIZE_LIMIT = 1 << 59

# Where the walk over a chunked body stands.
_IN_SIZE_LINE = 0
_IN_DATA = 1
_IN_TRAILERS = 2
_AT_END = 3

# Places, the first _pooled of them taken: a list that grows and shrinks around its first item asks for memory and gives
# it back each time, which is 400 instructions a request.
_POOL_SIZE = 64
_pool = [None] * _POOL_SIZE
_pooled = 0


class RequestParser:
    """One llhttp parser and what it said of the current message.

    ``complete`` turns true when the message has ended, ``begun`` when the first byte behind its head has come (it may
    be chunk framing); ``received`` counts its body bytes.
    """

    def __init__(self):
        self.complete = False
        self._is_reusable = False
        self._replace_parser()

    def _replace_parser(self):
        # No on_header: llhttp then only validates the head, and trailers are dropped unseen (H1-36).
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data

    def close(self):
        """Break the cycle with httptools, which holds this object's bound methods."""
        self._parser = None
        self._feed = None

    # Callbacks of httptools: they note, nothing more.

    def on_body(self, data):
        if self._body is None:
            self._body = data
        elif self._parts is None:
            self._parts = [self._body, data]
        else:
            self._parts.append(data)
        self.received += len(data)

    def on_message_complete(self):
        self.complete = True
        # After "Connection: close" llhttp takes no more; it knows so only until this call returns.
        self._is_reusable = self._parser.should_keep_alive()

    # What the connection calls.

    def open(self, request, data, start, head_end):
        """Feed a request's head, ``data[start:head_end]``, and what ``data`` holds of its body.

        Returns the index of the first byte that does not belong to the message.  Raises ``WireError`` where llhttp
        refuses what ``split_head`` let pass.
        """
        self.complete = False
        self.begun = False
        self.received = 0
        self._body = None
        self._parts = None
        self._chunked = request.chunked
        self._remaining = request.content_length if request.content_length > 0 else 0
        announced = self._chunked or self._remaining > 0
        self._is_reusable = False
        if self._chunked:
            self._walk = _IN_SIZE_LINE
            self._begin_size_line()
            self._excess = 0
        if not (request.upgrade and request.connection_upgrade):
            self._feed_piece(data, start, head_end)
        elif not self._feed_upgrade(data[start:head_end]) or announced:
            self._restart()
        if self.complete == announced:
            raise WireError(400, "request framing is ambiguous")
        return self.feed(data, head_end) if announced else head_end

    def _feed_upgrade(self, head):
        """Feed a head that asks for an upgrade: httptools ends the message there, body or no body (H1-37)."""
        try:
            self._feed(head)
        except HttpParserUpgrade:
            return True
        except HttpParserError as error:
            raise WireError(400, str(error)) from None
        return False

    def _restart(self):
        """The upgrade is not taken, so its request is served with its body: a fresh parser, told only the framing."""
        self._replace_parser()
        self.complete = False
        framing = b"transfer-encoding: chunked" if self._chunked else b"content-length: %d" % self._remaining
        self._feed(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")

    def feed(self, data, start):
        """Feed body bytes from ``data[start:]``; returns the index of the first byte after the message."""
        if start < len(data):
            self.begun = True
        if self._chunked:
            stop = self._walk_chunks(data, start)
            at_end = self._walk == _AT_END
        else:
            stop = min(len(data), start + self._remaining)
            self._remaining -= stop - start
            at_end = self._remaining == 0
        if stop > start:
            self._feed_piece(data, start, stop)
        if self.complete != at_end:
            raise WireError(400, "request framing is ambiguous")
        return stop

    # The walk over a chunked body (RFC 9112 section 7.1): sizes and line ends only; what else a line may hold is
    # llhttp's business.

    def _walk_chunks(self, data, start):
        """Walk on from ``data[start]``: the index after the message, or ``len(data)`` where it goes on."""
        index = start
        size = len(data)
        while index < size and self._walk != _AT_END:
            if self._walk == _IN_DATA:
                step = min(self._chunk_rest, size - index)
                index += step
                self._chunk_rest -= step
                if self._chunk_rest == 0:
                    self._walk = _IN_SIZE_LINE
                    self._begin_size_line()
            else:
                line_end = data.find(b"\n", index)
                stop = size if line_end < 0 else line_end + 1
                if self._walk == _IN_SIZE_LINE:
                    self._read_chunk_size(data, index, stop)
                self._line_bytes += stop - index
                index = stop
                self._check_line(line_end >= 0)
        return index

    def _begin_size_line(self):
        self._line_bytes = 0
        self._chunk_size = 0
        self._size_ended = False

    def _read_chunk_size(self, data, start, stop):
        """Take the hexadecimal digits that begin a size line, which may come in several reads."""
        index = start
        while index < stop and not self._size_ended:
            byte = data[index]
            if 48 <= byte <= 57:
                digit = byte - 48
            elif 97 <= (byte | 32) <= 102:
                digit = (byte | 32) - 87
            else:
                self._size_ended = True
                break
            self._chunk_size = self._chunk_size * 16 + digit
            if self._chunk_size >= _CHUNK_SIZE_LIMIT:
                raise WireError(400, "chunk size too large")
            index += 1

    def _check_line(self, is_whole):
        """A size or trailer line has grown, or ended: hold its limits, and go on to what follows it."""
        if self._walk == _IN_SIZE_LINE:
            if self._line_bytes > CHUNK_LINE_BYTES:
                raise WireError(400, "chunk line too long")
            if not is_whole:
                return
            self._excess = max(0, self._excess + self._line_bytes - 16 - 2 * self._chunk_size)
            if self._excess > FRAMING_EXCESS_BYTES:
                raise WireError(400, "too much chunk framing")
            if self._chunk_size > 0:
                self._walk = _IN_DATA
                self._chunk_rest = self._chunk_size + 2  # and the CR LF behind the data
            else:
                self._walk = _IN_TRAILERS
                self._line_bytes = self._trailer_bytes = self._trailers = 0
            return
        if self._trailer_bytes + self._line_bytes > TRAILER_BYTES + 2:
            raise WireError(431, "trailers too large")
        if not is_whole:
            return
        if self._line_bytes <= 2:
            self._walk = _AT_END
            return
        self._trailers += 1
        self._trailer_bytes += self._line_bytes
        self._line_bytes = 0
        if self._trailers > TRAILER_FIELDS:
            raise WireError(431, "too many trailers")

    def _feed_piece(self, data, start, stop):
        try:
            if start == 0 and stop == len(data):
                self._feed(data)
            else:
                self._feed(data[start:stop])
        except HttpParserError as error:
            raise WireError(400, str(error)) from None

    def take_body(self):
        """The body bytes since the last call, or ``b""``."""
        if self._parts is not None:
            body = b"".join(self._parts)
            self._parts = None
        elif self._body is not None:
            body = self._body
        else:
            return b""
        self._body = None
        return body

    def is_reusable(self):
        """Whether llhttp would take another message after this one (not after ``Connection: close``)."""
        return self.complete and self._is_reusable


def borrow_parser():
    """A parser between messages."""
    global _pooled
    if _pooled == 0:
        return RequestParser()
    _pooled -= 1
    parser = _pool[_pooled]
    _pool[_pooled] = None
    return parser


def return_parser(parser):
    """Take a parser back once its message is over, well or badly."""
    global _pooled
    if _pooled < _POOL_SIZE and parser.is_reusable():
        _pool[_pooled] = parser
        _pooled += 1
    else:
        parser.close()
