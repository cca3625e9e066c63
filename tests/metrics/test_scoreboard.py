"""The shared board: who is counted when, and what a writer leaves behind that was killed while it wrote."""

import contextlib
import functools
import logging
import mmap
import os
import select
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastserver.metrics.scoreboard import PAST_BYTES, SLOT_BYTES, Scoreboard, _Record
from tests.metrics.samples import make_snapshot

LOG = logging.getLogger("tests.metrics.scoreboard")


def make_scoreboard(slots: int = 2) -> Scoreboard:
    return Scoreboard(slots, 1000.0, LOG)


def claim(board: Scoreboard) -> int:
    slot = board.claim()
    assert slot is not None
    return slot


@contextlib.contextmanager
def forked(work: Callable[[Callable[[], object]], None]) -> Iterator[int]:
    """A child that does ``work``; its pid, once it has called the function that ``work`` gets.  Killed at the end."""
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        try:
            work(functools.partial(os.write, writer, b"!"))
            while os.getppid() == parent:
                signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert select.select([reader], [], [], 10.0)[0]
        assert os.read(reader, 1) == b"!"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_new_board_is_empty() -> None:
    board = make_scoreboard().read()
    assert (board.started, board.past, board.workers) == (1000.0, {}, ())
    assert board.total() == {}


def test_one_process() -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)
    for count in range(5):
        scoreboard.publish(slot, make_snapshot(bytes_in=count))
        assert scoreboard.read().workers == (make_snapshot(bytes_in=count),)
    scoreboard.retire(slot)
    board = scoreboard.read()
    assert board.workers == ()
    assert board.past["bytes_in"] == 4
    assert "gauges" not in board.past


def test_slots_run_out_and_come_back() -> None:
    scoreboard = make_scoreboard(2)
    assert (scoreboard.claim(), scoreboard.claim(), scoreboard.claim()) == (0, 1, None)
    scoreboard.retire(0)
    assert (scoreboard.claim(), scoreboard.claim()) == (0, None)


def test_what_a_slot_holds_of_the_dead_is_not_its_next_owners() -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)
    scoreboard.publish(slot, {"bytes_in": 7})
    scoreboard.retire(slot)
    assert scoreboard.claim() == slot
    assert scoreboard.read().workers == ()
    assert scoreboard.read().total() == {"bytes_in": 7}
    # It dies before it has published anything.
    scoreboard.retire(slot)
    assert scoreboard.read().total() == {"bytes_in": 7}
    assert scoreboard.claim() == slot
    scoreboard.publish(slot, {"bytes_in": 2})
    assert scoreboard.read().total() == {"bytes_in": 9}


def test_retiring_twice_and_publishing_late_count_nothing() -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)
    scoreboard.publish(slot, {"bytes_in": 7})
    scoreboard.retire(slot)
    scoreboard.retire(slot)
    scoreboard.publish(slot, {"bytes_in": 8})
    assert (scoreboard.read().workers, scoreboard.read().total()) == ((), {"bytes_in": 7})


def test_a_child_publishes_and_other_processes_read() -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)

    def work(ready: Callable[[], object]) -> None:
        scoreboard.publish(slot, make_snapshot(os.getpid()))
        ready()

    with forked(work) as pid:
        assert scoreboard.read().workers == (make_snapshot(pid),)
    # The dead one's last words stay until it is retired.
    assert scoreboard.read().workers == (make_snapshot(pid),)
    scoreboard.retire(slot)
    assert scoreboard.read().total()["bytes_in"] == 500


