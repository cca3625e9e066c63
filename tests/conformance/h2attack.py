"""What the tests of attacks share: an attacker's connection, and what being cut means."""

from collections.abc import Callable

from hyperframe.frame import GoAwayFrame, RstStreamFrame

from fastserver._speedups.contract import H2Limits
from tests.conformance.h2cases import (
    ENHANCE_YOUR_CALM,
    HELLO,
    PING,
    answer,
    frame,
    get,
)
from tests.fakes import App
from tests.h2wire import H2Wire

#: More than any budget, so that a test of one that does not work ends.
MOST = 5000
Attack = Callable[[int], bytes]


def open_wire(app: App = answer, reads: bool = True, h2: H2Limits | None = None, **limits: float) -> H2Wire:
    wire = H2Wire(app, None, h2, reads, **limits)
    wire.feed(HELLO)
    wire.read()
    return wire


def check_cut(wire: H2Wire, code: int = ENHANCE_YOUR_CALM) -> None:
    """The last words are GOAWAY; nothing is read any more; the connection is closed before long."""
    wire.read()
    last = wire.frames[-1]
    assert isinstance(last, GoAwayFrame), last
    assert last.error_code == code
    assert wire.connection.finished
    written = len(wire.out)
    wire.feed(get(stream=9001) + frame(PING, 0, 0, bytes(8)))
    wire.advance(3)
    assert len(wire.out) == written
    assert wire.over
    wire.vanish()
    assert wire.connection.breaches == []
    assert wire.loop.faults == []
    assert not wire.host.tasks


def count_until_cut(wire: H2Wire, attack: Attack) -> int:
    """Send `attack(0)`, `attack(1)`, ... in reads of their own; returns how many were taken before the fatal one."""
    for number in range(MOST):
        wire.feed(attack(number))
        if wire.connection.finished:
            return number
    raise AssertionError("never cut")


def resets(wire: H2Wire) -> list[tuple[int, int]]:
    wire.read()
    return [(frame.stream_id, frame.error_code) for frame in wire.frames if isinstance(frame, RstStreamFrame)]


def odd(number: int) -> int:
    """The stream of the attack `number`; 1 is left to the test."""
    return 2 * number + 3
