"""What tells one request from all others: its id, and the trace that it belongs to (W3C Trace Context).

With ``request_id`` each request has one ``x-request-id`` from here on: the application reads it among the headers, the
client in the response, the operator in both logs.  An id of the client is kept where it is fit to be logged and
compared; else there is a new one.

Nothing of this costs a request anything where it is off: the application is then not wrapped.
"""

import re
from random import Random

from .contract import Application, Sink

NAME = b"x-request-id"

_FIT = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})").fullmatch
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


def parse_traceparent(value):
    """``(trace_id, span_id, flags)`` of a traceparent field of version 00, or ``None`` for what is malformed."""
    match = _TRACEPARENT(value)
    if match is None:
        return None
    trace, span, flags = match.groups()
    return None if trace == _NO_TRACE or span == _NO_SPAN else (trace, span, flags)


def describe(host, request):
    """What the error log tells of a request beside the message: its id and its trace, where it has them.

    An application may have put anything into the list of headers, which its scope shares.
    """
    facts = {}
    for field in request.headers:
        if type(field) is not tuple or len(field) != 2:
            continue
        name, value = field
        if name == NAME and host.has_request_ids:
            facts["request_id"] = value.decode("latin-1")
        elif name == b"traceparent" and "trace_id" not in facts:
            trace = parse_traceparent(value)
            if trace is not None:
                facts["trace_id"], facts["span_id"] = trace[0].decode(), trace[1].decode()
    return facts


class IdentifyingApplication(Application):
    """``application``, each of whose requests gets an id."""

    def __init__(self, application):
        self._application = application
        # One of our own: an application that seeds the global one must not get the same ids in all workers.
        self._draw = Random().getrandbits

    def open(self, sink, request):
        found = None
        count = 0
        for field in request.headers:
            if field[0] == NAME:
                count += 1
                found = field[1]
        if count != 1 or _FIT(found) is None:
            found = b"%032x" % self._draw(128)
            headers = request.headers if count == 0 else [field for field in request.headers if field[0] != NAME]
            headers.append((NAME, found))
            request.headers = headers
        identified = IdentifiedSink.__new__(IdentifiedSink)
        identified.begin(sink, (NAME, found))
        return self._application.open(identified, request)


class IdentifiedSink(Sink):
    """A sink that puts the id of its request into the response's head; in all else it is the wire's own."""

    def begin(self, sink, field):
        """What ``__init__`` would do, without its argument tuple."""
        self._sink = sink
        self._field = field

    def respond(self, head, body, more):
        self._mark(head)
        self._sink.respond(head, body, more)

    def accept(self, head):
        self._mark(head)
        self._sink.accept(head)

    def _mark(self, head):
        """One id in each response: the request's, whatever the application has said."""
        fields = [field for field in head.fields if len(field[0]) != 12 or field[0].lower() != NAME]
        fields.append(self._field)
        head.fields = fields

    def inform(self, status, fields):
        self._sink.inform(status, fields)

    def write(self, body, more):
        self._sink.write(body, more)

    def send_file(self, file, offset, count):
        return self._sink.send_file(file, offset, count)

    def trail(self, fields):
        self._sink.trail(fields)

    def abort(self):
        self._sink.abort()

    def want_body(self):
        self._sink.want_body()

    def consume(self, count):
        self._sink.consume(count)

    def forbid_reuse(self):
        self._sink.forbid_reuse()

    def set_deadline(self, deadline):
        self._sink.set_deadline(deadline)

    def is_writable(self):
        return self._sink.is_writable()

    def release(self):
        self._sink.release()

    def cork(self):
        self._sink.cork()

    def uncork(self):
        self._sink.uncork()

    def get_peer(self):
        return self._sink.get_peer()

    def get_tally(self):
        return self._sink.get_tally()
