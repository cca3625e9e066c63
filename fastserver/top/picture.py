"""Facts as a picture for a terminal, by rich: pure, so it is tested without one.

All is said in words and figures; styles only help the eye.  Up to 80 columns it shows what matters, from 120 on more.
Where the height is bounded (a screen), the table of workers gives way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from fastserver._speedups.histogram import BOUNDS
from fastserver._speedups.lifecycle import ConnectionState
from fastserver.top.facts import Facts, WorkerFacts

#: From this width on the table of workers has all its columns.
WIDE: Final = 120

_STATES: Final = tuple(state.value for state in ConnectionState if state is not ConnectionState.CLOSED)
_UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    show: Callable[[WorkerFacts], str]
    wide: bool = False


_COLUMNS: Final = (
    _Column("PID", 7, lambda worker: str(worker.pid)),
    _Column("CPU %", 7, lambda worker: format_share(worker.cpu)),
    _Column("MEMORY", 10, lambda worker: format_bytes(worker.resident_bytes)),
    _Column("ACTIVE", 7, lambda worker: format_number(worker.active)),
    _Column("IDLE", 7, lambda worker: format_number(worker.idle)),
    _Column("REQUESTS/S", 10, lambda worker: format_number(worker.flow.requests)),
    _Column("UPTIME", 13, lambda worker: format_uptime(worker.uptime_s)),
    _Column("IN/S", 10, lambda worker: format_bytes(worker.flow.bytes_in), wide=True),
    _Column("OUT/S", 10, lambda worker: format_bytes(worker.flow.bytes_out), wide=True),
    _Column("P99", 7, lambda worker: format_delay(worker.flow.latency.p99), wide=True),
    _Column("LAG P99", 7, lambda worker: format_delay(worker.flow.lag.p99), wide=True),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """The renderable of a server's ``facts``; ``place`` is what the user calls the server."""

    place: str
    facts: Facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        below = [
            self._draw_connections(),
            self._draw_requests(),
            *([self._draw_sessions()] if self.facts.sessions.total else []),
            *([self._draw_faults()] if self.facts.faults else []),
            *([self._draw_observers()] if self.facts.observers else []),
        ]
        yield from self._draw_header()
        yield Text()
        # A table has one line above its rows; one empty line stands before it.
        taken = 4 + 1 + sum(table.row_count + 2 for table in below)
        yield from self._draw_workers(options.max_width >= WIDE, options.height and max(2, options.height - taken))
        for table in below:
            yield Text()
            yield table

    def _draw_header(self) -> Sequence[Text]:
        facts, flow = self.facts, self.facts.flow
        workers = "1 worker" if len(facts.workers) == 1 else f"{len(facts.workers)} workers"
        return (
            Text(f"fastserver {facts.version} at {self.place}, up {format_uptime(facts.uptime_s)}, {workers}"),
            _draw_pairs(
                ("requests/s", format_number(flow.requests)),
                ("errors/s", format_number(flow.errors)),
                ("in/s", format_bytes(flow.bytes_in)),
                ("out/s", format_bytes(flow.bytes_out)),
            ),
            _draw_pairs(
                ("latency p50", format_delay(flow.latency.p50)),
                ("p95", format_delay(flow.latency.p95)),
                ("p99", format_delay(flow.latency.p99)),
                ("loop lag p99", format_delay(flow.lag.p99)),
            ),
        )

    def _draw_workers(self, wide: bool, rows: int | None) -> RenderResult:
        """The table, of at most ``rows`` lines under its head; the last of them says how many workers are left out."""
        columns = [column for column in _COLUMNS if wide or not column.wide]
        table = _create_table()
        for column in columns:
            table.add_column(column.title, justify="right", no_wrap=True, min_width=column.width)
        workers = self.facts.workers
        shown = workers if rows is None or len(workers) <= rows else workers[: rows - 1]
        for worker in shown:
            table.add_row(*(column.show(worker) for column in columns))
        yield table
        if len(shown) < len(workers):
            yield Text(f"... and {len(workers) - len(shown)} more workers")

    def _draw_connections(self) -> Table:
        table = _create_table("CONNECTIONS", *(state.upper() for state in _STATES), "STREAMS", "REQUESTS/S")
        for protocol in self.facts.protocols:
            states = (format_number(protocol.states.get(state, 0)) for state in _STATES)
            streams, requests = format_number(protocol.streams), format_number(protocol.requests)
            table.add_row(_name(protocol.name), *states, streams, requests)
        return table

    def _draw_requests(self) -> Table:
        counts = self.facts.requests
        table = _create_table("REQUESTS", *(count.name.upper() for count in counts))
        table.add_row("a second", *(format_number(count.rate) for count in counts))
        table.add_row("in all", *(format_number(count.total) for count in counts))
        return table

    def _draw_sessions(self) -> Table:
        sessions = self.facts.sessions
        table = _create_table("WEBSOCKETS", "OPEN", "OPENED/S", "RECEIVED/S", "SENT/S", "IN ALL")
        rates = (sessions.opened, sessions.messages_in, sessions.messages_out)
        figures = (sessions.open, *rates, sessions.total)
        table.add_row("sessions", *(format_number(figure) for figure in figures))
        return table

    def _draw_faults(self) -> Table:
        table = _create_table("FAULTS OF PEERS", "A SECOND", "IN ALL")
        for fault in self.facts.faults:
            table.add_row(_name(fault.name), format_number(fault.rate), format_number(fault.total))
        return table

    def _draw_observers(self) -> Table:
        table = _create_table("OBSERVERS", "ERRORS", "DROPPED")
        for observer in self.facts.observers:
            table.add_row(_name(observer.name), format_number(observer.errors), format_number(observer.dropped))
        return table


