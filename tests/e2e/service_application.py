"""An application that says what its process is to the system."""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        raise RuntimeError("this is for HTTP alone")
    umask = os.umask(0)
    os.umask(umask)
    with open("/proc/self/cmdline", "rb") as file:
        title = file.read().replace(b"\0", b" ").decode().strip()
    facts = {
        "pid": os.getpid(),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "umask": umask,
        "environ": dict(os.environ),
        "title": title,
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})
