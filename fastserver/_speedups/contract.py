"""The only meeting point of the wire side and the application side.

Three pairs meet here, each by plain method calls that return at once:

* a ``Connection`` (transport edge) and a ``Protocol`` (wire, sans-I/O) exchange events: ``protocol.handle(event)`` for
  what came in, ``connection.send(event)`` for what goes out;
* a ``Protocol`` hands each ``Request`` to ``host.application.open(sink, request)`` and gets an ``Exchange``;
* the ``Exchange`` (application side) writes to its ``Sink`` (wire side); the sink tells the exchange of body bytes, of
  room to write and of the end.

Nothing here sleeps, reads a clock or does I/O.  Methods that a class must give raise ``NotImplementedError`` here.
"""

from contextvars import copy_context

from .kernels import current_thread
from .metrics import Metrics

#: How often the log says that the connections are at their limit; seconds.
FULL_LOG_S = 60.0


class WireError(Exception):
    """A peer's fault: answered with ``status`` where a response can still be sent, then the connection closes.

    ``reason`` is for the log at debug level and for the body of the answer; it never holds bytes of the peer.
    """

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def note_refusal(host, connection, status, reason):
    """Count and log that a request was refused, before or while an application had it."""
    connection.tally.refuse_request(status)
    host.error_log.debug("refused a request: %d %s", status, reason)


class ClientDisconnected(OSError):
    """Raised by ``send()`` once the client has gone (ASGI HTTP 2.4: a subclass of ``OSError``)."""

    def __init__(self, message="the client has closed the connection"):
        super().__init__(message)


class Peer:
    """Facts about one connection: ``client`` and ``server`` as ASGI has them, ``scheme`` and ALPN name.

    They never change, and where compiled cannot be changed.  ``tls`` is the ASGI ``tls`` extension's dictionary, or
    ``None`` on a plain connection.  ``cgi`` is where the application's side keeps the same facts as it wants them.
    """

    def __init__(self, client=None, server=None, scheme="http", alpn=None, tls=None):
        self.client = client
        self.server = server
        self.scheme = scheme
        self.alpn = alpn
        self.tls = tls
        self.cgi = None


class H2Limits:
    """What one HTTP/2 connection may hold; sizes in bytes.

    ``header_list`` counts 32 bytes a field as RFC 9113 section 6.5.2 does; ``resets`` is how many streams may end by a
    reset within 30 seconds before their responses were whole.  ``sessions`` says whether extended CONNECT is offered.
    """

    def __init__(
        self,
        *,
        streams=100,
        header_list=32768,
        frame=16384,
        stream_window=262144,
        connection_window=1048576,
        resets=200,
        sessions=True,
    ):
        self.streams = streams
        self.header_list = header_list
        self.frame = frame
        self.stream_window = stream_window
        self.connection_window = connection_window
        self.resets = resets
        self.sessions = sessions


class H3Limits:
    """What one HTTP/3 connection may hold and how long it may be silent: sizes in bytes, times in seconds.

    ``field_section`` counts 32 bytes a field as RFC 9114 section 4.2.2 does; ``resets`` is how many streams may end by
    a reset within 30 seconds before their responses were whole.  ``sessions`` says whether extended CONNECT is offered.
    """

    def __init__(
        self,
        *,
        streams=100,
        field_section=32768,
        stream_window=262144,
        connection_window=1048576,
        resets=200,
        sessions=True,
        timeout_handshake=5.0,
    ):
        self.streams = streams
        self.field_section = field_section
        self.stream_window = stream_window
        self.connection_window = connection_window
        self.resets = resets
        self.sessions = sessions
        self.timeout_handshake = timeout_handshake


