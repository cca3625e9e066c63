"""The events behave as the frozen dataclasses of the same names, whether they are compiled or not."""

import copy
import dataclasses
import operator
import pickle
import sys
from typing import Any

import pytest

from fastserver.events import Closed, Event, RawData, Updated

ADDRESS = ("192.0.2.7", 4433)
EVENTS: list[Any] = [
    RawData(b""),
    RawData(b"bytes"),
    RawData(b"datagram", ADDRESS),
    RawData(b"datagram", ("2001:db8::7", 4433, 0, 0)),
    Closed(),
    Updated(idle=True),
    Updated(idle=False),
]
each_event = pytest.mark.parametrize("event", EVENTS, ids=repr)
each_class = pytest.mark.parametrize("cls", [RawData, Closed, Updated])


def rebuild(event: Any) -> Any:
    """An equal event made anew, field by field."""
    return type(event)(**{field.name: getattr(event, field.name) for field in dataclasses.fields(event)})


def name_by_match(event: Event) -> str:
    """Class patterns, positional and by keyword: each case says what it bound."""
    match event:
        case RawData(data, None):
            return f"stream {data!r}"
        case RawData(data=data, address=(host, port, *_)):
            return f"datagram {data!r} of {host} {port}"
        case Closed():
            return "closed"
        case Updated(idle=True):
            return "idle"
        case Updated(False):
            return "active"
        case _:
            return "unknown"


# Construction.


def test_positional_construction() -> None:
    event = RawData(b"data", ADDRESS)
    assert (event.data, event.address) == (b"data", ADDRESS)
    assert Updated(True).idle is True
    assert Updated(False).idle is False


def test_keyword_construction() -> None:
    event = RawData(address=ADDRESS, data=b"data")
    assert (event.data, event.address) == (b"data", ADDRESS)
    assert Updated(idle=False).idle is False


def test_address_is_none_unless_given() -> None:
    assert RawData(b"data").address is None
    assert RawData(data=b"data", address=None) == RawData(b"data")


