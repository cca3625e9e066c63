"""llhttp, fed exactly one message at a time.

httptools cannot pause: given more than a message it parses on into the next.  But a message ends at a place that can be
found beforehand: a head, and a chunked body, only at an empty line; a body with a length after that many bytes.  So a
``RequestParser`` feeds up to each such place and asks whether the message is complete.  llhttp stays the authority on
grammar and framing; it never sees a byte of the next request, and no callback runs application code (H1-5, H1-40, H1-43).

Between messages a parser holds nothing of its connection, so parsers are pooled and an idle connection has none.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from .contract import WireError
from .kernels import find_head_end

#: Bytes of chunk framing beyond 16 and twice the data of each chunk that a body may carry (Go's rule, H1-15); trailers
#: count as framing, so this bounds them as well (H1-36).
FRAMING_EXCESS_BYTES = 16 * 1024

_POOL_SIZE = 64
_pool = []


class RequestParser:
    """One llhttp parser and what it said of the current message.

    ``complete`` turns true when the message has ended; ``received`` counts its body bytes.
    """

    def __init__(self):
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

    def on_chunk_header(self):
        self._chunks += 1

    def on_message_complete(self):
        self.complete = True

    # What the connection calls.

    def open(self, request, data, start, head_end):
        """Feed a request's head, ``data[start:head_end]``, and what ``data`` holds of its body.

        Returns the index of the first byte that does not belong to the message.  Raises ``WireError`` where llhttp
        refuses what ``split_head`` let pass.
        """
        self.complete = False
        self.received = 0
        self._body = None
        self._parts = None
        self._chunked = request.chunked
        self._remaining = request.content_length if request.content_length > 0 else 0
        announced = self._chunked or self._remaining > 0
        self._reset_chunked_state()
        if not (request.upgrade and request.connection_upgrade):
            self._feed_piece(data, start, head_end)
        elif not self._feed_upgrade(data[start:head_end]) or announced:
            self._restart(request)
        if self.complete == announced:
            raise WireError(400, "request framing is ambiguous")
        return self.feed(data, head_end) if announced else head_end

    def _reset_chunked_state(self):
        self._chunks = 0
        self._excess = 0
        self._tail = b""

    def _feed_upgrade(self, head):
        """Feed a head that asks for an upgrade: httptools ends the message there, body or no body (H1-37)."""
        try:
            self._feed(head)
        except HttpParserUpgrade:
            return True
        except HttpParserError as error:
            raise WireError(400, str(error)) from None
        return False

    def _restart(self, request):
        """The upgrade is not taken, so its request is served with its body: a fresh parser, told only the framing."""
        self._replace_parser()
        self.complete = False
        framing = b"transfer-encoding: chunked" if self._chunked else b"content-length: %d" % self._remaining
        self._feed(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")

    def feed(self, data, start):
        """Feed body bytes from ``data[start:]``; returns the index of the first byte after the message."""
        size = len(data)
        if not self._chunked:
            stop = min(size, start + self._remaining)
            if stop > start:
                self._remaining -= stop - start
                self._feed_piece(data, start, stop)
            return stop
        while start < size and not self.complete:
            stop = self._find_piece_end(data, start)
            chunks = self._chunks
            received = self.received
            self._feed_piece(data, start, stop)
            received = self.received - received
            self._excess += stop - start - 3 * received - 16 * (self._chunks - chunks)
            if self._excess < 0:
                self._excess = 0
            elif self._excess > FRAMING_EXCESS_BYTES:
                raise WireError(400, "too much chunk framing")
            self._tail = (
                data[max(start, stop - 3) : stop] if stop - start >= 3 else (self._tail + data[start:stop])[-3:]
            )
            start = stop
        return start

    def _find_piece_end(self, data, start):
        """The index after the next empty line, which may have begun in an earlier read, or the end of ``data``."""
        if self._tail:
            straddling = (self._tail + data[start : start + 3]).find(b"\r\n\r\n")
            if straddling >= 0:
                return start + straddling + 4 - len(self._tail)
        end = find_head_end(data, start)
        return len(data) if end < 0 else end

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
        return self.complete and self._parser.should_keep_alive()


def borrow_parser():
    """A parser between messages."""
    return _pool.pop() if _pool else RequestParser()


def return_parser(parser):
    """Take a parser back once its message is over, well or badly."""
    if len(_pool) < _POOL_SIZE and parser.is_reusable():
        _pool.append(parser)
    else:
        parser.close()
