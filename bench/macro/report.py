"""Figures from bursts, tables from figures, and the JSON document.  Pure: no process, no socket, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from bench.macro.contest import Outcome, Outcomes
from bench.macro.load import Burst

ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some readings with their quartiles; ``count`` readings."""

    median: float
    low: float
    high: float
    count: int

    @property
    def noise(self) -> float:
        """Half the distance of the quartiles as a share of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0


def spread(readings: Iterable[float]) -> Spread | None:
    """``Spread`` of ``readings``; ``None`` where there are none."""
    values = sorted(readings)
    if not values:
        return None
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high, len(values))


def valid(outcome: Outcome) -> list[Burst]:
    """The bursts that count."""
    return [burst for burst in outcome.bursts if not burst.fault]


def ratio(outcome: Outcome, reference: Outcome) -> Spread | None:
    """CPU time per request of ``outcome`` as a multiple of ``reference``'s.

    The two bursts of one round stand side by side in time, so they are divided first and the median is taken of the
    quotients: a slow minute of the machine falls out.  ``None`` where no round has both.
    """
    pairs = zip(outcome.bursts, reference.bursts, strict=False)
    return spread(one.cpu_us / other.cpu_us for one, other in pairs if not one.fault and not other.fault)


def render_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned text: the first column to the left, the others to the right, a rule below the header."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = []
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "-" * max(len(line) for line in text))
    return "\n".join(text)


def _names(outcomes: Outcomes) -> list[str]:
    """The servers of a run in the order in which they first appear."""
    return list(dict.fromkeys(name for servers in outcomes.values() for name in servers))


def _cpu_cell(outcome: Outcome) -> str:
    figures = spread(burst.cpu_us for burst in valid(outcome))
    if figures is None:
        return "failed" if outcome.fault else ABSENT
    return f"{figures.median:.1f} ±{figures.noise:.0%}" + ("!" if outcome.fault else "")


def _rate_cell(outcome: Outcome) -> str:
    figures = spread(burst.rate for burst in valid(outcome))
    return ABSENT if figures is None else f"{figures.median:,.0f}"


def _busy_cell(outcome: Outcome) -> str:
    figures = spread(burst.cpu_s / burst.wall_s for burst in valid(outcome))
    return ABSENT if figures is None else f"{figures.median:.0%}"


def _waited_cell(outcome: Outcome) -> str:
    figures = spread(burst.waited_s / burst.wall_s for burst in valid(outcome))
    return ABSENT if figures is None else f"{figures.median:.0%}"


def _yield_cell(outcome: Outcome) -> str:
    figures = spread(1e6 / burst.cpu_us for burst in valid(outcome))
    return ABSENT if figures is None else f"{figures.median:,.0f}"


def _load_cell(outcome: Outcome) -> str:
    figures = spread(burst.load_cpu_us for burst in valid(outcome))
    return ABSENT if figures is None else f"{figures.median:.1f}"


def _latency_cell(outcome: Outcome) -> str:
    """``h2load`` has no percentiles."""
    figures = spread(burst.latency_us["p99"] / 1000 for burst in valid(outcome) if "p99" in burst.latency_us)
    return ABSENT if figures is None else f"{figures.median:.2f}"


def _table(title: str, outcomes: Outcomes, cells: Mapping[str, Mapping[str, str]]) -> str:
    rows = [[name, *(cells[workload].get(name, ABSENT) for workload in outcomes)] for name in _names(outcomes)]
    return f"{title}\n{render_table(['', *outcomes], rows)}"


def _ratio_cells(outcomes: Outcomes, reference: str) -> dict[str, dict[str, str]]:
    cells: dict[str, dict[str, str]] = {}
    for workload, servers in outcomes.items():
        cells[workload] = {}
        for name, outcome in servers.items():
            figures = ratio(outcome, servers[reference]) if reference in servers else None
            cells[workload][name] = ABSENT if figures is None else f"{figures.median:.2f}"
    return cells


def _faults(outcomes: Outcomes, absent: Mapping[str, str]) -> list[str]:
    """Everything that did not go as it should, one line each."""
    lines = [f"{name} did not take part: {reason}" for name, reason in absent.items()]
    for workload, servers in outcomes.items():
        for name, outcome in servers.items():
            bad = len(outcome.bursts) - len(valid(outcome))
            if outcome.fault:
                lines.append(f"{name} was left out of {workload}: {outcome.fault}")
            elif bad:
                last = [burst.fault for burst in outcome.bursts if burst.fault][-1]
                lines.append(f"{name} in {workload}: {bad} of {len(outcome.bursts)} bursts do not count: {last}")
    return lines


def render(outcomes: Outcomes, references: Sequence[str], absent: Mapping[str, str], unit: str = "request") -> str:
    """The whole readable report: CPU time, its ratios, requests per second, latency, load, and what went wrong.

    ``unit`` is what is counted.
    """
    cells = (
        (f"CPU time per {unit}, us (median of the bursts, ± half the distance of the quartiles)", _cpu_cell),
        (f"{unit}s per second of the server's CPU time", _yield_cell),
        (f"{unit}s per second of wall time (one core; only as good as the machine is quiet)", _rate_cell),
        ("latency, 99th percentile, ms (median of the bursts)", _latency_cell),
        ("share of the time in which the server ran", _busy_cell),
        (f"CPU time of the load generator per {unit}, us (its own core)", _load_cell),
        ("share in which it was ready but something else had its core (quiet machine: 0 %)", _waited_cell),
    )
    tables: list[str] = []
    for title, cell in cells:
        found = {name: {k: cell(v) for k, v in servers.items()} for name, servers in outcomes.items()}
        if not tables or any(text != ABSENT for servers in found.values() for text in servers.values()):
            tables.append(_table(title, outcomes, found))
    ratios = [
        _table(f"CPU time per {unit} as a multiple of {reference}'s", outcomes, _ratio_cells(outcomes, reference))
        for reference in references
        if any(reference in servers for servers in outcomes.values())
    ]
    faults = _faults(outcomes, absent)
    parts = [tables[0], *ratios, *tables[1:], *(["What went wrong\n" + "\n".join(faults)] if faults else [])]
    return "\n\n".join(parts)


def build_results(outcomes: Outcomes, references: Sequence[str]) -> dict[str, Any]:
    """The figures of ``render`` with every burst, for the JSON document: workload, then server."""
    document: dict[str, Any] = {}
    for workload, servers in outcomes.items():
        document[workload] = {}
        for name, outcome in servers.items():
            cpu_us = spread(burst.cpu_us for burst in valid(outcome))
            rate = spread(burst.rate for burst in valid(outcome))
            ratios = {other: ratio(outcome, servers[other]) for other in references if other in servers}
            document[workload][name] = {
                "cpu_us": asdict(cpu_us) if cpu_us else None,
                "requests_per_s": asdict(rate) if rate else None,
                "ratio": {other: asdict(figures) if figures else None for other, figures in ratios.items()},
                "fault": outcome.fault,
                "bursts": [asdict(burst) for burst in outcome.bursts],
            }
    return document
