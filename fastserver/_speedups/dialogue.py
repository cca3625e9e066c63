"""What every exchange with an ASGI application is made of: the awaitables of ``receive`` and ``send``, the waiting for
them, and the scope.

``receive`` and ``send`` return awaitables that are ready wherever nothing must be waited for: no future, no coroutine,
no task.  ``Dialogue`` is the exchange that they belong to, ``ASGIApplication`` the user's callable; each kind of
exchange (modules ``http`` and ``websocket.exchange``) derives from ``Dialogue`` and gives what stands last in it.
"""

from logging import INFO, WARNING
from urllib.parse import quote

from .asgi import Constants, as_coroutine_function
from .contract import Application, Exchange
from .fields import HTTP_1_1
from .identity import describe
from .task import start as start_task


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


class Dialogue(Exchange):
    """One call of the application: what the exchanges of all kinds have in common."""

    def begin_dialogue(self, application, sink, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._application = application
        self._host = application.host
        self._sink = sink
        self._request = request
        self._waiters = None

    def call_application(self, scope):
        """Run the application's first step."""
        try:
            coroutine = self._application.app(scope, self.receive, self.send)
        except BaseException as failure:
            self.on_application_end(failure)
            return
        start_task(self._host, self, self._sink, coroutine)

    def receive(self):
        """ASGI ``receive``: an awaitable of the next message."""
        return Receiving(self)

    # What its awaitables call.

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

    def wake(self):
        """Something has changed: whoever waits looks again."""
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # What a kind of exchange gives.

    def send(self, message):
        """ASGI ``send``; it acts when it is called, so what it refuses it raises at once."""
        raise NotImplementedError

    def take_message(self):
        """The next message for the application, or ``None`` where it must wait for one."""
        raise NotImplementedError

    def must_wait(self):
        """Whether ``send`` has to wait for room; raises once the client has gone."""
        raise NotImplementedError


class ASGIApplication(Application):
    """The user's ASGI application: how it is called, its scopes, and what the log says of it.

    ``state`` is the lifespan's namespace, or ``None`` where the application has no lifespan.
    """

    def __init__(self, app, host, root_path=""):
        self.app = as_coroutine_function(app)
        self.host = host
        self.state = None
        self.root_path = root_path
        self._raw_root_path = quote(root_path).encode("ascii")

    def open_response(self, sink, request):
        """A ``Dialogue`` that answers ``request`` with an HTTP response by ``http.response.*`` messages."""
        raise NotImplementedError

    def make_template(self, kind, scheme):
        """A scope of ``kind`` with the common values; what only this kind has its caller adds.

        Every key in its place: copying a dictionary and replacing values is cheaper than building one.
        """
        return {
            "type": kind,
            "asgi": Constants(version="3.0", spec_version="2.5"),
            "http_version": HTTP_1_1,
            "scheme": scheme,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.root_path,
            "headers": None,
            "client": None,
            "server": None,
            "extensions": None,
        }

    def make_scope(self, template, extensions, request, peer):
        """A fresh scope; nothing in it is shared with another request but immutable values.

        What only one kind of scope has, or has in another way, its caller sets: method, scheme, subprotocols.
        """
        root_path = self.root_path
        scope = template.copy()
        # The template holds the common values, so only what differs is set.
        if request.http_version != HTTP_1_1:
            scope["http_version"] = request.http_version
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
        scope["extensions"] = extensions.copy()
        if self.state is not None:
            scope["state"] = self.state.copy()
        if peer.tls is not None:
            scope["extensions"]["tls"] = peer.tls.copy()
        return scope

    def log_failure(self, request, failure):
        facts = describe(self.host, request)
        self.host.error_log.error("exception in the application: %s", _name(request), exc_info=failure, extra=facts)

    def log_cancelled(self, request):
        """A stop cancels what lasts too long; otherwise the application has cancelled itself, which is a fault."""
        level = INFO if self.host.draining else WARNING
        self.host.error_log.log(level, "request cancelled: %s", _name(request), extra=describe(self.host, request))

    def log_unfinished(self, request, expected):
        self.host.error_log.error(
            "the application returned without completing the response (%s was expected): %s",
            expected,
            _name(request),
            extra=describe(self.host, request),
        )


def _name(request):
    """What the log calls a request."""
    return f"{request.method} {request.raw_path.decode('ascii', 'backslashreplace')}"
