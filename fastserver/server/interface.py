"""Which interface an application speaks (ASGI 3, ASGI 2 or WSGI), and how it is called all the same.

It is told by how the application can be called, never by calling it: ASGI 3 takes three arguments and is awaited,
ASGI 2 takes the scope alone, WSGI takes two and is not awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastserver.reference import unwrap
from fastserver.typing import App, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class WSGIApp:
    """A WSGI application, marked as one."""

    call: Callable[..., Any]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self.call(environ, start_response)


class ASGI2App:
    """An ASGI 2 application as ASGI 3: called with the scope, then with the two others."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.call(scope)(receive, send)


def adapt(app: Any, interface: str) -> App | WSGIApp:
    """``app`` as an ASGI 3 application or as a ``WSGIApp``; ``auto`` finds out which it is, ``asgi`` which
    version of ASGI.

    Raises ``ValueError`` for what is none; its text follows the application's name.
    """
    if isinstance(app, WSGIApp):
        return app
    if interface == "auto":
        interface = detect(app)
    elif interface == "asgi":
        interface = "asgi2" if detect(app) == "asgi2" else "asgi3"
    if interface == "wsgi":
        return WSGIApp(app)
    if interface == "asgi2":
        return ASGI2App(app)
    return app  # type: ignore[no-any-return]


def detect(app: Any) -> str:
    """``asgi3``, ``asgi2`` or ``wsgi``; what cannot be told is taken for ``asgi3``.  Raises ``ValueError``."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return "asgi3"
    fits = {count for count in range(4) if _takes(signature, count)}
    if _is_awaited(app):
        if 3 not in fits:
            raise ValueError(f"is a coroutine function that takes {_count(signature)} arguments: ASGI wants three")
        return "asgi3"
    if 3 in fits and 2 in fits:
        # Mostly a decorator's ``*args``; around an ASGI application it would be a coroutine function.
        return "asgi3" if next(iter(signature.parameters)) == "scope" else "wsgi"
    if 3 in fits:
        return "asgi3"
    if 2 in fits:
        return "wsgi"
    if 1 in fits:
        return "asgi2"
    if 0 in fits:
        raise ValueError("takes no arguments: if it makes the application, add --factory")
    raise ValueError(
        f"takes {_count(signature)} arguments: ASGI wants scope, receive and send, WSGI environ and start_response"
    )


def _is_awaited(app: Any) -> bool:
    """Whether calling ``app`` gives a coroutine, as far as that can be seen."""
    called = unwrap(app)
    return inspect.iscoroutinefunction(called) or (
        not inspect.isclass(called) and inspect.iscoroutinefunction(getattr(called, "__call__", None))  # noqa: B004
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _count(signature: inspect.Signature) -> int:
    """How many positional arguments a call must have."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds and each.default is each.empty for each in signature.parameters.values())
