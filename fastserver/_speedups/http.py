"""The ASGI HTTP exchange: one call of the application for one request (ASGI HTTP specification 2.5).

An exchange knows no wire: it reads a ``Request``, writes to a ``Sink`` and is told of body bytes, room and the end.
How it waits is said in ``dialogue``.

The response goes through ``AWAITING_START -> HEAD_HELD -> SENDING_BODY [-> AWAITING_TRAILERS] -> COMPLETE``; a held
head leaves with the first part of the body, so an application that fails before then still gets its 500.  A response
that has no body (HEAD, 204, 304) is over for the client with its head: ``HEAD_HELD -> DROPPING -> COMPLETE``.

A response of no announced length that is open when a stop has no more time for it is a stream that is *told to end*:
``receive()`` says that the client has gone, and ``send()`` goes on.  An application that then leaves a stream of events
as it stands has ended it: its reader drops what is not a whole event.  Of anything else that would be a cut response.
"""

from .asgi import Constants, is_disconnect
from .contract import ClientDisconnected, is_bodyless
from .dialogue import READY, ASGIApplication, Dialogue, WaitingForRoom, send_in_loop
from .fields import is_event_stream
from .kernels import current_thread, read_timer
from .rendering import inspect_fields, inspect_response
from .task import CancelledError
from .websocket.exchange import open_session
from .websocket.handshake import is_handshake

# States of the response.
AWAITING_START = 0
HEAD_HELD = 1
SENDING_BODY = 2
AWAITING_TRAILERS = 3
DROPPING = 4
COMPLETE = 5

#: Parts of a request's body below this size are held as one; bytes.
JOINED_BYTES = 4096

#: What an application may say behind the head of a response that has no body, each message counted as
#: ``DROPPED_MESSAGE_BYTES`` at least: beyond it, its body is taken for endless.
DROPPED_BYTES = 1024 * 1024
DROPPED_MESSAGE_BYTES = 16 * 1024


