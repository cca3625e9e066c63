"""What both texts of `kernels` make, write and step."""

import socket
import sys
import weakref
from collections.abc import Generator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from fastserver._speedups.events import RawData


def test_raw_data(kernels: Any) -> None:
    event = kernels.raw_data(b"abc")
    assert type(event) is RawData
    assert event == RawData(b"abc", None)


def test_send_bytes(kernels: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        assert kernels.send_bytes(ours.fileno(), b"hello") == 5
        assert theirs.recv(10) == b"hello"
        block = b"x" * 65536
        while (taken := kernels.send_bytes(ours.fileno(), block)) > 0:
            assert taken <= len(block)
        assert taken == -1  # full
        theirs.close()
        assert kernels.send_bytes(ours.fileno(), b"hello") == -1  # and no signal
    assert kernels.send_bytes(-1, b"hello") == -1


class Yielded:
    """Something that an application waits for."""

    def __await__(self) -> Generator["Yielded", None, None]:
        yield self


variable: ContextVar[str] = ContextVar("variable", default="outside")


def test_resume_without_context(kernels: Any) -> None:
    async def application(awaited: list[Yielded]) -> str:
        variable.set("set by the coroutine")
        await awaited.pop()
        return "result"

    def run() -> None:
        first = Yielded()
        gone = weakref.ref(first)
        coroutine = application([first])
        # Compared outside of asserts, which keep what they compare.
        same = kernels.resume(coroutine, None) is first
        assert same
        assert variable.get() == "set by the coroutine"
        count = sys.getrefcount(kernels.DONE)
        done = [kernels.resume(coroutine, None) is kernels.DONE, sys.getrefcount(kernels.DONE) == count]
        assert done == [True, True]
        del first
        assert gone() is None  # a reference too many would keep it

    copy_context().run(run)


def test_resume_in_a_context(kernels: Any) -> None:
    async def application() -> None:
        assert variable.get() == "inside"
        variable.set("changed")
        await Yielded()
        assert variable.get() == "changed"
        raise KeyError("mine")

    context = copy_context()
    context.run(variable.set, "inside")
    coroutine = application()
    assert isinstance(kernels.resume(coroutine, context), Yielded)
    assert variable.get() == "outside"
    with pytest.raises(KeyError, match="mine"):
        kernels.resume(coroutine, context)
    assert context.run(variable.get) == "changed"  # it was left, or it could not be entered


def test_a_call_in_a_context(kernels: Any) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outside")
    context = kernels.copy_context(copy_context())

    def step() -> str:
        before = variable.get()
        variable.set("inside")
        return before

    assert kernels.call_in(context, step) == "outside"
    assert variable.get() == "outside"
    assert kernels.call_in(context, step) == "inside"
    assert kernels.call_in(kernels.copy_context(copy_context()), step) == "outside"


def test_a_context_is_left_when_the_call_fails(kernels: Any) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outside")
    context = kernels.copy_context(copy_context())

    def fail() -> None:
        variable.set("inside")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kernels.call_in(context, fail)
    assert variable.get() == "outside"
    assert context[variable] == "inside"
    with pytest.raises(RuntimeError, match="already entered"):
        kernels.call_in(context, lambda: kernels.call_in(context, fail))