@pytest.mark.parametrize(
    ("cls", "arguments"), [(RawData, ()), (RawData, (b"", None, 1)), (Closed, (1,)), (Updated, ())]
)
def test_wrong_number_of_arguments(cls: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        cls(*arguments)


@pytest.mark.parametrize("cls", [Closed, Updated, RawData])
def test_unknown_keyword(cls: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        cls(**({} if cls is Closed else {dataclasses.fields(cls)[0].name: b""}), colour="red")


@pytest.mark.parametrize(
    "data", ["text", bytearray(b"buffer"), memoryview(b"view"), 7, None], ids=lambda v: type(v).__name__
)
def test_data_must_be_bytes(data: Any) -> None:
    with pytest.raises(TypeError):
        RawData(data)


@pytest.mark.parametrize("address", [["192.0.2.7", 4433], "192.0.2.7", b"/run/socket"], ids=lambda v: type(v).__name__)
def test_address_must_be_a_tuple(address: Any) -> None:
    with pytest.raises(TypeError):
        RawData(b"", address)


def test_data_is_held_and_not_copied() -> None:
    data = bytes(100_000)
    assert RawData(data).data is data


# Comparison, hash, repr.


@each_event
def test_equal_to_one_with_the_same_fields(event: Any) -> None:
    twin = rebuild(event)
    assert twin is not event
    assert twin == event
    assert hash(twin) == hash(event)
    assert {event: "found"}[twin] == "found"


def test_events_differ_from_each_other() -> None:
    for index, event in enumerate(EVENTS):
        for other in EVENTS[index + 1 :]:
            assert event != other
    assert len(set(EVENTS)) == len(EVENTS)


@each_event
def test_not_equal_to_other_types(event: Any) -> None:
    assert event != dataclasses.astuple(event)
    assert event.__eq__(object()) is NotImplemented


def test_events_have_no_order() -> None:
    with pytest.raises(TypeError, match="not supported between"):
        operator.lt(*EVENTS[:2])


def test_repr() -> None:
    assert repr(RawData(b"a\r\n")) == r"RawData(data=b'a\r\n', address=None)"
    assert repr(RawData(b"", ("h", 1))) == "RawData(data=b'', address=('h', 1))"
    assert repr(Closed()) == "Closed()"
    assert repr(Updated(True)) == "Updated(idle=True)"
    assert str(Updated(False)) == "Updated(idle=False)"


@each_event
def test_repr_evaluates_to_an_equal_event(event: Any) -> None:
    assert eval(repr(event), {"RawData": RawData, "Closed": Closed, "Updated": Updated}) == event


# Frozen.


@pytest.mark.parametrize(
    ("event", "name"), [(RawData(b"a"), "data"), (RawData(b"a"), "address"), (Updated(True), "idle")]
)
def test_fields_cannot_be_changed(event: Any, name: str) -> None:
    # FrozenInstanceError is an AttributeError.
    with pytest.raises(AttributeError):
        setattr(event, name, getattr(event, name))
    with pytest.raises(AttributeError):
        delattr(event, name)


@each_event
def test_attributes_cannot_be_added(event: Any) -> None:
    with pytest.raises(AttributeError):
        event.seen = True


# Classes.


@each_event
def test_every_event_is_an_event(event: Any) -> None:
    assert isinstance(event, Event)
    assert issubclass(type(event), Event)
    assert [cls for cls in (RawData, Closed, Updated) if isinstance(event, cls)] == [type(event)]


def test_other_objects_are_no_events() -> None:
    assert not isinstance(b"", Event)
    assert not isinstance(object(), Event)


def test_a_user_subclasses_event() -> None:
    @dataclasses.dataclass(frozen=True)
    class Tick(Event):
        at_s: float

    tick = Tick(at_s=1.5)
    assert isinstance(tick, Event)
    assert not isinstance(tick, RawData)
    assert tick == Tick(1.5)
    assert name_by_match(tick) == "unknown"


def test_match_statement() -> None:
    assert [name_by_match(event) for event in EVENTS] == [
        "stream b''",
        "stream b'bytes'",
        "datagram b'datagram' of 192.0.2.7 4433",
        "datagram b'datagram' of 2001:db8::7 4433",
        "closed",
        "idle",
        "active",
    ]
    assert (RawData.__match_args__, Closed.__match_args__, Updated.__match_args__) == (
        ("data", "address"),
        (),
        ("idle",),
    )


@each_class
def test_names_and_documentation(cls: Any) -> None:
    assert cls.__name__ == cls.__qualname__
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")


# The functions of the module dataclasses.


@each_class
def test_is_a_dataclass(cls: Any) -> None:
    assert dataclasses.is_dataclass(cls)


def test_fields() -> None:
    assert [field.name for field in dataclasses.fields(RawData)] == ["data", "address"]
    assert [field.default for field in dataclasses.fields(RawData)] == [dataclasses.MISSING, None]
    assert [field.name for field in dataclasses.fields(Updated(True))] == ["idle"]
    assert dataclasses.fields(Closed) == ()


def test_asdict_and_astuple() -> None:
    assert dataclasses.asdict(RawData(b"a", ADDRESS)) == {"data": b"a", "address": ADDRESS}
    assert dataclasses.asdict(Updated(True)) == {"idle": True}
    assert dataclasses.asdict(Closed()) == {}
    assert dataclasses.astuple(RawData(b"a", ADDRESS)) == (b"a", ADDRESS)
    assert dataclasses.astuple(Closed()) == ()


def test_replace() -> None:
    event = RawData(b"a", ADDRESS)
    assert dataclasses.replace(event, data=b"b") == RawData(b"b", ADDRESS)
    assert dataclasses.replace(event, address=None) == RawData(b"a")
    assert dataclasses.replace(Updated(True), idle=False) == Updated(False)
    assert event == RawData(b"a", ADDRESS)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
def test_copy_replace() -> None:
    assert copy.replace(RawData(b"a", ADDRESS), data=b"b") == RawData(b"b", ADDRESS)  # type: ignore[attr-defined]


# Pickling and copying.


@each_event
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(event: Any, protocol: int) -> None:
    copied = pickle.loads(pickle.dumps(event, protocol))
    assert type(copied) is type(event)
    assert copied == event


@each_event
@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_copy(event: Any, copier: Any) -> None:
    copied = copier(event)
    assert type(copied) is type(event)
    assert copied == event
