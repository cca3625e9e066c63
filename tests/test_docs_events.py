"""``docs/events.md`` says what is: its programs are run, its tables and its diagram are compared with the sources.

``python -m tests.test_docs_events`` writes the diagram and the table of Prometheus' families anew.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastserver
from fastserver import observe
from fastserver._speedups.histogram import BOUNDS
from fastserver.events import ConnectionState, Direction, Event
from fastserver.metrics import statsd
from fastserver.metrics.exposition import FAMILIES, WORKER_FAMILIES
from fastserver.protocol.facade import HandlerConnection
from fastserver.reference import name_object
from fastserver.states import H2_TRANSITIONS, H3_TRANSITIONS, draw

PATH = Path(__file__).parents[1] / "docs" / "events.md"
TEXT = PATH.read_text("utf-8")
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(.*?)(?=^```python|^## |\Z)", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = [(found[1], found[2]) for found in PROGRAM.finditer(TEXT)]


def draw_families() -> str:
    lines = ["| Family | Kind | Labels | |", "|---|---|---|---|"]
    for families, first in ((FAMILIES, ()), (WORKER_FAMILIES, ("pid",))):
        for family in families:
            labels = ", ".join(f"`{label}`" for label in (*first, *family.labels))
            lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines)


def write(text: str) -> str:
    """``text`` with its written parts as they ought to be."""
    parts = {
        "diagram": f"```mermaid\n{draw()}\n```",
        "diagram of HTTP/2": f"```mermaid\n{draw(H2_TRANSITIONS)}\n```",
        "diagram of HTTP/3": f"```mermaid\n{draw(H3_TRANSITIONS)}\n```",
        "families": draw_families(),
    }
    for name, part in parts.items():
        before, mark, rest = text.partition(f"<!-- {name}: ")
        remark, _, rest = rest.partition("\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end
        text = f"{before}{mark}{remark}\n\n{part}\n\n{end}{after}"
    return text


def read_first_column(heading: str) -> list[str]:
    """The names in backquotes of the first column of the table whose head begins with ``heading``."""
    rows = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert rows
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_what_is_written_is_up_to_date() -> None:
    assert write(TEXT) == TEXT, "run python -m tests.test_docs_events"


@pytest.mark.parametrize(("program", "rest"), PROGRAMS, ids=[str(place) for place in range(len(PROGRAMS))])
def test_programs_print_what_is_shown(program: str, rest: str, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = OUTPUT.findall(rest)
    exec(compile(program, str(PATH), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown


def test_there_are_programs() -> None:
    assert len(PROGRAMS) == TEXT.count("```python") == 4


def test_stats_have_the_keys() -> None:
    async def read() -> dict[str, object]:
        async with fastserver.Server("examples.hello:app", fastserver.Config(bind="127.0.0.1:0")) as server:
            return server.get_stats()

    assert read_first_column("Key") == list(asyncio.run(read()))


def list_public(kind: type) -> Iterator[str]:
    return (name for name in dir(kind) if not name.startswith("_"))


def test_connections_have_the_attributes() -> None:
    """As an observer gets it from a live server, which tells of each attribute that is missing."""
    names = {name.partition("(")[0] for name in read_first_column("Attribute")}
    request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
    facts: list[dict[str, object]] = []

    def ask(connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        facts.append({name: getattr(connection, name) for name in names})

    async def talk() -> None:
        config = fastserver.Config(bind="127.0.0.1:0", observers=[ask])
        async with fastserver.Server("examples.hello:app", config) as server:
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(request)
            await reader.read()
            writer.close()
            assert server.get_stats()["observers"][name_object(ask)] == {"errors": 0, "dropped": 0}

    asyncio.run(talk())
    last = facts[-1]
    assert (last["id"], last["state"], last["protocol"], last["requests"]) == (1, ConnectionState.CLOSED, "http/1.1", 1)
    assert (last["bytes_in"], last["protocol_state"]) == (len(request), "closed")
    assert {"since", "opened", "peer", "bytes_out", "close"} <= names


def test_handlers_have_the_attributes() -> None:
    names = {re.sub(r"await |\(.*", "", name) for name in read_first_column("`connection` has")}
    assert names == set(list_public(HandlerConnection))


def test_states() -> None:
    assert sorted(read_first_column("`ConnectionState`")) == sorted(state.name for state in ConnectionState)


def test_names_of_statsd() -> None:
    names = read_first_column("Name")
    tables = (*statsd._COUNTERS, *statsd._GAUGES)
    sent = [template for template, _ in tables]
    patterns = [re.escape(name).replace("\\{\\}", "[A-Za-z0-9_]+") for name in sent]
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    for name, _, percents in statsd._QUANTILES:
        assert f"{name}.p{percents[0]}" in names
    unknown = {name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)}
    assert unknown == {"request.duration.p50", ".p95", ".p99", "event_loop.lag.p99", "workers", "uptime"}


def test_figures() -> None:
    assert f"a queue of {observe.QUEUE_EVENTS:,} events and {observe.QUEUE_BYTES >> 20} MiB" in TEXT
    assert f"{len(BOUNDS)} bounds from {BOUNDS[0] * 1000:g} ms to {BOUNDS[-1]:g} s" in TEXT


def test_links_lead_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in TEXT.splitlines()}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert os.path.exists(PATH.parent / target), target


if __name__ == "__main__":
    PATH.write_text(write(TEXT), "utf-8")
