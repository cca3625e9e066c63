"""The fakes on both sides of HTTP/3 have what is asked of them, with the signatures of what they stand for."""

import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("aioquic")

import fastserver._speedups
from fastserver._speedups.h3.connection import H3Connection
from fastserver._speedups.quic.engine import Engine
from fastserver._speedups.udp import UDPConnection
from tests._speedups.quic.pair import Ear
from tests.h3wire import DatagramConnection, FakeEngine

ROOMS = Path(fastserver._speedups.__file__).parent


def find_asked(room: str, name: str) -> set[str]:
    """What the modules of `room` ask of something that they call `name`."""
    text = "".join(path.read_text() for path in ROOMS.joinpath(room).glob("*.py"))
    return set(re.findall(rf"\b_?{name}\.([a-z]\w*)", text))


def count_parameters(kind: type, name: str) -> int | None:
    """How many arguments by place a method takes; `None` for what is no method."""
    method = getattr(kind, name, None)
    if not callable(method):
        return None
    parameters = inspect.signature(method).parameters.values()
    return sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters)


@pytest.mark.parametrize(
    ("room", "name", "fake", "real", "least"),
    [
        ("h3", "engine", FakeEngine, Engine, 13),
        ("h3", "connection", DatagramConnection, UDPConnection, 8),
        ("quic", "listener", Ear, H3Connection, 8),
    ],
)
def test_a_fake_is_like_what_it_stands_for(room: str, name: str, fake: type, real: type, least: int) -> None:
    asked = find_asked(room, name)
    assert len(asked) >= least
    assert {each: count_parameters(fake, each) for each in asked} == {
        each: count_parameters(real, each) for each in asked
    }
