"""Signs of life in shared memory, and how long there was none."""

import os

import pytest

from fastserver.processes.heartbeat import ASLEEP_S, Board, Silence, Vitals


def test_what_a_worker_publishes_is_read_in_another_process() -> None:
    board = Board(2)
    pulse = board.claim()
    assert pulse is not None
    assert pulse.read() == Vitals()
    pid = os.fork()
    if pid == 0:
        pulse.beat(7, 1 << 30)
        pulse.beat(10**12, 1 << 40)
        os._exit(0)
    os.waitpid(pid, 0)
    assert pulse.read() == board.at(pulse.index).read() == Vitals(2, 10**12, 1 << 40)


def test_places_are_limited_and_come_back_empty() -> None:
    board = Board(2)
    one, other = board.claim(), board.claim()
    assert one is not None
    assert other is not None
    assert board.claim() is None
    one.beat(1, 1)
    board.release(other)
    board.release(one)
    again = [board.claim(), board.claim()]
    assert [pulse.index for pulse in again if pulse is not None] == [other.index, one.index]
    assert [pulse.read() for pulse in again if pulse is not None] == [Vitals(), Vitals()]


def test_silence_is_counted_until_the_next_beat() -> None:
    silence = Silence()
    assert [silence.note(beats, 1.0) for beats in (5, 5, 5, 6, 6)] == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("asleep_s", [ASLEEP_S + 0.1, 3600.0])
def test_a_supervisor_that_slept_accuses_nobody(asleep_s: float) -> None:
    silence = Silence()
    for _ in range(30):
        silence.note(5, 1.0)
    assert silence.seconds == 29
    assert silence.note(5, asleep_s) == 0
    assert silence.note(5, ASLEEP_S) == ASLEEP_S
