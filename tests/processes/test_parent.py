"""A child follows its parent, and orphans find another."""

import os
import signal
import sys

import pytest

from fastserver.processes.parent import FUSE_SIGNAL, adopt_orphans, arm_fuse, follow_parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")


def read_line(fd: int) -> str:
    return os.read(fd, 100).decode()


def test_a_child_gets_the_signal_when_its_parent_dies() -> None:
    out, into = os.pipe()
    middle = os.fork()
    if middle == 0:
        parent = os.getpid()
        ready, go = os.pipe()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            os.write(into, b"follows " if follow_parent(parent, signal.SIGUSR2) else b"is late ")
            os.write(go, b".")
            signal.sigwait({signal.SIGUSR2})
            os.write(into, b"and hears")
            os._exit(0)
        os.read(ready, 1)
        os._exit(0)
    os.waitpid(middle, 0)
    text = read_line(out)
    while not text.endswith("and hears"):
        text += read_line(out)
    assert text == "follows and hears"
    os.close(out)
    os.close(into)


def test_a_child_knows_that_its_parent_is_dead_already() -> None:
    assert follow_parent(os.getppid(), 0)
    assert not follow_parent(os.getpid(), 0)


def test_an_orphan_becomes_the_child_of_who_adopts() -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        if adopt_orphans():
            middle = os.fork()
            if middle == 0:
                if os.fork() == 0:
                    os._exit(7)
                os._exit(0)
            os.waitpid(middle, 0)
            code = os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_fuse_ends_a_process_that_runs_no_python() -> None:
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(into, b"armed" if arm_fuse() else b"not armed")
        sum(range(1 << 50))
        os._exit(0)
    assert read_line(out) == "armed"
    os.kill(pid, FUSE_SIGNAL)
    assert os.waitpid(pid, os.WNOHANG)[0] == 0  # it does not end at once
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGALRM
    os.close(out)
    os.close(into)
