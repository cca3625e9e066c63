"""The threads in which an application runs, and the way back to the event loop.

What costs is the hand-over: a thread that is woken for each request, and a loop that is woken for each answer, take
several times what parsing and answering do.  So

* a request is queued at once, but a thread is woken only at the end of the loop's turn, when all that was read has
  been queued;
* a thread goes on with the next request as long as there is one; while it runs Python code no other could run anyway,
  so at most one more is kept awake behind it (the standby), which takes over as soon as the first one blocks, and then
  wakes the next;
* answers gather in a deque, and the loop is told of the first only.

Threads are started when they are first needed.  They are daemons: one that is stuck in the application does not hold up
the end of the process.

Invariants: a job is in the queue or somebody has taken it out, and whoever has taken it out ends it.  Appending to the
queue comes before looking for an idle thread; a thread says that it is idle before it looks at the queue for the last
time.  So no job waits while all threads sleep.
"""

from _thread import allocate_lock
from collections import deque
from contextlib import suppress
from contextvars import Context
from threading import Thread

from ..contract import Exchange
from .bounds import FULL_LOG_S


class Job(Exchange):
    """What a thread does: one call of the application."""

    def run(self):
        """Runs in a thread; raises nothing."""
        raise NotImplementedError

    def deliver(self, step, head, body, ended):
        """What ``post`` was given, in the loop's thread."""
        raise NotImplementedError

    def begin_turn(self):
        """``deliver`` is about to be called, once or more."""
        raise NotImplementedError

    def end_turn(self):
        """Everything was delivered that stood together."""
        raise NotImplementedError

    def expire(self):
        """No thread was free in time; it will not run."""
        raise NotImplementedError


class ThreadPool:
    """Up to ``threads`` threads for the jobs of one event loop.

    ``limit`` jobs may wait for a thread, for ``timeout_s`` seconds each; 0 is no limit.
    """

    def __init__(self, host, threads, limit, timeout_s):
        self._host = host
        self.threads = threads
        self.started = 0
        self._limit = limit
        self._timeout_s = timeout_s
        self._queue = deque()
        # What was posted and not yet delivered: (job, step, head, body, ended).
        self._done = deque()
        # The locks on which idle threads sleep, the one that went to sleep last at the end: its caches are warm.
        self._idle = []
        self._growth = allocate_lock()
        self._context = Context()
        self._is_flushing = False
        self._is_told = False
        # A thread was woken and has not looked at the queue yet.
        self._has_standby = False
        self.closed = False
        self._full_since = -FULL_LOG_S
        self._refused = 0
        self._alive = set()

    # What the loop's thread calls.

    def submit(self, job):
        """Queue ``job``; whether there is room for it."""
        if self._limit > 0:
            waiting = len(self._queue) - len(self._idle) - (self.threads - self.started)
            if waiting >= self._limit:
                return False
        job.queued_at = self._host.clock.now
        self.submit_late(job)
        return True

    def submit_late(self, job):
        """Queue what remains to be done of a ``job`` that has run already."""
        self._queue.append(job)
        if not self._is_flushing:
            self._is_flushing = True
            self._host.call_soon(self._flush)

    def discard(self, job):
        """Take ``job`` out of the queue again; whether it was still there."""
        try:
            self._queue.remove(job)
        except ValueError:
            return False
        return True

    def sweep(self, now):
        """Expire the jobs that have waited too long; to be called at each tick."""
        while self._timeout_s > 0 and self._queue:
            try:
                job = self._queue.popleft()
            except IndexError:
                break
            if job is None or job.queued_at + self._timeout_s > now:
                self._queue.appendleft(job)
                break
            job.expire()
            self.note_full(now)
        if self._queue and not self._is_flushing:
            self._flush()

    def note_full(self, now):
        """A request found no thread; the log is told once in a while."""
        self._refused += 1
        if self._full_since + FULL_LOG_S <= now:
            self._full_since = now
            self._host.error_log.warning(
                "no thread was free for %d requests: all %d are busy (--threads)", self._refused, self.threads
            )
            self._refused = 0

    @property
    def busy(self):
        """How many threads are at work."""
        return self.started - len(self._idle)

    @property
    def waiting(self):
        """How many jobs wait for a thread."""
        return len(self._queue)

    @property
    def alive(self):
        """The threads that have not ended."""
        return [thread for thread in self._alive if thread.is_alive()]

    def close(self):
        """Have every thread end as soon as it has nothing to do; jobs that wait are forgotten."""
        self.closed = True
        self._queue.clear()
        for _ in range(self.started):
            self._queue.append(None)
        while self._idle:
            self._idle.pop().release()

    def _flush(self):
        """The loop's turn has ended: somebody is to look at the queue."""
        self._is_flushing = False
        if self._queue:
            self._wake_one()

    def _drain(self):
        """Deliver what the threads have posted; what comes meanwhile waits for the loop's next turn.

        What stands together of one job leaves together.
        """
        self._is_told = False
        count = len(self._done)
        last = None
        try:
            while count > 0:
                count -= 1
                item = self._done.popleft()
                job = item[0]
                if job is not last:
                    if last is not None:
                        last.end_turn()
                    last = job
                    job.begin_turn()
                job.deliver(item[1], item[2], item[3], item[4])
        finally:
            if last is not None:
                last.end_turn()

    # What any thread calls.

    def _wake_one(self):
        """Have one more thread look at the queue, unless one is about to."""
        if self._has_standby:
            return
        try:
            lock = self._idle.pop()
        except IndexError:
            if self.started < self.threads:
                self._start_thread()
            return
        self._has_standby = True
        lock.release()

    def _start_thread(self):
        with self._growth:
            if self.started >= self.threads or self.closed:
                return
            self._has_standby = True
            self.started += 1
            thread = Thread(target=self._work, name=f"fastserver-wsgi-{self.started}", daemon=True)
            self._alive.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            # The system has no thread left: those that there are go on, and the next request tries again.
            self.started -= 1
            self._has_standby = False
            self._alive.discard(thread)
            self._host.error_log.error("cannot start a thread: %s", error)

    def post(self, job, step, head, body, ended):
        """Have ``job.deliver`` called in the loop's thread, in the order of the posts."""
        self._done.append((job, step, head, body, ended))
        if not self._is_told:
            self._is_told = True
            try:
                self._host.loop.call_soon_threadsafe(self._drain, context=self._context)
            except RuntimeError:
                # The loop is closed: the thread was given up long ago.
                if not self.closed:
                    raise

    def _run(self, job):
        try:
            job.run()
        except BaseException as failure:
            # The log itself has failed, say: a thread outlives that.
            with suppress(BaseException):
                self._host.error_log.error("a thread could not finish a request", exc_info=failure)

    def _work(self):
        """The life of a thread."""
        lock = allocate_lock()
        lock.acquire()
        self._has_standby = False
        while True:
            while True:
                try:
                    job = self._queue.popleft()
                except IndexError:
                    break
                if job is None:
                    return
                if self._queue:
                    self._wake_one()
                self._run(job)
                job = None
            self._idle.append(lock)
            if self._queue:
                try:
                    self._idle.remove(lock)
                    continue
                except ValueError:
                    pass  # somebody has taken the lock, and releases it
            lock.acquire()
            self._has_standby = False