def test_a_process_that_was_forked_before_sees_what_comes_after() -> None:
    scoreboard = make_scoreboard(2)
    old = claim(scoreboard)
    scoreboard.publish(old, {"bytes_in": 1})
    requests, answers = os.pipe(), os.pipe()

    def work(ready: Callable[[], object]) -> None:
        ready()
        while os.read(requests[0], 1):
            board = scoreboard.read()
            os.write(answers[1], b"%d %d\n" % (board.total()["bytes_in"], len(board.workers)))

    def ask() -> bytes:
        os.write(requests[1], b"?")
        return os.read(answers[0], 100)

    try:
        with forked(work):
            assert ask() == b"1 1\n"
            scoreboard.retire(old)
            assert ask() == b"1 0\n"
            scoreboard.publish(claim(scoreboard), {"bytes_in": 5})
            assert ask() == b"6 1\n"
    finally:
        for fd in (*requests, *answers):
            os.close(fd)


def test_readers_see_whole_snapshots_of_a_writer_that_is_killed() -> None:
    """Killed at any moment of a tight loop, twelve times: each read is whole, and the totals never go down."""
    scoreboard = make_scoreboard(1)
    seen = 0
    for _ in range(12):
        slot = claim(scoreboard)

        def work(ready: Callable[[], object], slot: int = slot, parent: int = os.getpid()) -> None:
            count = 0
            while os.getppid() == parent:
                count += 1
                # Of a different length each time, and all of one number: halves of two cannot pass for one.
                scoreboard.publish(slot, {"bytes_in": count, "same": [count] * (1 + count % 300)})
                if count == 1:
                    ready()

        with forked(work):
            for _ in range(25):
                board = scoreboard.read()
                (worker,) = board.workers
                assert worker["same"] == [worker["bytes_in"]] * (1 + worker["bytes_in"] % 300)
                total = board.total()["bytes_in"]
                assert total >= seen
                seen = total
        (worker,) = scoreboard.read().workers
        assert worker["same"] == [worker["bytes_in"]] * (1 + worker["bytes_in"] % 300)
        before = scoreboard.read().total()["bytes_in"]
        scoreboard.retire(slot)
        board = scoreboard.read()
        assert board.workers == ()
        assert board.total()["bytes_in"] == before >= seen


def test_totals_never_go_down_while_workers_come_and_go() -> None:
    """A reader in another process, while slots are claimed, published to and retired as fast as possible.

    What is counted twice for a moment goes down after it, what is not counted goes down at once.
    """
    scoreboard = make_scoreboard(3)
    reads, writes = os.pipe()

    def work(ready: Callable[[], object]) -> None:
        ready()
        last = 0
        for _ in range(400):
            total = scoreboard.read().total().get("bytes_in", 0)
            if total < last:
                os.write(writes, b"from %d to %d" % (last, total))
                return
            last = total
        os.write(writes, b"ok")

    try:
        with forked(work):
            living: list[int] = []
            while not select.select([reads], [], [], 0.0)[0]:
                if len(living) == 3:
                    scoreboard.retire(living.pop(0))
                living.append(claim(scoreboard))
                for count in (1, 2):
                    scoreboard.publish(living[-1], {"bytes_in": count})
            assert os.read(reads, 100) == b"ok"
    finally:
        os.close(reads)
        os.close(writes)


