"""What a report of the suite says: verdicts by section, whether that is good enough, and the summary for the docs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Nothing else is good enough.  NON-STRICT is for a server that forgets what it has read before a bad frame.
GOOD = frozenset({"OK", "INFORMATIONAL"})
SECTIONS = {
    1: "framing",
    2: "pings and pongs",
    3: "reserved bits",
    4: "opcodes",
    5: "fragmentation",
    6: "UTF-8",
    7: "close handling",
    9: "large messages, many messages",
    10: "fragmented by the sender",
    12: "compression, one offer",
    13: "compression, several offers",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its id, its verdict, and the verdict on how the connection was closed."""

    name: str
    behavior: str
    close: str

    @property
    def section(self) -> int:
        """The first number of its id."""
        return int(self.name.partition(".")[0])

    @property
    def verdict(self) -> str:
        """The worse of both: a bad end of the connection spoils a good case."""
        return self.behavior if self.close in GOOD or self.behavior not in GOOD else f"close {self.close}"


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


def parse_index(text: str) -> list[Case]:
    """The cases of an ``index.json`` with one server in it, in the order of their ids."""
    document: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(text)
    (results,) = document.values()
    found = [Case(name, result["behavior"], result["behaviorClose"]) for name, result in results.items()]
    return sorted(found, key=lambda case: _order(case.name))


def find_faults(cases: Sequence[Case], expected: int) -> list[str]:
    """A line for each case that is not good, and one where not all ``expected`` cases have a result."""
    lines = [f"{case.name}: {case.verdict}" for case in cases if case.verdict not in GOOD]
    if len(cases) != expected:
        lines.append(f"{len(cases)} of {expected} cases have a result")
    return lines


def count_verdicts(cases: Sequence[Case]) -> str:
    """Such as ``233 OK, 11 NON-STRICT``: the good ones first, then by number."""
    counts = Counter(case.verdict for case in cases)
    order = sorted(counts, key=lambda verdict: (verdict != "OK", verdict not in GOOD, -counts[verdict], verdict))
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in order)


def render(title: str, facts: Sequence[str], cases: Sequence[Case], expected: int) -> str:
    """The summary of one server in Markdown: ``facts``, verdicts by section, and every case that is not good."""
    rows = []
    for section in sorted({case.section for case in cases}):
        inside = [case for case in cases if case.section == section]
        rows.append(f"| {section} {SECTIONS.get(section, '')} | {len(inside)} | {count_verdicts(inside)} |")
    lines = [f"### {title}", "", *(f"- {fact}" for fact in facts), ""]
    lines += ["| section | cases | verdicts |", "| --- | --- | --- |", *rows]
    lines += [f"| **all** | **{len(cases)}** | **{count_verdicts(cases)}** |"]
    faults = find_faults(cases, expected)
    if faults:
        lines += ["", "Not good: " + "; ".join(faults) + "."]
    return "\n".join(lines)


def place(document: str, name: str, summary: str) -> str:
    """``document`` with ``summary`` between the markers of ``name``, added at the end where there are none."""
    first, last = f"<!-- autobahn: {name} -->", f"<!-- end of autobahn: {name} -->"
    block = f"{first}\n\n{summary}\n\n{last}"
    before, found, rest = document.partition(first)
    if not found:
        return f"{document.rstrip()}\n\n{block}\n"
    _, ended, after = rest.partition(last)
    if not ended:
        raise ValueError(f"the document has {first} without {last}")
    return f"{before}{block}{after}"


def write(path: Path, name: str, summary: str) -> None:
    """``place`` in the file ``path``."""
    path.write_text(place(path.read_text("utf-8"), name, summary), "utf-8")