class Limits:
    """The limits that the wire enforces, in C numbers; sizes in bytes, times in seconds, 0 means off where said.

    Built once per worker from the configuration; the defaults are the configuration's (``fastserver.config.model``).
    """

    def __init__(
        self,
        *,
        request_line,
        request_head,
        request_field,
        request_fields,
        request_body,
        request_body_rate,
        connections,
        timeout_request_header,
        timeout_request_body_idle,
        timeout_keep_alive,
        timeout_keep_alive_min,
        timeout_write,
        keep_alive_max_requests,
        h2=None,
        h3=None,
    ):
        self.request_line = request_line
        self.request_head = request_head
        self.request_field = request_field
        self.request_fields = request_fields
        self.request_body = request_body
        self.request_body_rate = request_body_rate
        self.connections = connections
        self.timeout_request_header = timeout_request_header
        self.timeout_request_body_idle = timeout_request_body_idle
        self.timeout_keep_alive = timeout_keep_alive
        self.timeout_keep_alive_min = timeout_keep_alive_min
        self.timeout_write = timeout_write
        self.keep_alive_max_requests = keep_alive_max_requests
        self.h2 = h2 or H2Limits()
        self.h3 = h3 or H3Limits()

    @classmethod
    def from_config(cls, config, connections):
        """The limits of a configuration; ``connections`` is the worker's own cap (0 is resolved by the worker)."""
        return cls(
            request_line=config.limit_request_line,
            request_head=config.limit_request_head_size,
            request_field=config.limit_request_field_size,
            request_fields=config.limit_request_fields,
            request_body=config.limit_request_body,
            request_body_rate=config.limit_request_body_rate,
            connections=connections,
            timeout_request_header=config.timeout_request_header,
            timeout_request_body_idle=config.timeout_request_body_idle,
            timeout_keep_alive=config.timeout_keep_alive,
            timeout_keep_alive_min=config.timeout_keep_alive_min,
            timeout_write=config.timeout_write,
            keep_alive_max_requests=config.keep_alive_max_requests,
            h2=H2Limits(
                streams=config.h2_max_concurrent_streams,
                header_list=config.h2_max_header_list_size,
                frame=config.h2_max_frame_size,
                stream_window=config.h2_initial_stream_window,
                connection_window=config.h2_initial_connection_window,
                resets=config.h2_max_resets,
                sessions=config.ws,
            ),
            h3=H3Limits(
                streams=config.h3_max_concurrent_streams,
                field_section=config.h3_max_field_section_size,
                stream_window=config.quic_initial_stream_window,
                connection_window=config.quic_initial_connection_window,
                resets=config.h3_max_resets,
                sessions=config.ws,
                timeout_handshake=config.quic_handshake_timeout,
            ),
        )


class Request:
    """One request's head, as validated facts.  A wire makes it, an exchange reads it; it never changes afterwards.

    ``headers`` is a list of ``(name, value)`` bytes with lower-case names; ``content_length`` is -1 where none was
    announced.  ``close``, ``keep_alive`` and ``connection_upgrade`` are tokens of Connection, ``upgrade`` says that an
    Upgrade field is present, ``expect_continue`` is ``Expect: 100-continue``, ``accepts_trailers`` is ``TE: trailers``.
    ``protocol`` is that of an extended CONNECT (RFC 8441 section 4), empty in any other request.
    """

    def __init__(self):
        self.method = ""
        self.http_version = ""
        self.path = ""
        self.raw_path = b""
        self.query_string = b""
        self.headers = []
        self.content_length = -1
        self.chunked = False
        self.has_host = False
        self.close = False
        self.keep_alive = False
        self.connection_upgrade = False
        self.upgrade = False
        self.expect_continue = False
        self.accepts_trailers = False
        self.protocol = ""


class ResponseHead:
    """One response's head, validated by ``rendering.inspect_response`` and ready for any wire to render.

    ``fields`` is a list of ``(name, value)`` bytes without those that the server owns (Connection, Transfer-Encoding
    and their kin); ``content_length`` is -1 where the application gave none; ``close`` says that it sent
    ``Connection: close``, ``trailers`` that trailers will follow the body.
    """

    def __init__(self):
        self.status = 0
        self.fields = []
        self.content_length = -1
        self.has_date = False
        self.has_server = False
        self.close = False
        self.trailers = False


def is_bodyless(request, status):
    """Whether a response of ``status`` to ``request`` has no body, whatever it announces (RFC 9110 section 6.4.1)."""
    return request.method == "HEAD" or status == 204 or status == 304


