"""Eager start: the application's first step runs at once, and becomes a task only if it suspends.

Making a task and waiting for the loop's next turn costs more than parsing a request, and most handlers never suspend.
What the application sees is a task from its first instruction: ``asyncio.current_task()`` is one object throughout,
and timeouts, task groups, cancel scopes, cancellation and context variables work as in any task.

* CPython 3.12 and later: ``asyncio.Task(eager_start=True)`` does it.
* CPython 3.10 and 3.11: an ``EagerTask`` is allocated but not initialised, entered as the current task, and the
  coroutine is stepped by hand.  If it suspends, or asks its task for something that needs an initialised one, that same
  object is initialised as a task around the ``Driver``, which first hands over the future that was yielded already.
  Until then it is not among ``asyncio.all_tasks()``; in everything else that its application can see it is a task.
"""

import sys
from asyncio import CancelledError as CancelledError
from asyncio import Task
from asyncio.tasks import _enter_task, _leave_task
from contextvars import copy_context

from .kernels import DONE, resume

if sys.version_info < (3, 12):
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined]

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
        # What the eager first step yielded, whether the task is yet to see it, and whether it is a future to wait for.
        self._yielded = None
        self._is_kept = False
        self._is_awaited = False
        # Arguments of the cancellation that ended the first step, for a task that was made during that step.
        self._cancelled = None
        # Whether a real task drives this.
        self.has_task = False

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._is_kept:
            return self._hand_over()
        yielded = self._take_step(None)
        if yielded is DONE:
            raise StopIteration
        return yielded

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        error = value if value is not None else kind if isinstance(kind, BaseException) else kind()
        if self._is_kept:
            is_awaited = self._is_awaited
            yielded = self._hand_over()
            # The task was cancelled before it saw what it waits for: cancel that, as Task.cancel does, and wait.  The
            # message goes along: anyio knows its own cancellations by it.
            if is_awaited and isinstance(error, CancelledError) and yielded.cancel(*error.args):
                return yielded
        try:
            yielded = self._take_step(error)
        finally:
            # An exception's traceback holds this frame, uncompiled, which must not hold the exception.
            del kind, value, error
        if yielded is DONE:
            raise StopIteration
        return yielded

    def close(self):
        if self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None

    def __getattr__(self, name):
        if name.startswith(("cr_", "gi_", "__name__", "__qualname__")):
            return getattr(self._coroutine, name)
        raise AttributeError(name)

    def start_by_hand(self):
        """Run the first step as if in a task (CPython 3.10 and 3.11), and make the task if it suspends."""
        loop = self._host.loop
        task = EagerTask.__new__(EagerTask)
        task.driver = self
        self._context = copy_context()
        # Where somebody feeds the wire from within a task, that one steps aside for this step, as in CPython 3.12.
        outer = _current_tasks.get(loop)
        if outer is not None:
            _leave_task(loop, outer)
        _enter_task(loop, task)
        try:
            yielded = self._take_step(None)
        except CancelledError as cancelled:
            # The exchange knows; a task that was made meanwhile is to end in the same way.
            self._cancelled = cancelled.args
            yielded = DONE
        finally:
            _leave_task(loop, task)
            if outer is not None:
                _enter_task(loop, outer)
        if yielded is not DONE:
            # A bare yield asks for the loop's next turn; a task that is made now comes no sooner.
            if yielded is not None or self.has_task:
                self._keep(yielded)
            self.make_task(task)
            if _TASK_TAKES_CONTEXT:
                self._context = None

    def make_task(self, task):
        """Initialise ``task`` around this driver, once; its first step comes at the loop's next turn."""
        if self.has_task:
            return
        self.has_task = True
        host = self._host
        # A cancellation that came while there was nothing to cancel must outlast the initialisation.
        must_cancel = task._must_cancel
        message = task._cancel_message if must_cancel else None
        cancellations = task.cancelling() if must_cancel and _TASK_TAKES_CONTEXT else 1
        if _TASK_TAKES_CONTEXT:
            Task.__init__(task, self, loop=host.loop, context=self._context)
        else:
            Task.__init__(task, self, loop=host.loop)
        host.tasks.add(task)
        Task.add_done_callback(task, host.tasks.discard)
        if must_cancel:
            for _ in range(max(cancellations, 1)):
                task.cancel(message)
            if cancellations == 0:
                # Cancelled and uncancelled: CPython 3.11 interrupts the next wait all the same.
                task.uncancel()

    def _keep(self, yielded):
        """Take what the application yielded as a task does: a future's mark is lifted, for others may await it too."""
        self._yielded = yielded
        self._is_kept = True
        self._is_awaited = getattr(yielded, "_asyncio_future_blocking", None) is True
        if self._is_awaited:
            yielded._asyncio_future_blocking = False

    def _hand_over(self):
        """Give to the task what was kept for it."""
        yielded = self._yielded
        self._yielded = None
        self._is_kept = False
        if self._is_awaited:
            self._is_awaited = False
            yielded._asyncio_future_blocking = True
        return yielded

    def _take_step(self, error):
        """Run to the next suspension: what was yielded, or ``DONE``.  Raises nothing but cancellation."""
        if self._coroutine is None:
            if self._cancelled is not None:
                raise CancelledError(*self._cancelled)
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
            error = None
            self._sink.uncork()

    def _throw(self, error):
        try:
            if self._context is None:
                return self._coroutine.throw(error)
            return self._context.run(self._coroutine.throw, error)
        except StopIteration:
            return DONE
        finally:
            error = None

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

    def remove_done_callback(self, callback):
        self.materialise()
        return Task.remove_done_callback(self, callback)

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
