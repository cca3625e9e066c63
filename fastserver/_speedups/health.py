"""The health check: one path at which the server itself says whether new clients shall come.

``HealthCheck`` stands in front of whatever application there is, and opens ``HealthExchange`` for GET and HEAD of its
path; all else is the application's.  A server without a health check has none of this, so it costs nothing there.
Its answers are in no log of requests and in no count of them: they say nothing of the application.
"""

from .contract import Application, Exchange
from .rendering import inspect_response
from .websocket.handshake import is_handshake

_FIELDS = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))


class HealthExchange(Exchange):
    """One health check: answered by its first step, whatever its client goes on to send."""

    def begin(self, host, sink):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._host = host
        self._sink = sink

    def start(self):
        is_ready = self._host.ready
        head = inspect_response(200 if is_ready else 503, _FIELDS)
        self._sink.respond(head, b"ready\n" if is_ready else b"not ready\n", False)
        self._sink.release()

    def on_body(self, data, more):
        self._sink.consume(len(data))

    def on_writable(self):
        """All is said."""

    def on_eof(self):
        """All is said."""

    def on_disconnect(self):
        """All is said."""


class HealthCheck(Application):
    """Answers at ``path``, as applications see it without their root path; all else is ``application``'s."""

    def __init__(self, application, host, path):
        self._application = application
        self._host = host
        self._path = path

    def open(self, sink, request):
        if request.path != self._path or not (request.method == "GET" or request.method == "HEAD"):
            return self._application.open(sink, request)
        if request.upgrade and is_handshake(request):
            return self._application.open(sink, request)
        return open_check(self._host, sink)


def open_check(host, sink):
    exchange = HealthExchange.__new__(HealthExchange)
    exchange.begin(host, sink)
    return exchange