class Connection:
    """The transport's side of one peer.  ``send`` takes ``RawData``, ``Closed`` and ``Updated`` in order.

    ``requests`` is how many the protocol has begun on it; ``tally`` are the counters of that protocol.
    """

    def send(self, event):
        """Write ``RawData``; on ``Closed`` close once written; on ``Updated`` arm or disarm the idle deadline."""
        raise NotImplementedError

    def abort(self):
        """Drop the connection at once: over TCP the peer sees a reset and never a clean end (and see ``on_abort``)."""
        raise NotImplementedError

    def finish_writing(self):
        """Close the writing half once all is written (lingering close, RFC 9112 section 9.6)."""
        raise NotImplementedError

    def pause_reading(self):
        raise NotImplementedError

    def resume_reading(self):
        raise NotImplementedError

    def send_file(self, file, offset, count):
        """Write ``count`` bytes of an open file by the kernel: an awaitable, or ``None`` where it cannot be done."""
        return None

    def get_peer(self):
        """The ``Peer`` of this connection."""
        raise NotImplementedError

    # Over datagrams only: what a protocol has to say where the transport knows nothing of connections.

    def set_timer(self, when):
        """Have ``Protocol.on_timer`` called at ``when``, once, in the place of what was set before.

        ``when`` is in seconds of the loop's clock, exact to a millisecond; one that has passed means the end of the
        loop's turn, and ``inf`` never.
        """
        raise NotImplementedError

    def note_handshake(self):
        """The handshake is done: the client is known by our connection IDs alone."""
        raise NotImplementedError

    def note_connection_id(self, cid, is_new):
        """The peer may use ``cid`` from now on, or no longer."""
        raise NotImplementedError

    def move(self, address):
        """The peer is at ``address`` from now on (RFC 9000 section 9)."""
        raise NotImplementedError

    def note_farewell(self, data):
        """We have closed the connection with the datagram ``data``: who has not heard it is told again."""
        raise NotImplementedError

    def note_end_by_peer(self):
        """The peer has ended the connection; what its transport would otherwise see as the last byte."""
        raise NotImplementedError


class Protocol:
    """The wire's side of one connection: synchronous and sans-I/O."""

    def handle(self, event):
        """Take one event of the transport: ``Updated(idle=True)`` first, then what comes, ``Closed`` at the end."""
        raise NotImplementedError

    def on_eof(self):
        """The peer has sent its last byte; it may still be reading."""
        raise NotImplementedError

    def on_deadline(self, now):
        """``deadline`` has passed: act, and set the next one."""
        raise NotImplementedError

    def on_timer(self, now):
        """The time that ``Connection.set_timer`` was given has come; ``now`` is read for this call."""
        raise NotImplementedError

    def on_abort(self, now):
        """The connection is dropped: the last moment to say so, over a transport that has no sign of its own for it."""

    def on_idle_timeout(self):
        """The connection has been idle for the keep-alive time: close it."""
        raise NotImplementedError

    def pause_writing(self):
        """The transport holds more than its high-water mark: say no to more until ``resume_writing``."""
        raise NotImplementedError

    def resume_writing(self):
        raise NotImplementedError

    def drain(self):
        """The worker stops, or an operator wants the connection gone: finish what is open, announce the end, close."""
        raise NotImplementedError

    def end_streams(self):
        """The stop has no more time for what has no end of its own: each open exchange hears ``on_stream_deadline``.

        It comes after ``drain``, and again and again until the connection has ended.
        """

    def describe_state(self):
        """Where the protocol stands, in one or two words of its own."""
        raise NotImplementedError

    def count_streams(self):
        """How many streams are open; asked of an active connection only."""
        return 1


class Sink:
    """Where one exchange writes: the wire's side of a stream."""

    def inform(self, status, fields):
        """Send an interim response (1xx) with validated ``fields``; ignored where the client cannot take it."""
        raise NotImplementedError

    def respond(self, head, body, more):
        """Send the head and the first part of the body; ``more=False`` ends the response."""
        raise NotImplementedError

    def accept(self, head):
        """Open the session that the request asked for, with a ``head`` that is validated (101; 200 over HTTP/2).

        From here on both sides' bytes are the session's: ``write`` and ``Exchange.on_body`` carry them as they are.
        """
        raise NotImplementedError

    def write(self, body, more):
        """Send a further part of the body; ``more=False`` ends the response."""
        raise NotImplementedError

    def send_file(self, file, offset, count):
        """Send a part of the body from an open file: an awaitable, or ``None`` where the kernel cannot do it."""
        return None

    def trail(self, fields):
        """End the response with trailers (validated ``fields``, may be empty)."""
        raise NotImplementedError

    def abort(self):
        """End the exchange so that the client cannot take the response for whole."""
        raise NotImplementedError

    def want_body(self):
        """The application waits for body bytes and there are none: ask for them (100-continue)."""
        raise NotImplementedError

    def consume(self, count):
        """The application has taken ``count`` body bytes, so the peer may send as many more."""
        raise NotImplementedError

    def forbid_reuse(self):
        """The connection must not carry another request after this exchange."""
        raise NotImplementedError

    def set_deadline(self, deadline):
        """Have ``Exchange.on_deadline`` called once ``deadline`` (seconds of the clock) has passed, to a tick."""
        raise NotImplementedError

    def is_writable(self):
        """Whether ``send()`` may go on without waiting."""
        raise NotImplementedError

    def release(self):
        """The application has ended, whether its response was taken or not."""

    def cork(self):
        """Hold what is written until ``uncork``: the application is about to take a step."""
        raise NotImplementedError

    def uncork(self):
        """The application's step has ended: write what it said."""
        raise NotImplementedError

    def get_peer(self):
        raise NotImplementedError

    def get_tally(self):
        """The counters of the protocol that carries this exchange."""
        raise NotImplementedError