def draw_outage(place: str, since: str, reason: str) -> Text:
    """What is shown while there are no facts; ``since`` is a time of day."""
    return Text(f"{place}: not reachable since {since}: {reason}")


def format_number(number: float | None) -> str:
    """At most seven characters: ``0``, ``0.25``, ``12.5``, ``1,234``, ``123,456``, ``12.3M``."""
    if number is None:
        return _UNKNOWN
    if number < 100 and number != int(number):
        return f"{number:.2f}" if number < 10 else f"{number:.1f}"
    if number < 999_999.5:
        return f"{number:,.0f}"
    for unit in "MGTPE":
        number /= 1000
        if number < 999_950 or unit == "E":
            break
    return f"{number / 1000:.1f}{unit}"


def format_bytes(number: float | None) -> str:
    """At most ten characters: ``0 B``, ``12.3 KiB``."""
    if number is None:
        return _UNKNOWN
    if number < 1023.5:
        return f"{number:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        number /= 1024
        if number < 1023.95 or unit == "PiB":
            break
    return f"{number:.1f} {unit}"


def format_share(share: float | None) -> str:
    """Per cent: ``99.3``."""
    return _UNKNOWN if share is None else f"{share * 100:.1f}"


def format_delay(seconds: float | None) -> str:
    """At most seven characters: ``0.12 ms``, ``12.3 ms``, ``1.25 s``."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 0.9995:
        number = seconds * 1000
        return f"{number:.2f} ms" if number < 10 else f"{number:.1f} ms" if number < 100 else f"{number:.0f} ms"
    return f"{seconds:.2f} s" if seconds < BOUNDS[-1] else f">= {BOUNDS[-1]:g} s"  # no quantile is above the last bound


def format_uptime(seconds: float) -> str:
    """``00:01:02``, or with days ``12d 03:04:05``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d " * bool(days) + f"{hour:02}:{minute:02}:{second:02}"


def _name(text: str) -> Text:
    """A name for the first column, on one line however narrow that is."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _create_table(*titles: str) -> Table:
    """A table without lines; the first of ``titles`` stands left, the others right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        # A long name is cut, a number and its title never.
        width = len(title) if place else None
        justify: Literal["left", "right"] = "right" if place else "left"
        table.add_column(title, justify=justify, no_wrap=bool(place), min_width=width)
    return table


def _draw_pairs(*pairs: tuple[str, str]) -> Text:
    return Text("   ").join(Text.assemble((name, "dim"), " ", (figure, "bold")) for name, figure in pairs)
