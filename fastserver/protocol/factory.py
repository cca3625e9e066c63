"""From a user's class to protocols: what may serve as a handler, and how one is made for each connection."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastserver._speedups.contract import Connection, Host
from fastserver._speedups.events import Event

from .facade import HandlerConnection
from .handler import HandlerProtocol


class HandlerFactory:
    """Opens the protocol of each connection that a user's handler serves; ``name`` is what logs and metrics call it."""

    __slots__ = ("_is_misfit", "_takes_connection", "_target", "name")

    def __init__(self, name: str, target: Callable[..., Any]) -> None:
        """``target`` makes handlers.  Raises ``ValueError`` as ``check_handler`` does."""
        check_handler(target, name)
        self.name = name
        self._target = target
        self._takes_connection = _takes_connection(target) is not False
        self._is_misfit = False

    def open(self, connection: Connection, host: Host) -> HandlerProtocol:
        """The protocol of a connection that the transport has just opened."""
        return HandlerProtocol(connection, host, self)

    def make(self, connection: HandlerConnection) -> tuple[Callable[[Event], Any], bool] | None:
        """Make a handler: the method that takes its events and whether that is a coroutine method; ``None`` for none.

        Raises what the user's code raises.
        """
        handler = self._target(connection) if self._takes_connection else self._target()
        for method, is_coroutine in (("handle", False), ("handle_event", True)):
            handle = getattr(handler, method, None)
            if callable(handle):
                return handle, is_coroutine
        return None

    def note_misfit(self) -> bool:
        """Whether this is the first time that ``make`` gave ``None``."""
        is_first = not self._is_misfit
        self._is_misfit = True
        return is_first


def check_handler(target: object, name: str) -> None:
    """Refuse what cannot make protocol handlers: ``ValueError`` with one line.

    What a function makes is seen at the first connection only.
    """
    if not callable(target):
        raise ValueError(f"{name} is no class of protocol handlers and no function that makes them")
    if inspect.iscoroutinefunction(target):
        raise ValueError(f"{name} is a coroutine function: want a class, or a plain function that makes a handler")
    if isinstance(target, type):
        if inspect.iscoroutinefunction(getattr(target, "handle", None)):
            raise ValueError(f"{name} has a coroutine method handle(event): its name must be handle_event")
        if not any(callable(getattr(target, method, None)) for method in ("handle", "handle_event")):
            raise ValueError(f"{name} has neither a method handle(event) nor a coroutine method handle_event(event)")
        if inspect.isabstract(target):
            raise ValueError(f"{name} is an abstract class")
    if _takes_connection(target) is None:
        raise ValueError(f"{name} must be callable with the connection or without arguments")


def _takes_connection(target: Callable[..., Any]) -> bool | None:
    """Whether a call of ``target`` takes the connection; ``None`` where it can be called neither with nor without."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        # Some classes of C have no signature to look at.
        return True
    for arguments in ((None,), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    return None
