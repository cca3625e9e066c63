"""The ASGI HTTP exchange: one call of the application for one request (ASGI HTTP specification 2.5).

An exchange knows no wire: it reads a ``Request``, writes to a ``Sink`` and is told of body bytes, room and the end.
``receive`` and ``send`` return awaitables that are ready wherever nothing must be waited for: no future, no coroutine,
no task.  ``send`` acts when it is called, so what it refuses it raises at once.

The response goes through ``AWAITING_START -> HEAD_HELD -> SENDING_BODY [-> AWAITING_TRAILERS] -> COMPLETE``; a held
head leaves with the first part of the body, so an application that fails before then still gets its 500.
"""

from logging import INFO, WARNING
from urllib.parse import quote

from .asgi import Constants, as_coroutine_function, is_disconnect
from .contract import Application, ClientDisconnected, Exchange, is_bodyless
from .kernels import current_thread, read_timer
from .rendering import inspect_fields, inspect_response
from .task import CancelledError
from .task import start as start_task

# States of the response.
AWAITING_START = 0
HEAD_HELD = 1
SENDING_BODY = 2
AWAITING_TRAILERS = 3
COMPLETE = 4


class Ready:
    """An awaitable that is done: what ``send`` returns where it need not wait."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        try:
            raise value if value is not None else kind
        finally:
            # The traceback holds this frame, uncompiled, which must not hold the exception: a cycle.
            del kind, value

    def close(self):
        pass


READY = Ready()


class Receiving:
    """What ``receive()`` returns: a coroutine that takes the next message only when it is stepped.

    So a cancelled ``receive`` swallows nothing (H12), and several may wait at once.
    """

    def __init__(self, exchange):
        self._exchange = exchange
        self._waiter = None

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        message = self._exchange.take_message()
        if message is None:
            self._waiter = self._exchange.wait()
            return self._waiter
        raise StopIteration(message)

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        self.close()
        try:
            raise value if value is not None else kind
        finally:
            # The traceback holds this frame, uncompiled, which must not hold the exception: a cycle.
            del kind, value

    def close(self):
        self._exchange.forget(self._waiter)


class WaitingForRoom:
    """What ``send()`` returns while the sink is full: a coroutine that waits until it can take more."""

    def __init__(self, exchange):
        self._exchange = exchange
        self._waiter = None

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._exchange.must_wait():
            self._waiter = self._exchange.wait()
            return self._waiter
        raise StopIteration

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        self.close()
        try:
            raise value if value is not None else kind
        finally:
            # The traceback holds this frame, uncompiled, which must not hold the exception: a cycle.
            del kind, value

    def close(self):
        self._exchange.forget(self._waiter)


async def send_in_loop(exchange, message):
    """What ``send()`` returns where it is called in another thread (``run_coroutine_threadsafe(send(...), loop)``): the
    wire belongs to the loop's thread, so nothing happens before this runs there."""
    await exchange.send(message)


