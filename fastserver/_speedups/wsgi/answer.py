"""The event loop's half of a WSGI exchange: the request's body, the way to a thread, and what goes to the wire.

The body is received before the application is called, in memory or in a temporary file, so that a slow client costs no
thread.  What the application says comes in steps (``deliver``); ``exchange`` is the half that says it.

The call goes through ``OPENED -> RECEIVING -> QUEUED -> RUNNING [-> SENDING_FILE -> CLOSING] -> ENDED``, the response
through ``AWAITING_START -> SENDING_BODY -> COMPLETE``.
"""

from contextvars import Context
from contextvars import copy_context as copy_current
from io import BytesIO

from ..contract import Application
from ..fields import is_event_stream
from ..identity import describe
from ..kernels import call_in, copy_context, read_timer
from ..rendering import inspect_response
from .bounds import RETRY_AFTER_S
from .environ import EnvironMaker
from .pool import Job
from .state import (
    AWAITING_START,
    CLOSING,
    COMPLETE,
    CUT_SHORT,
    ENDED,
    FAULT,
    FILE,
    HEAD_ONLY,
    NOTHING,
    OPENED,
    PART,
    QUEUED,
    RECEIVING,
    RUNNING,
    SENDING_BODY,
    SENDING_FILE,
)
from .streams import EmptyInput, ErrorStream, FileWrapper

