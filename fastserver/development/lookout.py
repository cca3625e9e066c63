"""The process that watches files for a supervisor: it says what has changed, one JSON list of paths a line.

It is a process of its own because a supervisor forks, which goes ill with the threads of ``watchfiles``.  That package
is used where it is installed and works, else the files are looked at one by one.  It ends when its standard input does:
when the supervisor closes it, or is dead.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import IO, Final

from fastserver.development.selection import Selection
from fastserver.development.watcher import Watcher

#: An editor, or a change of branches, writes for a while: what has changed is told when nothing more does, but after so
#: many looks at the latest.
LOOKS: Final = 8

# The path of the parent's modules, not the directory it was started in: that may hold a json.py.
_CODE: Final = """\
import sys, json
order = json.loads(sys.argv[1])
sys.path[:] = order.pop("path")
from fastserver.development.lookout import main
main(order)
"""


def start_lookout(selection: Selection, delay_s: float, since_s: float) -> subprocess.Popen[bytes]:
    """Start the process; read its ``stdout``, and close its ``stdin`` when it is not needed any more.

    What has changed since the Unix time ``since_s``, before it looks first, is told too.
    """
    order = {"path": sys.path, "delay_s": delay_s, "since_s": since_s, "selection": asdict(selection)}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _CODE, json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the supervisor
    )


def main(order: dict[str, object]) -> None:
    """What the process does; ``order`` is that of ``start_lookout``."""
    facts = order["selection"]
    assert isinstance(facts, dict)
    selection = Selection(**{key: tuple(value) for key, value in facts.items()})
    delay_s, since_s = float(str(order["delay_s"])), float(str(order["since_s"]))
    try:
        for paths in watch(selection, delay_s, since_s, sys.stdin.buffer):
            sys.stdout.write(json.dumps(paths) + "\n")
            sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    os._exit(0)


def watch(selection: Selection, delay_s: float, since_s: float, stdin: IO[bytes]) -> Iterator[list[str]]:
    """What has changed since the Unix time ``since_s``, and what changes from now on, until ``stdin`` ends."""
    watcher = Watcher(selection)
    early = watcher.list_newer(since_s)
    if early:
        yield early
    try:
        from watchfiles import watch as watch_by_system
    except ImportError:
        yield from watch_by_polling(watcher, delay_s, lambda seconds: _is_over(stdin, seconds))
        return
    stop = threading.Event()
    threading.Thread(target=_stop_at_end, args=(stdin, stop), daemon=True).start()
    folders = [*selection.roots, *{os.path.dirname(path) for path in selection.files}]
    is_settled = False
    try:
        for changes in watch_by_system(
            *folders,
            watch_filter=lambda change, path: selection.takes(path),
            step=max(10, int(delay_s * 500)),
            debounce=int(delay_s * 1000 * LOOKS),
            stop_event=stop,
            rust_timeout=500,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        ):
            paths = {path for _, path in changes}
            if not is_settled:  # it watches now; what has changed before it did?
                is_settled = True
                paths.update(watcher.poll())
            if paths:
                yield sorted(paths)
    except (OSError, RuntimeError):  # too many directories for the system, or a file system that cannot tell
        yield from watch_by_polling(watcher, delay_s, stop.wait)


def watch_by_polling(watcher: Watcher, delay_s: float, wait: Callable[[float], object]) -> Iterator[list[str]]:
    """What has changed, by looking every ``delay_s`` seconds, until ``wait`` says so."""
    while not wait(delay_s):
        changed = set(watcher.poll())
        if not changed:
            continue
        for _ in range(LOOKS):
            wait(min(delay_s, 0.1))
            more = watcher.poll()
            if not more:
                break
            changed.update(more)
        yield sorted(changed)


def _stop_at_end(stdin: IO[bytes], stop: threading.Event) -> None:
    stdin.read()
    stop.set()


def _is_over(stdin: IO[bytes], seconds: float) -> bool:
    """Wait so long: whether ``stdin`` has ended meanwhile."""
    return bool(select.select([stdin], [], [], seconds)[0]) and not os.read(stdin.fileno(), 1)