class HTTPExchange(Exchange):
    """One request and its response, between an ASGI application and a sink."""

    def begin(self, application, sink, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._application = application
        self._host = application.host
        self._sink = sink
        self._request = request
        self._state = AWAITING_START
        self._head = None
        self._body = None
        self._body_complete = request.content_length <= 0 and not request.chunked
        self._body_delivered = False
        self._at_eof = False
        self._disconnected = False
        self._waiters = None
        # Bytes of the announced content-length still to come; -1 where none was announced or none is sent.
        self._remaining = -1
        self._sent = 0
        self._trailers = None
        # A pathsend is under way; nothing else may be sent until it has been awaited.
        self._busy = False
        self._accounted = False
        self._weight = self._host.metrics.weigh_request() if self._host.timed else 0
        if self._weight or self._host.access_log is not None:
            self._started_at = read_timer()

    # What the wire calls.

    def start(self):
        application = self._application
        scope = application.make_scope(self._request, self._sink.get_peer())
        try:
            coroutine = application.app(scope, self.receive, self.send)
        except BaseException as failure:
            self.on_application_end(failure)
            return
        start_task(self._host, self, self._sink, coroutine)

    def on_body(self, data, more):
        if data:
            if self._body is None:
                self._body = [data]
            else:
                self._body.append(data)
        if not more:
            self._body_complete = True
        self._wake()

    def on_writable(self):
        self._wake()

    def on_eof(self):
        self._at_eof = True
        self._wake()

    def on_disconnect(self):
        self._disconnected = True
        self._body = None
        self._wake()
        self._account()

    def on_application_end(self, failure):
        self._sink.release()
        # ClientDisconnected is this server's own word for "stop", and cancellation its way to end what lasts too long;
        # neither is the application's failure.
        is_over = self._disconnected or self._state == COMPLETE
        if isinstance(failure, CancelledError):
            self._application.log_cancelled(self._request)
        elif failure is not None and not (self._disconnected and is_disconnect(failure)):
            self._application.log_failure(self._request, failure)
        elif failure is None and not is_over and not self._at_eof:
            self._application.log_unfinished(self._request, self._state)
        if is_over:
            return
        if self._state <= HEAD_HELD and not (self._at_eof and failure is None):
            self._head = inspect_response(500, [(b"content-type", b"text/plain; charset=utf-8")])
            self._state = HEAD_HELD
            self._send_part(b"Internal Server Error", False)
        else:
            self.cut()

    def cut(self):
        """End the exchange so that the client cannot take the response for whole."""
        self._sink.abort()
        # The transport reports the loss in a later turn, and the application goes on in this one.
        self.on_disconnect()

    # What the application calls.

    def receive(self):
        """ASGI ``receive``: the next ``http.request`` or ``http.disconnect``."""
        return Receiving(self)

    def send(self, message):
        """ASGI ``send``.  Raises ``ClientDisconnected`` once the client has gone, ``RuntimeError``, ``TypeError`` or
        ``ValueError`` for a message that the specification does not allow here."""
        if current_thread() != self._host.thread:
            return send_in_loop(self, message)
        fields = message if type(message) is dict else dict(message)
        kind = fields["type"]
        if self._disconnected:
            raise ClientDisconnected
        if self._busy:
            raise RuntimeError("send() before the http.response.pathsend was awaited")
        if kind == "http.response.body" and (self._state == HEAD_HELD or self._state == SENDING_BODY):
            body = fields.get("body", b"")
            if type(body) is not bytes:
                body = as_bytes(body)
            self._send_part(body, True if fields.get("more_body", False) else False)
        elif kind == "http.response.start" and self._state == AWAITING_START:
            self._head = inspect_response(fields["status"], fields.get("headers", ()))
            self._head.trailers = True if fields.get("trailers", False) else False
            self._state = HEAD_HELD
        else:
            return self._send_extension(kind, fields)
        if self._sink.is_writable():
            return READY
        return WaitingForRoom(self)

    # What its awaitables call.

    def take_message(self):
        """The next message for the application, or ``None`` where it must wait for one."""
        if self._disconnected or self._state == COMPLETE:
            return {"type": "http.disconnect"}
        if self._body is not None:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = None
            self._sink.consume(len(body))
            self._body_delivered = self._body_complete
            return {"type": "http.request", "body": body, "more_body": not self._body_complete}
        if self._body_complete:
            if not self._body_delivered:
                self._body_delivered = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self._at_eof:
                return {"type": "http.disconnect"}
            return None
        self._sink.want_body()
        return None

    def must_wait(self):
        """Whether ``send`` has to wait for room; raises once the client has gone."""
        if self._disconnected:
            raise ClientDisconnected
        return self._state != COMPLETE and not self._sink.is_writable()

    def wait(self):
        """A future, ready to be yielded to a task, that is done when something has changed."""
        waiter = self._host.create_future()
        waiter._asyncio_future_blocking = True
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def forget(self, waiter):
        """Nobody waits for ``waiter`` any more."""
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    # Private: waking and sending.

    def _wake(self):
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _send_part(self, body, more):
        """Send a part of the body, with the held head if this is the first; enforces content-length (H1-42)."""
        ends = not more
        excess = False
        if self._state == HEAD_HELD and not is_bodyless(self._request, self._head.status):
            self._remaining = self._head.content_length
        if self._remaining >= 0:
            if len(body) > self._remaining:
                excess = True
                ends = True
                body = body[: self._remaining]
                self._sink.forbid_reuse()
            self._remaining -= len(body)
            if ends and self._remaining > 0:
                self._fail_short()
        trailers_follow = ends and self._head.trailers and not excess
        more = trailers_follow or not ends
        self._sent += len(body)
        if self._state == HEAD_HELD:
            self._state = SENDING_BODY
            self._sink.respond(self._head, body, more)
        else:
            self._sink.write(body, more)
        if trailers_follow:
            self._state = AWAITING_TRAILERS
        elif ends:
            self._complete()
        if excess:
            raise RuntimeError("response body is longer than its content-length")

    def _fail_short(self):
        """A body shorter than announced must not look whole: the connection is reset."""
        self.cut()
        raise RuntimeError("response body is shorter than its content-length")

    def _complete(self):
        self._state = COMPLETE
        self._body = None
        self._wake()
        self._account()

    def _account(self):
        """Count and log the exchange, once: when its last byte is written, or its client has gone.

        The log has the status that was sent, 0 where none was; the count goes by whether the client got all.
        """
        if self._accounted:
            return
        self._accounted = True
        head = self._head if self._state >= SENDING_BODY else None
        status = 0 if head is None else head.status
        self._sink.get_tally().count_request(status if self._state == COMPLETE else 0)
        if self._weight == 0 and self._host.access_log is None:
            return
        duration_s = read_timer() - self._started_at
        if self._weight and self._state == COMPLETE:
            self._host.metrics.latency.add(duration_s, self._weight)
        if self._host.access_log is not None:
            self._host.access_log(self._request, status, self._sent, duration_s, self._sink.get_peer(), head)

    def _send_extension(self, kind, message):
        """The extensions, and everything that is out of turn."""
        if kind == "http.response.trailers" and self._state == AWAITING_TRAILERS:
            self._send_trailers(message)
        elif kind == "http.response.early_hint" and self._state < COMPLETE:
            self._send_early_hint(message)
        elif kind == "http.response.pathsend" and self._may_send_path():
            path = message["path"]
            if not isinstance(path, str):
                raise TypeError(f"path of http.response.pathsend must be a str, not {path!r}")
            self._busy = True
            return self._application.send_path(self, path)
        else:
            self._fail_out_of_turn(kind)
        return READY

    def _may_send_path(self):
        return self._state == HEAD_HELD and not self._head.trailers and self._application.send_path is not None

    def _fail_out_of_turn(self, kind):
        if kind not in _KINDS:
            raise ValueError(f"unknown message type {kind!r} for an HTTP response")
        if self._state == COMPLETE:
            raise RuntimeError(f"{kind!r} sent after the response was complete")
        raise RuntimeError(f"{kind!r} sent out of turn: {_EXPECTED[self._state]} is expected")

    def _send_trailers(self, message):
        fields = inspect_fields(message.get("headers", ()))
        if self._trailers is not None:
            fields = self._trailers + fields
        if message.get("more_trailers", False):
            self._trailers = fields
            return
        self._sink.trail([field for field in fields if field[0].lower() not in _NEVER_TRAILERS])
        self._complete()

    def _send_early_hint(self, message):
        """103 (RFC 8297); once the head is out there is nothing left to hint at, so it is dropped."""
        if self._state <= HEAD_HELD:
            links = inspect_fields([(b"link", link) for link in message["links"]])
            if links:
                self._sink.inform(103, links)

    # For pathsend, which lives beside this room because it suspends.

    @property
    def host(self):
        return self._host

    @property
    def sink(self):
        return self._sink

    def begin_file(self, size):
        """Announce a body of ``size`` bytes unless the application has announced one: how many bytes to send.

        0 where the response has no body (HEAD, 304).
        """
        head = self._head
        if head.content_length < 0:
            head.content_length = size
            head.fields.append((b"content-length", b"%d" % size))
        if is_bodyless(self._request, head.status):
            return 0
        return min(size, head.content_length)

    def send_file_part(self, body, more):
        """Send a part of the file; an awaitable that waits for room."""
        if self._disconnected:
            raise ClientDisconnected
        self._send_part(body, more)
        return READY if self._sink.is_writable() else WaitingForRoom(self)

    def note_file_sent(self, count):
        """``count`` bytes of the body were written by the kernel."""
        self._remaining -= count
        self._sent += count

    def end_file(self):
        """The pathsend is over; the response is complete, or the application may go on after an error."""
        self._busy = False


def as_bytes(body):
    """A body part that is not ``bytes``: copied, because its owner may change it (H15)."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"body must be bytes, not {body!r}")


_KINDS = frozenset(f"http.response.{name}" for name in ("start", "body", "trailers", "early_hint", "pathsend"))
_EXPECTED = {
    AWAITING_START: "'http.response.start'",
    HEAD_HELD: "'http.response.body'",
    SENDING_BODY: "'http.response.body'",
    AWAITING_TRAILERS: "'http.response.trailers'",
}

#: Fields that may not stand in trailers: framing, routing, authentication, content, caching (RFC 9110 section 6.5.1).
_NEVER_TRAILERS = frozenset(
    b"authorization cache-control content-encoding content-length content-range content-type expect host max-forwards "
    b"pragma proxy-authenticate proxy-authorization range set-cookie te trailer transfer-encoding www-authenticate "
    b"age date expires location retry-after vary".split()
)


def open_exchange(application, sink, request):
    exchange = HTTPExchange.__new__(HTTPExchange)
    exchange.begin(application, sink, request)
    return exchange


class HTTPApplication(Application):
    """The user's ASGI application as the wire sees it: opens an exchange for each request.

    ``state`` is the lifespan's namespace, or ``None`` where the application has no lifespan.
    """

    def __init__(self, app, host, root_path="", send_path=None):
        self.app = as_coroutine_function(app)
        self.host = host
        self.state = None
        self.root_path = root_path
        self._raw_root_path = quote(root_path).encode("ascii")
        self.send_path = send_path
        self._extensions = {
            "http.response.trailers": Constants(),
            "http.response.early_hint": Constants(),
        }
        # Every key in its place: copying a dictionary and replacing values is cheaper than building one.
        self._template = {
            "type": "http",
            "asgi": Constants(version="3.0", spec_version="2.5"),
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": root_path,
            "headers": None,
            "client": None,
            "server": None,
            "extensions": None,
        }
        if send_path is not None:
            self._extensions["http.response.pathsend"] = Constants()

    def open(self, sink, request):
        return open_exchange(self, sink, request)

    def make_scope(self, request, peer):
        """A fresh ASGI HTTP scope; nothing in it is shared with another request but immutable values."""
        root_path = self.root_path
        scope = self._template.copy()
        # The template holds the common values, so only what differs is set.
        if request.http_version != "1.1":
            scope["http_version"] = request.http_version
        if request.method != "GET":
            scope["method"] = request.method
        if peer.scheme != "http":
            scope["scheme"] = peer.scheme
        if root_path and request.raw_path != b"*":
            scope["path"] = root_path + request.path
            scope["raw_path"] = self._raw_root_path + request.raw_path
        else:
            scope["path"] = request.path
            scope["raw_path"] = request.raw_path
        if request.query_string:
            scope["query_string"] = request.query_string
        scope["headers"] = request.headers
        scope["client"] = peer.client
        scope["server"] = peer.server
        scope["extensions"] = self._extensions.copy()
        if self.state is not None:
            scope["state"] = self.state.copy()
        if peer.tls is not None:
            scope["extensions"]["tls"] = peer.tls.copy()
        return scope

    def log_failure(self, request, failure):
        self.host.error_log.error(
            "exception in the application: %s %s",
            request.method,
            request.raw_path.decode("ascii", "backslashreplace"),
            exc_info=failure,
        )

    def log_cancelled(self, request):
        """A stop cancels what lasts too long; otherwise the application has cancelled itself, which is a fault."""
        self.host.error_log.log(
            INFO if self.host.draining else WARNING,
            "request cancelled: %s %s",
            request.method,
            request.raw_path.decode("ascii", "backslashreplace"),
        )

    def log_unfinished(self, request, state):
        self.host.error_log.error(
            "the application returned without completing the response (%s was expected): %s %s",
            _EXPECTED[state],
            request.method,
            request.raw_path.decode("ascii", "backslashreplace"),
        )
