"""What became of each request: the judgement, and the book of all requests of a run.

A request is *failed* by the definition of ``docs/reliability.md``: after its connection was accepted it got anything
but its own right answer, and the server did not say, by the rules of its protocol, that it has not touched it.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from bench.faults.truth import START, Truth


class Outcome(Enum):
    """The last word on one request."""

    OPEN = "open"  # not judged yet
    OK = "answered rightly"
    TOLD = "told not taken"  # above the last stream of a GOAWAY, REFUSED_STREAM, a WebSocket closed by 1001 or 1012
    REFUSED = "refused"  # no connection: nothing was sent
    STALE = "stale"  # on a connection that was idle and open when the request was sent; not a byte of an answer
    RESET = "reset"
    ENDED = "ended"  # closed in order, without a byte of an answer
    CUT = "cut"  # the answer began, and broke off
    WRONG = "wrong"  # another status, another's body, not HTTP at all
    TIMEOUT = "timed out"
    HANDSHAKE = "handshake"  # TLS or WebSocket did not come about on an accepted connection
    REPEATED = "executed twice"


#: What counts as failed.  REFUSED does too, but where the listener is known to be closed.
FAILED = frozenset(Outcome) - {Outcome.OPEN, Outcome.OK, Outcome.TOLD, Outcome.REFUSED}


@dataclass(slots=True)
class Attempt:
    """One request.  ``owner`` is the worker that the connection was known to lead to, 0 where nothing was known.

    ``started``, ``sent`` and ``ended`` are monotonic seconds: of the connect or the wait for a connection, of the first
    byte, of the judgement.  ``closing`` says that the answer announced the connection's end.
    """

    ident: str
    kind: str
    started: float
    owner: int = 0
    reused: bool = False
    sent: float = 0.0
    ended: float = 0.0
    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    pid: int = 0
    generation: str = ""
    closing: bool = False
    serial: str = ""

    def judge(self, outcome: Outcome, detail: str = "") -> "Attempt":
        """Say what became of it; the first word counts."""
        if self.outcome is Outcome.OPEN:
            self.outcome, self.detail, self.ended = outcome, detail, time.monotonic()
        return self

    @property
    def failed(self) -> bool:
        return self.outcome in FAILED

    def describe(self) -> str:
        """For a report: what it was and how it ended."""
        where = f" on worker {self.owner}" if self.owner else ""
        since, what = (self.sent, "sent") if self.sent else (self.started, "begun")
        took = f", {1000 * (self.ended - since):.0f} ms after it was {what}" if self.ended else ""
        return f"{self.kind} {self.ident}{where}: {self.outcome.value}{': ' if self.detail else ''}{self.detail}{took}"


@dataclass(slots=True)
class Book:
    """All requests of one run, each with an id that no other run has."""

    prefix: str
    attempts: list[Attempt] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def open(self, kind: str) -> Attempt:
        """Enter a request that is about to begin."""
        attempt = Attempt(f"{self.prefix}-{next(self._numbers)}", kind, time.monotonic())
        self.attempts.append(attempt)
        return attempt

    def settle(self, testimony: Truth) -> None:
        """Set what the client saw against what the application saw: executed twice, or executed though disclaimed."""
        for attempt in self.attempts:
            starts = testimony.count(START, attempt.ident)
            if starts > 1:
                _overrule(attempt, Outcome.REPEATED, f"{starts} times")
            elif attempt.outcome is Outcome.OK and not starts:
                _overrule(attempt, Outcome.WRONG, "answered, but the application never saw it")
            elif starts and attempt.outcome is Outcome.REFUSED:
                _overrule(attempt, Outcome.WRONG, "executed, although the connection was refused")
            elif starts and attempt.outcome is Outcome.TOLD and not attempt.kind.startswith("ws"):
                _overrule(attempt, Outcome.WRONG, f"executed, although the client was told otherwise: {attempt.detail}")

    def counts(self) -> Counter[Outcome]:
        return Counter(attempt.outcome for attempt in self.attempts)

    def select(self, *outcomes: Outcome) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.outcome in outcomes]

    @property
    def failures(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.failed]


def _overrule(attempt: Attempt, outcome: Outcome, detail: str) -> None:
    attempt.outcome, attempt.detail = outcome, detail


def find_executor(testimony: Truth, attempt: Attempt) -> int:
    """The process that began to execute it, or 0."""
    sighting = testimony.find(START, attempt.ident)
    return sighting.pid if sighting is not None else 0


def tell_counts(attempts: Iterable[Attempt]) -> str:
    """``3 reset, 1 cut`` of these, the most frequent first."""
    counts = Counter(attempt.outcome.value for attempt in attempts)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
