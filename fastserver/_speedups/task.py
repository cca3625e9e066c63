"""Eager start: the application's first step runs at once, and becomes a task only if it suspends.

Making a task and waiting for the loop's next turn costs more than parsing a request, and most handlers never suspend.
What the application sees is a task from its first instruction: ``asyncio.current_task()`` is one object throughout,
and timeouts, task groups, cancel scopes, cancellation and context variables work as in any task.

* CPython 3.12 and later: ``asyncio.Task(eager_start=True)`` does it.
* CPython 3.10 and 3.11: an ``EagerTask`` is allocated but not initialised, entered as the current task, and the coroutine
  is stepped by hand.  If it suspends, or asks its task for something that needs an initialised one, that same object is
  initialised as a task around the ``Driver``, which first hands over the future that was yielded already.
"""

import sys
from asyncio import CancelledError, Task, current_task
from asyncio.tasks import _enter_task, _leave_task
from contextvars import copy_context

from .kernels import DONE, resume

_EAGER_TASKS = sys.version_info >= (3, 12)
_TASK_TAKES_CONTEXT = sys.version_info >= (3, 11)


class Driver:
    """A coroutine around the application's, which tells the exchange where each step begins and ends.

    A ``Task`` drives it like any coroutine.  Introspection (``cr_frame`` and its kin, as ``Task.print_stack`` and anyio
    use them) answers for the application's coroutine.
    """

    def open(self, host, exchange, sink, coroutine):
        """Take an application's coroutine; what ``__init__`` would do, without its argument tuple."""
        self._host = host
        self._exchange = exchange
        self._sink = sink
        self._coroutine = coroutine
        # The context to enter at each step; None where the task itself enters it.
        self._context = None
        # What the eager first step yielded and no task has seen yet.
        self._yielded = None
        # Whether a real task drives this.
        self.has_task = False

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._yielded is not None:
            yielded = self._yielded
            self._yielded = None
            return yielded
        yielded = self._take_step(None)
        if yielded is DONE:
            raise StopIteration
        return yielded

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        error = value if value is not None else kind if isinstance(kind, BaseException) else kind()
        if self._yielded is not None:
            yielded = self._yielded
            self._yielded = None
            # The task was cancelled before it saw what it waits for: cancel that, as Task.cancel does, and wait.
            if isinstance(error, CancelledError) and yielded.cancel():
                return yielded
        yielded = self._take_step(error)
        if yielded is DONE:
            raise StopIteration
        return yielded

    def close(self):
        if self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None

    def __getattr__(self, name):
        if name.startswith(("cr_", "__name__", "__qualname__")):
            return getattr(self._coroutine, name)
        raise AttributeError(name)

    def start_by_hand(self):
        """Run the first step as if in a task (CPython 3.10 and 3.11), and make the task if it suspends."""
        loop = self._host.loop
        task = EagerTask.__new__(EagerTask)
        task.driver = self
        self._context = copy_context()
        outer = None
        try:
            _enter_task(loop, task)
        except RuntimeError:
            # Somebody feeds the wire from within a task (a test, a nested loop): that one steps aside, as in 3.12.
            outer = current_task(loop)
            _leave_task(loop, outer)
            _enter_task(loop, task)
        try:
            yielded = self._take_step(None)
        except CancelledError:
            # The application cancelled itself in its first step; the exchange knows.
            yielded = DONE
        finally:
            _leave_task(loop, task)
            if outer is not None:
                _enter_task(loop, outer)
        if yielded is not DONE:
            self._yielded = yielded
            self.make_task(task)
            if _TASK_TAKES_CONTEXT:
                self._context = None

    def make_task(self, task):
        """Initialise ``task`` around this driver, once; its first step comes at the loop's next turn."""
        if self.has_task:
            return
        self.has_task = True
        host = self._host
        cancellations = task.cancelling() if _TASK_TAKES_CONTEXT else int(task._must_cancel)
        if _TASK_TAKES_CONTEXT:
            Task.__init__(task, self, loop=host.loop, context=self._context)
        else:
            Task.__init__(task, self, loop=host.loop)
        host.tasks.add(task)
        Task.add_done_callback(task, host.tasks.discard)
        # A cancellation that came while there was nothing to cancel must not be lost.
        for _ in range(cancellations):
            task.cancel()

    def _take_step(self, error):
        """Run to the next suspension: what was yielded, or ``DONE``.  Raises nothing but cancellation."""
        if self._coroutine is None:
            return DONE
        self._sink.cork()
        try:
            if error is None:
                yielded = resume(self._coroutine, self._context)
            else:
                yielded = self._throw(error)
            if yielded is DONE:
                self._finish(None)
            return yielded
        except CancelledError as cancelled:
            self._finish(cancelled)
            raise
        except BaseException as failure:
            # SystemExit and KeyboardInterrupt too: a request must not end the worker.
            self._finish(failure)
            return DONE
        finally:
            self._sink.uncork()

    def _throw(self, error):
        try:
            if self._context is None:
                return self._coroutine.throw(error)
            return self._context.run(self._coroutine.throw, error)
        except StopIteration:
            return DONE

    def _finish(self, failure):
        self._coroutine = None
        self._exchange.on_application_end(failure)


class EagerTask(Task):
    """A task that is initialised only when it must be (CPython 3.10 and 3.11)."""

    __slots__ = ("driver",)

    def materialise(self):
        """Become a real task now, in the middle of the first step."""
        self.driver.make_task(self)

    # What needs an initialised task makes it one.

    def get_loop(self):
        self.materialise()
        return Task.get_loop(self)

    def get_name(self):
        self.materialise()
        return Task.get_name(self)

    def set_name(self, value):
        self.materialise()
        Task.set_name(self, value)

    def get_coro(self):
        self.materialise()
        return Task.get_coro(self)

    def add_done_callback(self, callback, *, context=None):
        self.materialise()
        Task.add_done_callback(self, callback, context=context)

    def get_stack(self, *, limit=None):
        self.materialise()
        return Task.get_stack(self, limit=limit)

    def print_stack(self, *, limit=None, file=None):
        self.materialise()
        Task.print_stack(self, limit=limit, file=file)

    def __repr__(self):
        self.materialise()
        return Task.__repr__(self)


def start(host, exchange, sink, coroutine):
    """Run the first step of an application's coroutine now, as a task of ``host.loop``.

    Ends in ``exchange.on_application_end`` now or later; a task that suspended stands in ``host.tasks`` until it ends.
    """
    driver = Driver.__new__(Driver)
    driver.open(host, exchange, sink, coroutine)
    if _EAGER_TASKS:
        task = Task(driver, loop=host.loop, eager_start=True)
        if not task.done():
            host.tasks.add(task)
            task.add_done_callback(host.tasks.discard)
    else:
        driver.start_by_hand()
