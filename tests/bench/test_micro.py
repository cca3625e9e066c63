"""``bench.micro``: it times what it says, in both builds, and its table reads right."""

from collections.abc import Callable

import pytest

from bench.micro import datagrams, events, exchange, hpack, kernels, qpack
from bench.micro.__main__ import render
from bench.micro.rooms import Room, open_rooms
from bench.micro.timing import Effort, Row, make_loop, time_ns
from fastserver._speedups import is_compiled

ONCE = Effort(repeats=1, repeat_s=0.0)


def test_a_loop_runs_its_statement_as_often_as_it_is_told() -> None:
    calls: list[int] = []
    loop = make_loop("calls.append(x)", {"calls": calls, "x": 7})
    assert loop(5) > 0
    assert calls == [7] * 5


def test_the_time_is_for_one_run() -> None:
    calls: list[None] = []
    ns = time_ns("calls.append(None)", {"calls": calls}, Effort(repeats=2, repeat_s=0.0001))
    assert len(calls) > 2
    assert 0 < ns < 100_000


def test_the_plain_room_is_never_compiled_and_stands_beside_the_compiled_one() -> None:
    rooms = open_rooms()
    assert [room.name for room in rooms] == (["compiled", "plain"] if is_compiled() else ["plain"])
    for name in ("events", "kernels", "h1.connection", "hpack.decoder"):
        assert str(rooms[-1].module(name).__file__).endswith(f"{name.replace('.', '/')}.py")
    assert rooms[-1].module("h1.connection").RawData is rooms[-1].module("events").RawData


@pytest.mark.parametrize(
    ("measure", "variants"),
    [
        (events.measure, {"dataclass"}),
        (kernels.measure, set()),
        (hpack.measure, {"hpack"}),
        (qpack.measure, {"pylsqpack"}),
        (exchange.measure, set()),
        (datagrams.measure, {"socket"}),
    ],
    ids=["events", "kernels", "hpack", "qpack", "exchange", "datagrams"],
)
def test_every_suite_runs_in_every_room(measure: Callable[[list[Room], Effort], list[Row]], variants: set[str]) -> None:
    rooms = open_rooms()
    rows = measure(rooms, ONCE)
    names = {room.name for room in rooms}
    assert all(names <= set(row.ns) <= names | variants for row in rows)
    assert all(ns > 0 for row in rows for ns in row.ns.values())


def test_quic_is_timed_where_aioquic_is() -> None:
    pytest.importorskip("aioquic")
    from bench.micro import quic

    rooms = open_rooms()
    makers = quic.list_makers(rooms)
    assert set(makers) == {room.name for room in rooms} | {"aioquic"}
    for maker in makers.values():
        assert quic.time_requests(maker, 2, 1) > 0
        assert quic.time_download(maker, 64 * 1024) > 0


def test_a_table_divides_the_last_variant_by_the_first() -> None:
    rows = [Row("one", {"compiled": 20.0, "plain": 1500.0}), Row("two", {"compiled": 5.0})]
    assert [line.split() for line in render("things", rows).splitlines()] == [
        ["things,", "ns", "compiled", "plain", "plain/compiled"],
        ["-" * 43],
        ["one", "20", "1,500", "75.0x"],
        ["two", "5", "-", "-"],
    ]


def test_a_table_of_one_variant_has_no_quotient() -> None:
    assert render("things", [Row("one", {"plain": 3.0})]).splitlines()[-1].split() == ["one", "3"]
