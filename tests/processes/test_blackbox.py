"""What a process tells of itself on a signal, read by another one."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fastserver.processes import blackbox
from fastserver.processes.blackbox import DUMP_SIGNAL, BlackBox, list_places, open_blackbox, render_tasks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def box() -> Iterator[BlackBox]:
    box = open_blackbox()
    yield box
    box.close()
    box.close()


def test_what_was_written_is_taken_once(box: BlackBox) -> None:
    assert box.take() == ""
    os.write(box.fileno(), b"one\ntwo\n")
    assert box.take() == "one\ntwo"
    os.write(box.fileno(), b"three \xff\n")
    assert box.take() == "three \ufffd"
    assert box.take() == ""


def test_what_the_parent_was_doing_is_left_out(box: BlackBox) -> None:
    mine = 'Current thread 0x1 (most recent call first):\n  File "app.py", line 1 in app\n'
    first = '  File "spawning.py", line 9 in serve_and_exit\n'
    parents = '  File "crew.py", line 3 in _fork\n  File "supervisor.py", line 4 in run\n'
    os.write(box.fileno(), f"{mine}{first}{parents}\nTasks of asyncio: 0\n".encode())
    assert box.take() == f"{mine}{first}\nTasks of asyncio: 0"


def test_what_is_too_much_is_cut(box: BlackBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "TEXT_LIMIT_BYTES", 10)
    for length, text in ((9, "x" * 9), (10, "x" * 10), (11, "x" * 10 + "\n... and more")):
        os.write(box.fileno(), b"x" * length)
        assert box.take() == text


def ask(box: BlackBox, pid: int, expected: str) -> str:
    """Signal until the answer has what is expected: the child may not have come so far."""
    text, deadline = "", time.monotonic() + 20
    while expected not in text:
        assert time.monotonic() < deadline, text
        os.kill(pid, DUMP_SIGNAL)
        time.sleep(0.02)
        text += box.take()
    return text


@pytest.mark.parametrize("kind", ["loop", "thread", "python", "c"])
def test_a_process_is_asked_what_it_is_doing(box: BlackBox, kind: str) -> None:
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            box.watch()
            os.write(ready_write, b".")
            if kind == "c":
                sum(range(1 << 50))
            elif kind == "python":
                spin()
            elif kind == "thread":
                threading.Thread(target=spin, daemon=True).start()
                time.sleep(600)
            asyncio.run(wait_outside())
        finally:
            os._exit(1)
    os.read(ready_read, 1)
    try:
        if kind == "loop":
            text = ask(box, pid, "in wait_inside")
            assert "Tasks of asyncio: 1" in text
            assert text.index("in wait_outside") < text.index("in wait_inside")
        else:
            text = ask(box, pid, "spin" if kind != "c" else "test_a_process_is_asked")
            assert "most recent call first" in text
            assert "Tasks" not in text
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready_read)
        os.close(ready_write)


def test_a_crash_is_written_down(box: BlackBox) -> None:
    pid = os.fork()
    if pid == 0:
        box.watch()
        os.kill(os.getpid(), signal.SIGABRT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in box.take()


def spin() -> None:
    while True:
        sys.getrecursionlimit()


async def wait_outside() -> None:
    await wait_inside()


async def wait_inside() -> None:
    await asyncio.Event().wait()


def test_tasks_are_told_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "TASKS_LIMIT", 2)

    async def main() -> str:
        tasks = [asyncio.create_task(wait_outside(), name=f"number {index}") for index in range(3)]
        begun = render_tasks(tasks[:1])
        await asyncio.sleep(0)
        text = render_tasks(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return begun + text

    text = asyncio.run(main())
    assert "Task 'number 0':" in text
    assert text.count("in wait_inside") == 2
    assert text.endswith("... and 1 more\n")


def test_a_long_chain_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "DEPTH_LIMIT", 3)

    async def nest(depth: int) -> None:
        await (nest(depth - 1) if depth else asyncio.sleep(60))

    async def main() -> list[str]:
        task = asyncio.create_task(nest(10))
        await asyncio.sleep(0)
        places = list_places(task.get_coro())
        task.cancel()
        return places

    assert len(asyncio.run(main())) == 3
    assert list_places(None) == list_places(object()) == []
