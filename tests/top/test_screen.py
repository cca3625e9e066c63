"""The showing: a server that goes and comes back, keys, plain lines."""

import io
import json
import os
import pty
import re
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from fastserver.top import screen
from tests.top.samples import compose_snapshot, compose_stats
from tests.top.source import Source, count_up, say


def test_a_server_that_goes_away_and_comes_back() -> None:
    with Source(count_up()) as source:
        pass
    shown: list[str] = []

    def show(renderable: RenderableType) -> None:
        console = Console(file=io.StringIO(), width=80)
        with console.capture() as capture:
            console.print(renderable)
        shown.append(capture.get())

    with ExitStack() as living:

        def wait(seconds: float) -> bool:
            assert 0 <= seconds <= 0.1
            if len(shown) == 2:
                living.enter_context(Source(count_up(), source.port))
            if len(shown) == 4:
                living.close()
            return len(shown) == 5

        screen.watch(source.client, 0.1, show, wait)
    away, still_away, back, running, gone = shown
    assert re.fullmatch(rf"127\.0\.0\.1:{source.port}: not reachable since (\S+): Connection refused\n", away)
    assert away == still_away
    assert "requests/s -" in back
    assert re.search(r"requests/s \d", running)
    assert "not reachable since" in gone


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the user's and the program's."""
    user, program = pty.openpty()
    yield user, program
    os.close(user)
    os.close(program)


@pytest.mark.parametrize("key", [b"q", b"Q", b"x\x1b[Aq"])
def test_q_ends_the_screen(key: bytes, terminal: tuple[int, int]) -> None:
    user, program = terminal
    before = termios.tcgetattr(program)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        say(json.dumps(compose_stats(compose_snapshot())).encode())(handler)
        os.write(user, key)

    with Source(answer) as source:
        screen.show_screen(source.client, 60, console, program)
    assert "fastserver 1.2.3" in out.getvalue()
    assert out.getvalue().index("\x1b[?1049h") < out.getvalue().rindex("\x1b[?1049l")  # the screen, and back
    assert termios.tcgetattr(program) == before


def test_other_keys_do_not_end_it(terminal: tuple[int, int]) -> None:
    user, program = terminal
    with screen.Keyboard(program) as keyboard:
        os.write(user, b"x")
        assert not keyboard.wait_quit(0.01)
        os.write(user, b"q")
        assert keyboard.wait_quit(60)


def test_without_a_terminal_there_are_no_keys(tmp_path: Path) -> None:
    with (tmp_path / "input").open("w+b") as file, screen.Keyboard(file.fileno()) as keyboard:
        assert not keyboard.wait_quit(0.001)
