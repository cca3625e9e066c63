# What type checkers see of the events: registration with an abstract base class is nothing that they follow.
from abc import ABC
from dataclasses import dataclass
from typing import Any, final

class Event(ABC): ...

@final
@dataclass(frozen=True)
class RawData(Event):
    data: bytes
    address: tuple[Any, ...] | None = None

@final
@dataclass(frozen=True)
class Closed(Event): ...

@final
@dataclass(frozen=True)
class Updated(Event):
    idle: bool

CLOSED: Closed
IDLE: Updated
ACTIVE: Updated
