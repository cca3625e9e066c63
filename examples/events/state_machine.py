"""Two state machines beside a live server: the one that it has itself, and one of your own, driven by events alone.

::

    fastserver --observer examples.events.state_machine:StateWatch examples.hello:app
    curl http://127.0.0.1:8000/

shows, when the connection has closed, which way it went::

    connection 1 of http/1.1: waiting_request, receiving_headers, keep_alive, closed
    by its events: waiting, receiving, responding, waiting, closed

An observer hears of a step of the application when it leaves as one write: a response that is whole at once takes the
server from receiving_headers to keep_alive before any event.  The whole table, as a Mermaid diagram::

    python -m examples.events.state_machine
"""

from enum import Enum

import fastserver
from fastserver.events import Closed, Direction, Event, RawData, Updated
from fastserver.states import draw


class Phase(Enum):
    """What a connection that takes turns can be told to do, from outside."""

    WAITING = "waiting"
    RECEIVING = "receiving"
    RESPONDING = "responding"
    CLOSED = "closed"


#: What follows a phase, by direction and kind of the event.  What is not here changes nothing.
TABLE = {
    (Phase.WAITING, Direction.IN, RawData): Phase.RECEIVING,
    (Phase.RECEIVING, Direction.OUT, RawData): Phase.RESPONDING,
    (Phase.RESPONDING, Direction.OUT, Updated): Phase.WAITING,
}


class PhaseMachine:
    """Your own machine: the table is the law, and it needs no server to be tested."""

    def __init__(self) -> None:
        self.phase = Phase.WAITING

    def handle_event(self, direction: Direction, event: Event) -> Phase:
        if isinstance(event, Closed):
            self.phase = Phase.CLOSED
        else:
            self.phase = TABLE.get((self.phase, direction, type(event)), self.phase)
        return self.phase


class StateWatch:
    """An observer that keeps the way of each open connection.

    It is synchronous: only in place does a connection stand where it stood when the event happened.
    """

    def __init__(self) -> None:
        self.ways: dict[int, tuple[PhaseMachine, list[str], list[str]]] = {}

    def __call__(self, connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        machine, states, phases = self.ways.setdefault(connection.id, (PhaseMachine(), [], []))
        note(states, connection.protocol_state)
        note(phases, machine.handle_event(direction, event).value)
        if isinstance(event, Closed):
            del self.ways[connection.id]
            print(f"connection {connection.id} of {connection.protocol}: {', '.join(states)}")
            print(f"by its events: {', '.join(phases)}")


def note(way: list[str], place: str) -> None:
    if way[-1:] != [place]:
        way.append(place)


if __name__ == "__main__":
    print(draw())
