"""Who hears of a worker's events: observers, called in place, each shielded from the others and the server from all.

An observer's fault is its own: it is logged once with its traceback, counted ever after, and goes no further.  One that
takes long holds up the loop, which nothing can prevent; it is found by timing some of the calls, and told of once.
"""

from .events import Closed, RawData, Updated
from .kernels import read_timer

#: Every so many events the observers are timed (a power of two), and what is long enough to be told of; seconds.
_SAMPLE = 64
_SLOW_S = 0.05


#: What an observer hears unless it says otherwise.
EVENTS = (RawData, Updated, Closed)


class Observer:
    """One observer: ``hear(connection, direction, event)``, and the name that logs and metrics know it by.

    ``take`` gets what ``hear`` returns where that is not ``None``: an awaitable, most likely.  ``hears`` are the events
    that it wants.
    """

    def __init__(self, hear, name, log, take, hears=EVENTS):
        self.hear = hear
        self.hears = hears
        self.take = take
        self.name = name
        self.errors = 0
        self._log = log
        self._was_slow = False

    def fail(self, error):
        """``hear`` has raised ``error``."""
        self.errors += 1
        if self.errors == 1:
            self._log.error("observer %s failed; further failures of it are only counted", self.name, exc_info=error)

    def note_duration(self, seconds):
        """``hear`` took so long."""
        if seconds > _SLOW_S and not self._was_slow:
            self._was_slow = True
            self._log.warning(
                "observer %s took %.0f ms for one event, in which this worker served nobody: make it async, or hand "
                "its work to a thread",
                self.name,
                seconds * 1000,
            )


class Observers:
    """All observers of a worker, in the order in which they were given."""

    def __init__(self, observers):
        self.all = tuple(observers)
        # Those who want an event of a kind: an observer costs nothing where it hears nothing.
        self._of_data = tuple(observer for observer in self.all if RawData in observer.hears)
        self._of_updates = tuple(observer for observer in self.all if Updated in observer.hears)
        self._of_ends = tuple(observer for observer in self.all if Closed in observer.hears)
        self.hears_data = bool(self._of_data)
        self._heard = 0

    def notify(self, connection, direction, event):
        """Let each hear of ``event``; raises nothing."""
        if type(event) is RawData:
            observers = self._of_data
        elif type(event) is Updated:
            observers = self._of_updates
        else:
            observers = self._of_ends
        if not observers:
            return
        self._heard += 1
        if self._heard % _SAMPLE == 1:
            self._notify_timed(observers, connection, direction, event)
            return
        for observer in observers:
            try:
                answer = observer.hear(connection, direction, event)
                if answer is not None:
                    observer.take(answer)
            except BaseException as error:
                observer.fail(error)

    def _notify_timed(self, observers, connection, direction, event):
        for observer in observers:
            started_s = read_timer()
            try:
                answer = observer.hear(connection, direction, event)
                if answer is not None:
                    observer.take(answer)
            except BaseException as error:
                observer.fail(error)
            observer.note_duration(read_timer() - started_s)
