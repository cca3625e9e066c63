"""The WSGI exchange: one call of the application for one request (PEP 3333), whatever the wire.

The application runs in a thread of the ``pool``, or, without one, in the event loop's own.  The wire belongs to the
loop: what the application says is posted to it in steps, and a small response is one step.  ``answer`` is the half that
takes them; it is the base class, and each half names the attributes that it alone writes.

The head leaves with the first part of the body that is not empty, so an application that fails before still gets its
500; one that fails later has its connection or stream cut.
"""

from _thread import allocate_lock

from ..asgi import is_disconnect
from ..contract import ClientDisconnected, is_bodyless
from ..kernels import call_in, copy_context
from .answer import WSGIAnswer, WSGICallable
from .bounds import AHEAD_BYTES, JOINED_BYTES, PARTS_PER_TURN
from .head import make_head
from .state import CLOSING, CUT_SHORT, FAULT, FILE, HEAD_ONLY, LAST, NOTHING, PART, RUNNING
from .streams import FileWrapper


class WSGIExchange(WSGIAnswer):
    """One call of a WSGI application.  What is called here is called where the application runs."""

    def begin(self, application, sink, request):
        """Take a request, in the loop's thread."""
        self._head = None
        self._result = None
        self._iterator = None
        # Bytes of the announced content-length still to come; -1 where none was announced.
        self._left = -1
        self._begun = False
        self._finished = False
        # Bytes of the body that the application has said.
        self._posted = 0
        self.begin_answer(application, sink, request)

    def run(self):
        if self._gone and self._stage != CLOSING:
            self._pool.post(self, NOTHING, None, b"", True)
        else:
            call_in(copy_context(self._application.context), self)

    def __call__(self):
        if self._stage == CLOSING:
            self._close(True)
            return
        try:
            if not self._step():
                return
        except BaseException as failure:
            self._end_badly(failure)
        else:
            self._close(True)

    def _step(self):
        """Call the application, or go on with its iterable; false where there is more to come, or nothing to do."""
        if self._stage == RUNNING:
            return self._pull()
        self._stage = RUNNING
        self._result = self._application.app(self._make_environ(), self.start_response)
        return self._begin_result()

    def _end_badly(self, failure):
        try:
            self._fail(failure)
        finally:
            self._close(True)

    def is_waiting_to_go_on(self):
        return self._iterator is not None

    def forget_result(self):
        self._result = None
        self._iterator = None

    def _make_environ(self):
        request = self._request
        length = self._body_size if self._body_size > 0 or request.chunked else -1
        return self._application.make_environ(request, self._peer, self.take_input(), length)

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333 ``start_response``: gives ``write``.

        A second call is an error unless it has ``exc_info``, and that is raised where the head has left already.
        """
        if exc_info:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response() was called again without exc_info")
        self._head = make_head(status, headers)
        return self.write

    def write(self, data):
        """PEP 3333 ``write``; raises ``ClientDisconnected`` (an ``OSError``) once the client has gone."""
        body = data if type(data) is bytes else as_bytes(data)
        if self._head is None:
            raise AssertionError("write() before start_response()")
        if self._gone:
            raise ClientDisconnected
        if body and self._send(body) and self._pool is not None:
            self._wait_for_room()

    def _begin_result(self):
        """Send what the application has returned; false where that goes on elsewhere."""
        result = self._result
        kind = type(result)
        if (kind is list or kind is tuple) and not self._begun and self._head is not None:
            body = self._join(result)
            if body is not None and (self._head.content_length < 0 or self._head.content_length == len(body)):
                self._begun = True
                self._finished = True
                # What HEAD would have got is unknown where the application leaves it out.
                if not body and self._head.content_length < 0 and self._request.method == "HEAD":
                    self._post(HEAD_ONLY, self._head, b"", True)
                else:
                    self._post(LAST, self._head, body, True)
                self._result = None
                return False
        elif kind is FileWrapper and self._send_file():
            return False
        self._iterator = iter(result)
        return self._pull()

    def _join(self, parts):
        """The parts of a list or tuple as one, unless they are too many bytes for that."""
        if len(parts) == 1:
            return parts[0] if type(parts[0]) is bytes else as_bytes(parts[0])
        size = 0
        for part in parts:
            size += len(part)
        return b"".join(parts) if size <= JOINED_BYTES else None

    def _pull(self):
        """Send the parts of the iterable; false where the rest has to wait (without threads)."""
        budget = PARTS_PER_TURN
        for part in self._iterator:
            body = part if type(part) is bytes else as_bytes(part)
            if self._gone or (body and not self._send(body)):
                return True
            if self._pool is None:
                budget -= 1
                if not self._sink.is_writable():
                    return False
                if budget <= 0:
                    self.go_on_soon()
                    return False
            else:
                self._wait_for_room()
        if not self._gone:
            self._finish()
        return True

    def _send(self, body):
        """Send a part that is not empty; whether the application is to go on."""
        head = None
        if not self._begun:
            if self._head is None:
                raise AssertionError("the application has sent a body without calling start_response()")
            head = self._head
            self._begun = True
            if is_bodyless(self._request, head.status):
                self._finished = True
                self._post(HEAD_ONLY, head, b"", False)
                return False
            self._left = head.content_length
        if self._left >= 0:
            if len(body) > self._left:
                if not self._finished:
                    self._finished = True
                    self._post(CUT_SHORT, head, body[: self._left], False)
                raise RuntimeError("response body is longer than its content-length")
            self._left -= len(body)
            if self._left == 0:
                self._finished = True
                self._post(LAST, head, body, False)
                return True
        elif self._finished:
            return False
        self._posted += len(body)
        self._post(PART, head, body, False)
        return True

    def _finish(self):
        """The iterable has come to its end."""
        if self._finished:
            return
        if not self._begun:
            head = self._head
            if head is None:
                raise AssertionError("the application has returned without calling start_response()")
            bodyless = is_bodyless(self._request, head.status)
            if head.content_length > 0 and not bodyless:
                raise RuntimeError("response body is shorter than its content-length")
            self._begun = True
            self._finished = True
            self._post(HEAD_ONLY if bodyless else LAST, head, b"", False)
        elif self._left > 0:
            raise RuntimeError("response body is shorter than its content-length")
        else:
            self._finished = True
            self._post(LAST, None, b"", False)

    def _fail(self, failure):
        """The application has raised: what is not whole yet will not become so."""
        is_told = not (self._gone and is_disconnect(failure))
        # The client's answer first: whatever becomes of the log, nobody waits for ever.
        if not self._finished:
            self._finished = True
            self._post(FAULT, None, b"", False)
        if is_told:
            self._application.log_failure(self._request, failure)

    def _close(self, ended):
        """Call the iterable's ``close``, whatever has happened before."""
        result = self._result
        self._result = None
        self._iterator = None
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as failure:
                self._application.log_failure(self._request, failure)
        if ended:
            self._post(NOTHING, None, b"", True)

    def _send_file(self):
        """Have the loop send the file that the application has wrapped; false where it has to be read here."""
        head = self._head
        if (
            self._begun
            or head is None
            or self._application.send_file is None
            or is_bodyless(self._request, head.status)
        ):
            return False
        opened = self._application.open_file(self._result.filelike, head.content_length)
        if opened is None:
            return False
        self._file = opened
        if head.content_length < 0:
            head.content_length = opened.count
            head.fields.append((b"content-length", b"%d" % opened.count))
        self._begun = True
        self._finished = True
        self._post(FILE, head, b"", False)
        return True

    def _post(self, step, head, body, ended):
        if self._pool is None:
            self.deliver(step, head, body, ended)
        else:
            self._pool.post(self, step, head, body, ended)

    def _wait_for_room(self):
        """In the application's thread: wait while it is too far ahead of the client."""
        while self._posted - self._taken > AHEAD_BYTES and not self._gone:
            if self._gate is None:
                self._gate = allocate_lock()
                self._gate.acquire()
            self._is_waiting = True
            # What has changed before that was set wakes nobody.
            if self._posted - self._taken <= AHEAD_BYTES or self._gone:
                self._is_waiting = False
                return
            self._gate.acquire()


def open_exchange(application, sink, request):
    exchange = WSGIExchange.__new__(WSGIExchange)
    exchange.begin(application, sink, request)
    return exchange


def as_bytes(body):
    """A body part that is not ``bytes``: copied, because its owner may change it."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"a part of the body must be bytes, not {body!r}")


class WSGIApplication(WSGICallable):
    """The user's WSGI application as the wire sees it: opens an exchange for each request."""

    def open(self, sink, request):
        return open_exchange(self, sink, request)
