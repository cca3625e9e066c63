"""What building and dispatching one event costs, beside the frozen dataclasses that they behave like."""

from abc import ABC
from dataclasses import dataclass
from typing import Any

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row, time_ns

DATA = b"GET / HTTP/1.1\r\n\r\n"


class Event(ABC):
    """The base of the dataclasses that stand for comparison."""


@dataclass(frozen=True)
class RawData(Event):
    """Bytes, as a plain Python dataclass."""

    data: bytes
    address: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Closed(Event):
    """The end, as a plain Python dataclass."""


@dataclass(frozen=True)
class Updated(Event):
    """Idle or not, as a plain Python dataclass."""

    idle: bool


def make_handle(vocabulary: dict[str, Any]) -> Any:
    """A protocol's ``handle`` as Python code dispatches: one ``isinstance`` after another."""
    raw_data, closed, updated = vocabulary["RawData"], vocabulary["Closed"], vocabulary["Updated"]

    def handle(event: Any) -> Any:
        if isinstance(event, raw_data):
            return event.data
        if isinstance(event, closed):
            return None
        if isinstance(event, updated):
            return event.idle
        raise TypeError(event)

    return handle


STATEMENTS = {
    "build RawData(data)": "RawData(data)",
    "build RawData(data=data, address=None)": "RawData(data=data, address=None)",
    "build Updated(idle=True)": "Updated(idle=True)",
    "build Closed()": "Closed()",
    "dispatch a RawData": "handle(raw)",
    "dispatch an Updated": "handle(updated)",
    "build and dispatch a RawData": "handle(RawData(data))",
    "compare two RawData": "raw == other",
    "isinstance(event, Event)": "isinstance(raw, Event)",
}


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """A row for each statement, a variant for each room and one for the dataclasses."""
    vocabularies: dict[str, dict[str, Any]] = {}
    for room in rooms:
        vocabularies[room.name] = vars(room.module("events"))
    vocabularies["dataclass"] = {"Event": Event, "RawData": RawData, "Closed": Closed, "Updated": Updated}
    rows = {name: Row(name, {}) for name in STATEMENTS}
    for variant, vocabulary in vocabularies.items():
        names = {name: vocabulary[name] for name in ("Event", "RawData", "Closed", "Updated")}
        names |= {"data": DATA, "handle": make_handle(vocabulary), "updated": names["Updated"](True)}
        names |= {"raw": names["RawData"](DATA), "other": names["RawData"](bytes(bytearray(DATA)))}
        for name, statement in STATEMENTS.items():
            rows[name].ns[variant] = time_ns(statement, names, effort)
    for room in rooms:
        made = room.module("kernels").raw_data
        row = rows.setdefault("build by kernels.raw_data(data)", Row("build by kernels.raw_data(data)", {}))
        row.ns[room.name] = time_ns("raw_data(data)", {"raw_data": made, "data": DATA}, effort)
    return list(rows.values())
