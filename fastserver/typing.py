"""The types of an application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: ``app(scope, receive, send)``.  The arguments are left open: frameworks give them types of their own, and no single
#: type takes them all.
App = Callable[..., Awaitable[object]]

#: An application of either interface, as users give it.
AnyApp = Callable[..., Any]
