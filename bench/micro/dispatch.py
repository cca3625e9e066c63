"""Where a datagram belongs: the look-up that each pays for, and what those cost that nobody waits for."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns
from fastserver._speedups.metrics import Metrics
from fastserver.protocol.quic.cids import ConnectionIDs
from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.protocol.quic.tokens import Tokens
from fastserver.protocol.quic.verdicts import Open, Reply, Verdict

SECRET = bytes(range(32))
ADDRESS = ("198.51.100.7", 50000)
CONNECTIONS = 10_000
V1, UNKNOWN_VERSION = 1, 0x1A2A3A4A


class EndlessBucket:
    """The rate of the answers, so that each is one."""

    def take(self, now: float) -> bool:
        return True


def make_initial(dcid: bytes, token: bytes = b"", version: int = V1) -> bytes:
    """A datagram of 1200 bytes that begins as a client does."""
    head = b"\xc0" + version.to_bytes(4, "big") + bytes((len(dcid),)) + dcid + b"\x08" + bytes(8)
    head += bytes((len(token),)) + token
    rest = 1200 - len(head) - 2
    return head + (0x4000 | rest).to_bytes(2, "big") + bytes(rest)


def make_dispatcher(**options: Any) -> Dispatcher[int]:
    """One that knows ``CONNECTIONS`` and answers at any rate."""
    cids = ConnectionIDs(SECRET, 1)
    given: dict[str, Any] = {"retry": "auto", "max_half_open": 256, "is_full": lambda: False, "note_full": lambda: None}
    given |= {"is_living": None, "choose_worker": None, "metrics": Metrics(), **options}
    dispatcher: Dispatcher[int] = Dispatcher(cids, Tokens(SECRET), lambda: 0.0, **given)
    dispatcher.__dict__.update(dict.fromkeys(("_negotiations", "_resets", "_refusals"), EndlessBucket()))
    for number in range(CONNECTIONS):
        dispatcher.register(number, cids.make())
    return dispatcher


def name_admissions() -> dict[str, tuple[Callable[[], Verdict | None], type | None]]:
    """What may become of a datagram, with the verdict that it must have."""
    dispatcher = make_dispatcher()
    full, proving = make_dispatcher(is_full=lambda: True), make_dispatcher(retry="always")
    seal = Tokens(SECRET).seal_retry(ADDRESS, bytes(8), b"retrycid", 0.0)
    cases: dict[str, tuple[Dispatcher[int], bytes, type | None]] = {
        "dropped": (dispatcher, make_initial(bytes(8))[:1199], None),
        "opened": (dispatcher, make_initial(bytes(8)), Open),
        "opened with a token": (dispatcher, make_initial(b"retrycid", seal), Open),
        "version negotiation": (dispatcher, make_initial(bytes(8), version=UNKNOWN_VERSION), Reply),
        "retry": (proving, make_initial(bytes(8)), Reply),
        "stateless reset": (dispatcher, b"\x40" + os.urandom(40), Reply),
        "refused": (full, make_initial(bytes(8)), Reply),
    }
    return {
        name: (partial(taker.admit, data, ADDRESS, 0.0, is_forwarded=False), kind)
        for name, (taker, data, kind) in cases.items()
    }


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each way of a datagram: nanoseconds a datagram.  The module is one text that nobody compiles."""
    dispatcher = make_dispatcher()
    short = b"\x40" + dispatcher._cids.make() + bytes(30)
    dispatcher.register(1, short[1:9])
    ways = {"found, short header": short, "found, long header": make_initial(short[1:9]), "not found": bytes(40)}
    rows = [
        Row(name, {"plain": time_ns("find(data)", {"find": dispatcher.find, "data": data}, effort)})
        for name, data in ways.items()
    ]
    for name, (admit, kind) in name_admissions().items():
        assert isinstance(admit(), kind) if kind else admit() is None, name
        rows.append(Row(name, {"plain": time_ns("admit()", {"admit": admit}, effort)}))
    return rows