class HTTPExchange(Dialogue):
    """One request and its response, between an ASGI application and a sink."""

    def begin(self, application, sink, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self.begin_dialogue(application, sink, request)
        self._state = AWAITING_START
        self._head = None
        self._body = None
        self._body_complete = request.content_length <= 0 and not request.chunked
        self._body_delivered = False
        self._at_eof = False
        # A stop has no more time for this response: its application is told, has heard it, and is past its time.
        self._is_told_to_end = False
        self._has_heard = False
        self._is_past = False
        self._disconnected = False
        # Bytes of the announced content-length still to come; -1 where none was announced or none is sent.
        self._remaining = -1
        self._sent = 0
        self._dropped = 0
        self._trailers = None
        # A pathsend is under way; nothing else may be sent until it has been awaited.
        self._busy = False
        # The response is whole, or its client has gone: nothing can happen any more.
        self._accounted = False
        self._weight = self._host.metrics.weigh_request() if self._host.timed else 0
        if self._weight or self._host.access_log is not None:
            self.started_at = read_timer()

    # What the wire calls.

    def start(self):
        self.call_application(make_scope(self._application, self._request, self._sink.get_peer()))

    def on_body(self, data, more):
        if data:
            if self._body is None:
                self._body = [data]
            else:
                self._keep_part(data)
        if not more:
            self._body_complete = True
        self.wake()

    def on_writable(self):
        self.wake()

    def on_eof(self):
        self._at_eof = True
        self.wake()

    def on_stream_deadline(self):
        # A pathsend that is under way has its file's length.
        has_no_end = self._state == HEAD_HELD or self._state == SENDING_BODY
        if not has_no_end or self._head.content_length >= 0 or self._busy:
            return
        if not self._is_told_to_end:
            self._is_told_to_end = True
            self.wake()
        elif not self._has_heard and is_event_stream(self._head.fields):
            # Nobody asks ``receive()``: Starlette, for one, learns of an end by what ``send()`` raises.
            self._is_past = self._busy = True
            self.wake()

    def on_disconnect(self):
        self._disconnected = True
        self._body = None
        self.wake()
        self._account()

    def on_application_end(self, failure):
        self._sink.release()
        # ClientDisconnected is this server's own word for "stop", and cancellation its way to end what lasts too long;
        # neither is the application's failure.
        is_over = self._disconnected or self._state == COMPLETE
        is_ended = (
            self._is_told_to_end
            and HEAD_HELD <= self._state <= SENDING_BODY
            and is_event_stream(self._head.fields)
            and (failure is None or isinstance(failure, CancelledError) or (self._is_past and is_disconnect(failure)))
        )
        if isinstance(failure, CancelledError):
            self._application.log_cancelled(self._request)
        elif failure is not None and not ((self._disconnected or self._is_past) and is_disconnect(failure)):
            self._application.log_failure(self._request, failure)
        elif failure is None and not (is_over or self._at_eof or self._is_told_to_end):
            self._application.log_unfinished(self._request, _EXPECTED[self._state])
        if is_over:
            return
        if is_ended:
            self._head.trailers = False
            self._send_part(b"", False)
        elif self._state <= HEAD_HELD and not (self._at_eof and failure is None):
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

    def send(self, message):
        """ASGI ``send``.  Raises ``ClientDisconnected`` once the client has gone, ``RuntimeError``, ``TypeError`` or
        ``ValueError`` for a message that the specification does not allow here."""
        if current_thread() != self._host.thread:
            return send_in_loop(self, message)
        fields: dict = message if type(message) is dict else dict(message)
        kind: str = fields["type"]
        if self._disconnected:
            raise ClientDisconnected
        if self._busy:
            self._fail_busy()
        if (self._state == HEAD_HELD or self._state == SENDING_BODY) and kind == "http.response.body":
            body = fields.get("body", b"")
            if type(body) is not bytes:
                body = as_bytes(body)
            self._send_part(body, True if fields.get("more_body", False) else False)
        elif self._state == AWAITING_START and kind == "http.response.start":
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
        if self._accounted:
            return {"type": "http.disconnect"}
        if self._body is not None:
            body = self._body[0]
            if len(self._body) > 1 or type(body) is not bytes:
                body = b"".join(self._body)
            self._body = None
            self._sink.consume(len(body))
            self._body_delivered = self._body_complete
            return {"type": "http.request", "body": body, "more_body": not self._body_complete}
        if self._body_complete:
            if not self._body_delivered:
                self._body_delivered = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self._at_eof or self._is_told_to_end:
                self._has_heard = True
                return {"type": "http.disconnect"}
            return None
        if self._is_told_to_end:
            self._has_heard = True
            return {"type": "http.disconnect"}
        self._sink.want_body()
        return None

    def must_wait(self):
        """Whether ``send`` has to wait for room; raises once the client has gone."""
        if self._disconnected or self._is_past:
            raise ClientDisconnected
        return self._state != COMPLETE and not self._sink.is_writable()

    def _fail_busy(self):
        if self._is_past:
            raise ClientDisconnected
        raise RuntimeError("send() before the http.response.pathsend was awaited")

    # Private: receiving.

    def _keep_part(self, data):
        """Hold a further part of the body: a small one joins the one before, for each object costs more than it holds.

        What has joined is a ``bytearray``; a large part stays as it came.
        """
        last = self._body[-1]
        size = len(last)
        if len(data) >= JOINED_BYTES or size >= JOINED_BYTES:
            self._body.append(data)
        elif type(last) is bytearray:
            last += data
        else:
            joined = bytearray(last)
            joined += data
            self._body[-1] = joined

    # Private: sending.

    def _send_part(self, body, more):
        """Send a part of the body, with the held head if this is the first; enforces content-length (H1-42)."""
        ends = not more
        excess = False
        bodyless = False
        if self._state == HEAD_HELD:
            bodyless = is_bodyless(self._request, self._head.status)
            if not bodyless:
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
        if bodyless and more:
            self._end_at_head(ends)
        elif trailers_follow:
            self._state = AWAITING_TRAILERS
        elif ends:
            self._complete()
        if excess:
            raise RuntimeError("response body is longer than its content-length")

    def _fail_short(self):
        """A body shorter than announced must not look whole: the connection is reset."""
        self.cut()
        raise RuntimeError("response body is shorter than its content-length")

    def _end_at_head(self, ends):
        """The response has no body, so it ends here whatever the application goes on to say: a wire that takes nothing
        never makes ``send`` wait, and the body may have no end."""
        self._sink.write(b"", False)
        self._complete()
        self._state = AWAITING_TRAILERS if ends else DROPPING

    def _drop_part(self, body, more):
        """Take a part of the body of a response that has none.

        Raises ``ClientDisconnected`` where it has no end: the client has what it asked for.
        """
        self._dropped += max(len(body), DROPPED_MESSAGE_BYTES)
        if not more:
            self._state = AWAITING_TRAILERS if self._head.trailers else COMPLETE
        elif self._dropped > DROPPED_BYTES:
            self._state = COMPLETE
            self._disconnected = True
            raise ClientDisconnected

    def _complete(self):
        self._state = COMPLETE
        self._body = None
        self.wake()
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
        duration_s = read_timer() - self.started_at
        if self._weight and self._state == COMPLETE:
            self._host.metrics.latency.add(duration_s, self._weight)
        if self._host.access_log is not None:
            self._host.access_log(self._request, status, self._sent, duration_s, self._sink.get_peer(), head)

    def _send_extension(self, kind, message):
        """The extensions, and everything that is out of turn."""
        if kind == "http.response.body" and self._state == DROPPING:
            self._drop_part(as_bytes(message.get("body", b"")), True if message.get("more_body", False) else False)
        elif kind == "http.response.trailers" and self._state == AWAITING_TRAILERS:
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
    DROPPING: "'http.response.body'",
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


def make_scope(application, request, peer):
    """A fresh ASGI HTTP scope."""
    scope = application.make_scope(application.template, application.extensions, request, peer)
    if request.method != "GET":
        scope["method"] = request.method
    if peer.scheme != "http":
        scope["scheme"] = peer.scheme
    return scope


class HTTPApplication(ASGIApplication):
    """The user's ASGI application as the wire sees it: opens an exchange for each request.

    ``websocket`` are the ``WebSocketSettings``, or ``None`` where WebSockets are not served.
    """

    def __init__(self, app, host, root_path="", send_path=None, websocket=None):
        ASGIApplication.__init__(self, app, host, root_path)
        self.send_path = send_path
        self.websocket = websocket
        self.extensions = {
            "http.response.trailers": Constants(),
            "http.response.early_hint": Constants(),
        }
        if send_path is not None:
            self.extensions["http.response.pathsend"] = Constants()
        self.template = self.make_template("http", "http")
        self.template["method"] = "GET"

    def open(self, sink, request):
        if request.upgrade or request.protocol:
            return self._open_upgrade(sink, request)
        return open_exchange(self, sink, request)

    def open_response(self, sink, request):
        return open_exchange(self, sink, request)

    def _open_upgrade(self, sink, request):
        """A request that wants more than an answer: a WebSocket, or something that is not served."""
        if request.protocol or (self.websocket is not None and is_handshake(request)):
            return open_session(self, self.websocket, sink, request)
        return open_exchange(self, sink, request)
