"""The showing: readings at an interval, on a terminal until ``q``, or as plain lines.

Readings are made and shown in one thread; keys are heard between them, so ``q`` waits for an answer at most
``client.TIMEOUT_S``.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable
from functools import partial
from time import monotonic, sleep, strftime, time
from types import TracebackType
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.live import Live

from fastserver.top.client import Client, Unreachable
from fastserver.top.facts import Reading, compare
from fastserver.top.picture import Picture, draw_outage
from fastserver.top.stats import ShapeError, parse_stats

_PLAIN_WIDTH: Final = 80
_QUIT: Final = frozenset(b"qQ")


def read(client: Client) -> Reading:
    """One reading; ``Unreachable`` where the server gives none."""
    try:
        stats = parse_stats(client.fetch())
    except ShapeError as error:
        raise Unreachable(str(error)) from None
    return Reading(stats, monotonic(), time())


def show_once(client: Client, interval_s: float, console: Console) -> None:
    """One picture of two readings ``interval_s`` apart; ``Unreachable`` where one of them fails."""
    before = read(client)
    sleep(interval_s)
    console.print(Picture(str(client), compare(before, read(client))))


def show_lines(client: Client, interval_s: float, console: Console) -> None:
    """A picture for each interval, one under the other, until interrupted."""

    def show(picture: RenderableType) -> None:
        console.print(picture)
        console.print()

    def wait(seconds: float) -> bool:
        sleep(seconds)
        return False

    watch(client, interval_s, show, wait)


def show_screen(client: Client, interval_s: float, console: Console, fd: int) -> None:
    """The terminal, as a whole, until ``q`` from ``fd`` or interrupted; afterwards it is as it was."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the terminal is restored then too
    try:
        with Keyboard(fd) as keyboard, Live(console=console, screen=True) as live:
            watch(client, interval_s, partial(live.update, refresh=True), keyboard.wait_quit)
    finally:
        signal.signal(signal.SIGTERM, before)


def watch(
    client: Client,
    interval_s: float,
    show: Callable[[RenderableType], object],
    wait: Callable[[float], bool],
) -> None:
    """Reads and shows each ``interval_s`` until ``wait(seconds)`` is true.  An outage is shown, and ends by itself."""
    before: Reading | None = None
    since = ""
    while True:
        due = monotonic() + interval_s
        try:
            now = read(client)
        except Unreachable as error:
            # Figures across an outage would be an average over it.
            before, since = None, since or strftime("%H:%M:%S")
            show(draw_outage(str(client), since, str(error)))
        else:
            show(Picture(str(client), compare(before, now)))
            before, since = now, ""
        if wait(max(0.0, due - monotonic())):
            return


def create_console(plain: bool) -> Console:
    """The console of stdout; a plain one writes no escape code, whatever the environment says."""
    if not plain:
        return Console(highlight=False)
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(highlight=False, force_terminal=False, color_system=None, width=width)


class Keyboard:
    """Keys of the terminal ``fd``, one at a time and not echoed, while this context is open.

    Without a terminal (a pipe, ``/dev/null``) no key is heard.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[Any] | None = None

    def __enter__(self) -> Keyboard:
        if os.isatty(self._fd):
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def wait_quit(self, seconds: float) -> bool:
        """Waits at most ``seconds``; true as soon as ``q`` is typed, or the terminal is gone."""
        if self._before is None:
            sleep(seconds)
            return False
        due = monotonic() + seconds
        while select.select([self._fd], [], [], max(0.0, due - monotonic()))[0]:
            typed = os.read(self._fd, 64)
            if not typed or not _QUIT.isdisjoint(typed):
                return True
        return False
