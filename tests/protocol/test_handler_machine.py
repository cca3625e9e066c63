"""The protocol handler against its contract: any order of reads, ends, pauses, answers and failures."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.events import Closed, Event, RawData, Updated
from fastserver.protocol.facade import HandlerConnection
from tests.protocol.bench import Bench, spell

#: What the peer, the transport, the host or the user's code elsewhere may do next.
STEPS = (
    "read read read read eof lose block unblock drain tick settle settle cancel go_on go_on "
    "send hold release close abort"
).split()
#: What the handler may do with an event.
MOODS = "quiet echo echo hold release close abort fail wait wait".split()


class Moody:
    """Does with each event what the list of moods says; asserts that it hears one at a time."""

    def __init__(self, connection: HandlerConnection, moods: list[str]) -> None:
        self.connection = connection
        self.moods = list(moods)
        # What it heard, and SAID where it said itself that it is idle or active.
        self.heard: list[str] = []
        self.ended = False
        self.is_busy = False
        self.gate: asyncio.Future[None] | None = None

    def begin(self, event: Event) -> str:
        assert not self.is_busy
        self.heard.append(spell(event))
        return self.moods.pop() if self.moods else "echo"

    def react(self, mood: str, event: Event) -> object:
        if mood == "fail":
            self.ended = True
            raise ValueError(mood)
        if mood in ("abort", "close"):
            self.ended = True
            getattr(self.connection, mood)()
        if mood in ("hold", "release"):
            self.heard.append("SAID")
            return Updated(mood == "release")
        return event if mood == "echo" and isinstance(event, RawData) else None


class MoodyPlain(Moody):
    def handle(self, event: Event) -> object:
        return self.react(self.begin(event), event)


class MoodyCoroutine(Moody):
    async def handle_event(self, event: Event) -> object:
        mood = self.begin(event)
        self.is_busy = True
        try:
            if mood == "wait":
                self.gate = asyncio.get_running_loop().create_future()
                await self.gate
        finally:
            self.is_busy = False
        return self.react(mood, event)


class Run:
    """One connection, driven by steps; `sent` is what the peer has sent and the transport has read."""

    def __init__(self, kind: type[Moody], moods: list[str]) -> None:
        self.handlers: list[Any] = []
        self.bench = Bench(self.make(kind, moods))
        self.sent = b""
        self.is_over = False
        self.was_cancelled = False

    def make(self, kind: type[Moody], moods: list[str]) -> Any:
        def make(connection: HandlerConnection) -> Any:
            self.handlers.append(kind(connection, moods))
            return self.handlers[-1]

        return make

    def take(self, step: str) -> None:
        bench = self.bench
        connection = bench.connection
        if step == "settle":
            bench.loop.settle()
        elif step == "tick":
            bench.advance(40)
        elif connection.lost or (step in ("read", "eof") and (connection.reading_paused or self.is_over or bench.over)):
            return
        with bench.loop.running():
            if step == "read":
                data = b"%d," % len(self.sent)
                self.sent += data
                bench.protocol.handle(RawData(data))
            elif step == "eof":
                self.is_over = True
                bench.protocol.on_eof()
            elif step == "lose":
                connection.lost = True
                bench.protocol.handle(Closed())
            elif step == "block" and not bench.over:
                bench.protocol.pause_writing()
            elif step == "unblock" and not bench.over:
                bench.protocol.resume_writing()
            elif step == "drain":
                bench.protocol.drain()
            elif step == "cancel":
                for task in list(bench.host.tasks):
                    self.was_cancelled |= task.cancel()
            else:
                self.take_elsewhere(step)

    def take_elsewhere(self, step: str) -> None:
        """What the user's code does outside of its handler."""
        for handler in self.handlers:
            if step == "go_on" and handler.gate is not None and not handler.gate.done():
                handler.gate.set_result(None)
            elif step == "send":
                handler.connection.send(RawData(b"."))
            elif step in ("hold", "release"):
                handler.heard.append("SAID")
                handler.connection.send(Updated(step == "release"))
            elif step in ("close", "abort"):
                handler.ended = True
                getattr(handler.connection, step)()

    def finish(self) -> None:
        """Let everything that waits go on, and lose the connection."""
        for _ in range(3):
            if not self.bench.connection.lost:
                self.take("lose")
            with self.bench.loop.running():
                self.take_elsewhere("go_on")
            self.bench.loop.settle()
        while any(handler.gate is not None and not handler.gate.done() for handler in self.handlers):
            with self.bench.loop.running():
                self.take_elsewhere("go_on")
            self.bench.loop.settle()


@pytest.mark.parametrize("kind", [MoodyPlain, MoodyCoroutine])
@settings(max_examples=100)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=30), moods=st.lists(st.sampled_from(MOODS), max_size=12))
def test_any_order(kind: type[Moody], steps: list[str], moods: list[str]) -> None:
    run = Run(kind, moods)
    for step in steps:
        run.take(step)
    run.finish()
    bench = run.bench
    assert bench.loop.faults == []
    assert bench.connection.breaches == []
    assert not bench.host.tasks
    assert len(run.handlers) <= 1
    for handler in run.handlers:
        check(run, handler)


def check(run: Run, handler: Moody) -> None:
    """The contract of what a handler hears."""
    heard = [word for word in handler.heard if word != "SAID"]
    assert heard.count("CLOSED") == 1
    assert heard[-1] == "CLOSED"
    assert heard[0] == "IDLE" or len(heard) == 1
    data = "".join(word for word in heard if word.endswith(",")).encode()
    assert run.sent.startswith(data)
    if not (handler.ended or run.was_cancelled):
        # What was read is heard, however the connection ended, unless this side has ended it.
        assert data == run.sent or run.bench.connection.closed
    for before, after in itertools.pairwise(handler.heard):
        assert before != after or before not in ("IDLE", "ACTIVE")
        assert before != "ACTIVE" or after.endswith(",") or after in ("CLOSED", "SAID")
    told = run.bench.connection.updates
    assert all(before is not after for before, after in itertools.pairwise(told))
    assert told[:1] in ([], [False])
    assert all("ValueError" in fault or "was cancelled" in fault for fault in run.bench.faults)