class Exchange:
    """One request with its response on the application's side.  Every method returns at once."""

    def start(self):
        """Run the application's first step."""
        raise NotImplementedError

    def on_body(self, data, more):
        """Body bytes have arrived; ``more=False`` says that the body is complete."""
        raise NotImplementedError

    def on_application_end(self, failure):
        """The application returned (``None``) or raised ``failure``."""
        raise NotImplementedError

    def on_writable(self):
        """The sink can take more."""
        raise NotImplementedError

    def on_eof(self):
        """The client has sent its last byte but may still read: ``receive()`` says so, ``send()`` goes on."""
        raise NotImplementedError

    def on_disconnect(self):
        """The client has gone, or its request turned out malformed: no more body, and ``send()`` raises."""
        raise NotImplementedError

    def on_deadline(self, now):
        """The deadline that was given to the sink has passed."""

    def on_drain(self):
        """The worker stops (``host.draining``), or this connection alone is to end, and then so is a session on it.

        An exchange that is opened while its connection drains is told before it starts.
        """

    def on_stream_deadline(self):
        """The worker's stop has no more time for what has no end of its own (``host.streams_over``).

        A session is to be closed.  A response that has started without a length is to end: its application is told
        that the client has gone, and may still say its last words.  Requests that are not answered yet have the whole
        grace.  It is called again and again until the exchange is over, so that what begins later is told too.
        """


class Application:
    """Opens exchanges: knows the user's callable and which kind of exchange serves it."""

    def open(self, sink, request):
        """An ``Exchange`` for ``request`` that writes to ``sink``; not yet started."""
        raise NotImplementedError


class Host:
    """The services that a worker lends to everything below the edge, and what it keeps of its connections.

    ``connections`` holds the open ones (each a transport's ``Connection``), ``arriving`` those that are not open yet,
    ``tasks`` the application tasks that have suspended at least once; all empty themselves.  ``metrics`` counts what
    happens, ``observers`` hear of it (``None`` where there are none).  ``timed`` says whether anybody can learn how
    long requests take: knowing it costs two looks at a timer.  ``ready`` is what the health check says; it changes
    nothing else.  ``draining`` says that the worker stops, ``streams_over`` that its stop has no more time for what has
    no end of its own.  ``on_empty`` is called when the last connection of a draining host closes.
    """

    def __init__(
        self,
        *,
        loop,
        clock,
        limits,
        application=None,
        error_log=None,
        access_log=None,
        server_field=b"server: fastserver\r\n",
        date_header=True,
        extra_fields=b"",
    ):
        self.loop = loop
        self.clock = clock
        self.limits = limits
        self.application = application
        self.error_log = error_log
        self.access_log = access_log
        self.server_field = server_field
        self.date_header = date_header
        self.extra_fields = extra_fields
        self.context = copy_context()
        # The loop's thread: a host is made there, and only there may the wire be touched.
        self.thread = current_thread()
        self.connections = set()
        self.arriving = set()
        self.connections_seen = 0
        self.tasks = set()
        self.metrics = Metrics()
        self.timed = True
        # Whether each request has an id of its own (see identity).
        self.has_request_ids = False
        self.observers = None
        self.ready = True
        self.draining = False
        self.streams_over = False
        # When the log last said that the connections are at their limit; clock seconds.
        self.full_since = -FULL_LOG_S
        self.on_empty = None
        # A coroutine function (connection, file, offset, count) that writes a file by the kernel, or None.
        self.send_file = None

    def create_future(self):
        return self.loop.create_future()

    def call_soon(self, callback):
        # Whoever asks may be in the midst of a request: what comes next must not see that one's context variables.
        return self.loop.call_soon(callback, context=self.context)