@pytest.mark.parametrize("before", range(4))
def test_a_worker_that_is_replaced_during_a_read_is_counted_once(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retired, and its slot taken by the next, ``before`` each of the three records that a read looks at, and after."""
    scoreboard = make_scoreboard(2)
    first, second = claim(scoreboard), claim(scoreboard)
    scoreboard.publish(first, {"bytes_in": 1})
    scoreboard.publish(second, {"bytes_in": 10})
    looks = 0

    def replace() -> None:
        for slot in (first, second):
            scoreboard.retire(slot)
            assert scoreboard.claim() == slot
            scoreboard.publish(slot, {"bytes_in": 100})

    def read(record: _Record, plain: Callable[[_Record], bytes] = _Record.read) -> bytes:
        nonlocal looks
        looks += 1
        if looks == before + 1:
            replace()
        return plain(record)

    with monkeypatch.context() as patch:
        patch.setattr(_Record, "read", read)
        total = scoreboard.read().total()["bytes_in"]
    assert looks >= 3
    assert total in {11, 111, 211}
    if before == 3:
        replace()
    assert scoreboard.read().total()["bytes_in"] == 211


class Killed(Exception):
    pass


class DeadlyMemory:
    """Shared memory whose writer dies in its ``last`` store, of which only the first part gets there."""

    def __init__(self, memory: mmap.mmap, last: int) -> None:
        self.memory = memory
        self.left = last

    def __getitem__(self, place: Any) -> Any:
        return self.memory[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self.left -= 1
        if self.left:
            self.memory[place] = value
            return
        if isinstance(place, slice):
            half = (place.stop - place.start) // 2
            self.memory[place.start : place.start + half] = value[:half]
        raise Killed


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("earlier", [0, 1, 2, 3])
def test_a_half_written_snapshot_leaves_the_one_before(
    last: int, earlier: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)
    for count in range(earlier):
        scoreboard.publish(slot, {"bytes_in": count + 1})
    record = scoreboard._slots[slot]
    with monkeypatch.context() as patch:
        patch.setattr(record, "_memory", DeadlyMemory(record._memory, last))
        with pytest.raises(Killed):
            scoreboard.publish(slot, {"bytes_in": 1000})
    assert scoreboard.read().total().get("bytes_in", 0) == earlier
    scoreboard.retire(slot)
    assert scoreboard.read().total().get("bytes_in", 0) == earlier
    scoreboard.publish(claim(scoreboard), {"bytes_in": 1})
    assert scoreboard.read().total()["bytes_in"] == earlier + 1


def test_a_slot_that_is_never_whole_is_skipped_after_bounded_tries() -> None:
    scoreboard = make_scoreboard(2)
    first, second = claim(scoreboard), claim(scoreboard)
    scoreboard.publish(first, {"bytes_in": 1})
    scoreboard.publish(second, {"bytes_in": 2})
    record = scoreboard._slots[first]
    start = record._offset
    record._memory[start + 8 : start + 8 + 2 * record._half_bytes] = b"\xff" * (2 * record._half_bytes)
    assert scoreboard.read().workers == ({"bytes_in": 2},)
    scoreboard.publish(first, {"bytes_in": 3})
    assert scoreboard.read().total() == {"bytes_in": 5}


def make_long(length: int) -> dict[str, int]:
    """A snapshot that takes ``length`` bytes as the first claim's record."""
    return {"x" * (length - len('[1,{"":1}]')): 1}


def test_the_longest_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    scoreboard = make_scoreboard(2)
    slot, other = claim(scoreboard), claim(scoreboard)
    scoreboard.publish(other, {"bytes_in": 1})
    for snapshot in (make_long(SLOT_BYTES - 1), make_long(SLOT_BYTES)):
        scoreboard.publish(slot, snapshot)
        scoreboard.publish(slot, snapshot)  # the other half
        assert scoreboard.read().workers == (snapshot, {"bytes_in": 1})
    assert caplog.messages == []


def test_a_snapshot_too_long_is_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    scoreboard = make_scoreboard(1)
    slot = claim(scoreboard)
    scoreboard.publish(slot, {"bytes_in": 1})
    for _ in range(3):
        scoreboard.publish(slot, make_long(SLOT_BYTES + 1))
    assert scoreboard.read().workers == ({"bytes_in": 1},)
    (message,) = caplog.messages
    assert f"take {SLOT_BYTES + 1} bytes" in message


def test_a_past_too_long_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    scoreboard = make_scoreboard(1)
    slots = 0
    while not caplog.messages:
        slot = claim(scoreboard)
        slots += 1
        scoreboard.publish(slot, {"bytes_in": 1, f"{slots:05}" + "x" * 15_000: 1})
        scoreboard.retire(slot)
    assert slots - 1 == PAST_BYTES // 15_000
    assert scoreboard.read().total()["bytes_in"] == slots - 1
    assert scoreboard.read().workers == ()
    # The next one that fits is counted again.
    scoreboard.publish(claim(scoreboard), {"bytes_in": 1})
    scoreboard.retire(0)
    assert scoreboard.read().total()["bytes_in"] == slots