_NO_INPUT = EmptyInput()
_PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class WSGIAnswer(Job):
    """One request and its response, between a WSGI application and a sink.

    What is called here is called in the loop's thread.
    """

    def begin_answer(self, application, sink, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._application = application
        self._host = application.host
        self._pool = application.pool
        self._sink = sink
        self._request = request
        self._peer = sink.get_peer()
        self.queued_at = 0.0
        self._stage = OPENED
        self._state = AWAITING_START
        self._body_complete = request.content_length <= 0 and not request.chunked
        self._body = None
        self._body_size = 0
        self._spool = None
        self._file = None
        self._waiter = None
        # The head that has left, and how much of the body.
        self._sent_head = None
        self._sent = 0
        self._context = None
        # Bytes of the body that the loop has written, and of those that the client had room for.
        self._processed = 0
        self._taken = 0
        self._gone = False
        self._gate = None
        self._is_waiting = False
        self._accounted = False
        self._weight = self._host.metrics.weigh_request() if self._host.timed else 0
        if self._weight or self._host.access_log is not None:
            self._started_at = read_timer()

    # What the wire calls.

    def start(self):
        if self._body_complete:
            self._finish_body()
        else:
            self._stage = RECEIVING
            self._sink.want_body()

    def on_body(self, data, more):
        if data:
            self._keep(data)
        if not more:
            self._body_complete = True
            if self._stage == RECEIVING:
                self._finish_body()

    def on_writable(self):
        if self._pool is None:
            self.go_on_soon()
        else:
            self._acknowledge()
        self._wake_waiter()

    def on_eof(self):
        """The client may still be reading."""

    def on_stream_deadline(self):
        """A stream of events is ended here and now, for its application may sit in ``next()`` for long.

        It finds out with its next part.  Any other response has an end of its own, and the whole grace for it.
        """
        if self._state != SENDING_BODY or self._gone:
            return
        if self._sent_head.content_length < 0 and is_event_stream(self._sent_head.fields):
            self._sink.write(b"", False)
            self._complete()
            self._leave()

    def on_disconnect(self):
        self._leave()
        self._account()

    def _leave(self):
        """Nobody is there for what the application still says."""
        self._gone = True
        if self._stage <= RECEIVING or (self._stage == QUEUED and self._pool.discard(self)):
            self._end()
        elif self._pool is not None:
            self._acknowledge()
        elif self._stage == RUNNING:
            self.go_on_soon()
        self._wake_waiter()

    def on_application_end(self, failure):
        """Nothing: no task drives this exchange."""

    # The body.

    def _keep(self, data):
        """Hold a part of the body: in memory up to ``spool_size``, all of it in a file beyond."""
        self._body_size += len(data)
        if self._spool is not None:
            self._spool.add(data, len(data))
            return
        if self._body is None:
            self._body = BytesIO(data)
        else:
            self._body.seek(0, 2)
            self._body.write(data)
        if self._body_size > self._application.spool_size:
            self._spool = self._application.make_spool(self._host.loop, self.on_spooled, self.on_spool_end)
            self._spool.add(self._body.getvalue(), len(data))
            self._body = None
        else:
            self._sink.consume(len(data))

    def on_spooled(self, count):
        """``count`` bytes of the body have found their place in the file."""
        if not self._gone:
            self._sink.consume(count)

    def on_spool_end(self, failure):
        """The whole body is in the file, or the file cannot hold it."""
        if self._gone or self._stage != RECEIVING:
            return
        if failure is None:
            self.launch()
        else:
            self._host.error_log.error("cannot keep the body of a request: %s", failure)
            self._refuse(503, "the server cannot keep the request's body", [])

    def _finish_body(self):
        self._stage = RECEIVING
        if self._spool is not None:
            self._spool.finish()
        elif self._pool is None and self._body is not None:
            # Application code runs only after the wire has read on (parse, then act).
            self._host.call_soon(self.launch)
        else:
            self.launch()

    def take_input(self):
        """``wsgi.input``: all of the body, from its beginning."""
        if self._spool is not None:
            return self._spool.take_reader()
        if self._body is None:
            return _NO_INPUT
        self._body.seek(0)
        return self._body

    # Calling the application, in the loop's thread.

    def launch(self):
        """The request is whole: the application's turn."""
        if self._gone or self._stage != RECEIVING:
            return
        if self._pool is None:
            self._run_here()
        else:
            self._stage = QUEUED
            if not self._pool.submit(self):
                self._pool.note_full(self._host.clock.now)
                self.expire()

    def expire(self):
        """No thread is free, and none will be in time."""
        self._refuse(503, "the server is busy", [(b"retry-after", b"%d" % RETRY_AFTER_S)])

    def _refuse(self, status, text, fields):
        """Answer in the place of the application, which is not called."""
        self._sink.cork()
        try:
            self._sent_head = inspect_response(status, [_PLAIN_TEXT, *fields])
            self._respond(text.encode("utf-8") + b"\n")
            self._end()
        finally:
            self._sink.uncork()

    def _run_here(self):
        """Let the application take its next step in this thread."""
        if self._context is None:
            self._context = copy_context(self._application.context)
        sink = self._sink
        sink.cork()
        try:
            call_in(self._context, self)
        finally:
            sink.uncork()

    def go_on_soon(self):
        """Without threads: go on once the loop has looked at its other work."""
        self._host.call_soon(self._resume)

    def _resume(self):
        """Without threads: go on with an iterable that has waited for room, or for the loop."""
        if self._stage == RUNNING and self.is_waiting_to_go_on() and (self._gone or self._sink.is_writable()):
            self._run_here()

    # What came of it, in the loop's thread.

    def begin_turn(self):
        self._sink.cork()

    def end_turn(self):
        self._sink.uncork()

    def deliver(self, step, head, body, ended):
        if not self._gone and step != NOTHING:
            self._take_step(step, head, body)
        if ended:
            self._end()

    def _take_step(self, step, head, body):
        if step == FAULT:
            self._answer_fault()
            return
        if head is not None:
            self._sent_head = head
        if step == CUT_SHORT:
            self._sink.forbid_reuse()
        if step == HEAD_ONLY:
            self._state = SENDING_BODY
            self._sink.respond(head, b"", True)
            self._sink.write(b"", False)
            self._complete()
            return
        if step == FILE:
            self._begin_file()
            return
        more = step == PART
        self._sent += len(body)
        self._processed += len(body)
        if self._state == AWAITING_START:
            self._state = SENDING_BODY
            self._sink.respond(self._sent_head, body, more)
        else:
            self._sink.write(body, more)
        if not more:
            self._complete()
        elif self._pool is not None and self._sink.is_writable():
            self._acknowledge()

    def _acknowledge(self):
        """The client has room for all that the application has said so far."""
        self._taken = self._processed
        if self._is_waiting:
            self._is_waiting = False
            if self._gate.locked():
                self._gate.release()

    def _answer_fault(self):
        """The application has failed: 500 where nothing has been said, else no client may take it for whole."""
        if self._state == AWAITING_START:
            self._sent_head = inspect_response(500, [_PLAIN_TEXT])
            self._respond(b"Internal Server Error")
        elif self._state == SENDING_BODY:
            self.cut()

    def _respond(self, body):
        """Send a whole response."""
        self._state = SENDING_BODY
        self._sent += len(body)
        self._sink.respond(self._sent_head, body, False)
        self._complete()

    def cut(self):
        """End the exchange so that the client cannot take the response for whole."""
        self._sink.abort()
        self.on_disconnect()

    def _complete(self):
        self._state = COMPLETE
        self._account()

    def _end(self):
        """The application has come back, or was never called: let go of everything."""
        if self._stage == ENDED:
            return
        self._stage = ENDED
        self._sink.release()
        if self._spool is not None:
            self._spool.discard()
            self._spool = None
        self._body = None
        self._context = None
        self.forget_result()

    def _account(self):
        """Count and log the exchange, once: when its last byte is written, or its client has gone."""
        if self._accounted:
            return
        self._accounted = True
        status = self._sent_head.status if self._state >= SENDING_BODY else 0
        self._sink.get_tally().count_request(status if self._state == COMPLETE else 0)
        if self._weight == 0 and self._host.access_log is None:
            return
        duration_s = read_timer() - self._started_at
        if self._weight and self._state == COMPLETE:
            self._host.metrics.latency.add(duration_s, self._weight)
        if self._host.access_log is not None:
            self._host.access_log(self._request, status, self._sent, duration_s, self._peer, self._sent_head)

    # Files, which the loop sends.

    def _begin_file(self):
        """The application's call is over but for ``close``; its thread is free meanwhile."""
        self._state = SENDING_BODY
        self._stage = SENDING_FILE
        self._sink.respond(self._sent_head, b"", True)
        task = self._host.loop.create_task(self._application.send_file(self, self._file))
        self._host.tasks.add(task)
        task.add_done_callback(self._host.tasks.discard)

    @property
    def host(self):
        return self._host

    @property
    def sink(self):
        return self._sink

    @property
    def is_gone(self):
        return self._gone

    def make_waiter(self):
        """A future that is done when the sink may have room, or the client has gone."""
        self._waiter = self._host.create_future()
        return self._waiter

    def _wake_waiter(self):
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def send_file_part(self, body, more):
        """Send a part of the file that was read."""
        if not self._gone:
            self._sent += len(body)
            self._sink.write(body, more)

    def note_file_sent(self, count):
        """``count`` bytes of the file were written by the kernel."""
        self._sent += count

    def end_file(self, is_whole):
        """The file has been sent, or cannot be: what is left is ``close``."""
        if not self._gone:
            if is_whole:
                self._sink.write(b"", False)
                self._complete()
            else:
                self.cut()
        self._file = None
        self._stage = CLOSING
        if self._pool is None:
            self._run_here()
        else:
            self._pool.submit_late(self)

    # What the application's half gives.

    def __call__(self):
        """Take the application's next step: its call, the rest of an iterable that had to wait, or ``close``.

        It is called in the exchange's context and raises nothing.
        """
        raise NotImplementedError

    def is_waiting_to_go_on(self):
        """Without threads: whether there is an iterable to go on with."""
        raise NotImplementedError

    def forget_result(self):
        """Let go of what the application has returned."""
        raise NotImplementedError


class WSGICallable(Application):
    """The user's WSGI application: how it is called, what it is given, and what the log says of it.

    ``pool`` are the threads in which it runs; ``None`` runs it in the event loop's.  ``make_spool`` makes the file for
    a body above ``spool_size`` bytes, ``open_file`` and ``send_file`` send files by the loop; both may be ``None``.
    """

    def __init__(
        self, app, host, pool=None, root_path="", multiprocess=False, spool_size=0, make_spool=None,
        open_file=None, send_file=None, software="fastserver",
    ):  # fmt: skip
        self.app = app
        self.host = host
        self.pool = pool
        # Copied for each request: the current context of a pipelined one may be that of the request before it.
        self.context = copy_current() if pool is None else Context()
        self.spool_size = spool_size
        self.make_spool = make_spool
        self.open_file = open_file
        self.send_file = send_file
        constants = {
            "SERVER_SOFTWARE": software,
            "wsgi.errors": ErrorStream(host.error_log),
            "wsgi.multithread": pool is not None and pool.threads > 1,
            "wsgi.multiprocess": multiprocess,
            "wsgi.file_wrapper": FileWrapper,
        }
        self._environ = EnvironMaker(root_path, constants)

    def make_environ(self, request, peer, body, length):
        return self._environ.make(request, peer, body, length)

    def log_failure(self, request, failure):
        target = request.raw_path.decode("ascii", "backslashreplace")
        facts = describe(self.host, request)
        self.host.error_log.error(
            "exception in the application: %s %s", request.method, target, exc_info=failure, extra=facts
        )
