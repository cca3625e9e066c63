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
from asyncio import CancelledError, Task
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

    def __init__(self, coroutine, exchange, sink, context):
        self._coroutine = coroutine
        self._exchange = exchange
        self._sink = sink
        # The context to enter at each step; None where the task itself enters it.
        self._context = context
        # What the eager first step yielded and no task has seen yet.
        self._yielded = None

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._yielded is not None:
            yielded = self._yielded
            self._yielded = None
            return yielded
        yielded = self.step()
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

    def step(self):
        """Run to the next suspension: what was yielded, or ``DONE``.  Raises nothing but cancellation."""
        return self._take_step(None)

    def suspend(self, yielded):
        """Hand ``yielded`` to the task that is to be, at its first step; where a task enters the context, let it."""
        self._yielded = yielded
        if _TASK_TAKES_CONTEXT:
            self._context = None

    def _take_step(self, error):
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

    __slots__ = ("_driver", "_home", "_is_initialised", "_task_context")

    def materialise(self):
        """Become a real task, which takes its first step at the loop's next turn."""
        if self._is_initialised:
            return
        self._is_initialised = True
        cancelled = self._must_cancel
        cancellations = self.cancelling() if _TASK_TAKES_CONTEXT else int(cancelled)
        if _TASK_TAKES_CONTEXT:
            Task.__init__(self, self._driver, loop=self._home.loop, context=self._task_context)
        else:
            Task.__init__(self, self._driver, loop=self._home.loop)
        self._home.tasks.add(self)
        Task.add_done_callback(self, self._home.tasks.discard)
        # A cancellation that came while there was nothing to cancel must not be lost.
        for _ in range(cancellations):
            self.cancel()

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
    if _EAGER_TASKS:
        task = Task(Driver(coroutine, exchange, sink, None), loop=host.loop, eager_start=True)
        if not task.done():
            host.tasks.add(task)
            task.add_done_callback(host.tasks.discard)
        return
    _start_by_hand(host, exchange, sink, coroutine)


def _start_by_hand(host, exchange, sink, coroutine):
    context = copy_context()
    driver = Driver(coroutine, exchange, sink, context)
    task = EagerTask.__new__(EagerTask)
    task._driver = driver
    task._home = host
    task._task_context = context
    task._is_initialised = False
    loop = host.loop
    _enter_task(loop, task)
    try:
        yielded = driver.step()
    except CancelledError:
        # The application cancelled itself in its first step; the exchange knows.
        yielded = DONE
    finally:
        _leave_task(loop, task)
    if yielded is not DONE:
        driver.suspend(yielded)
        task.materialise()
    # Break the cycle driver - task only where the task does not live on.
    task._driver = None
