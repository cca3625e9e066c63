"""An observer that tells TCP from UDP by ``RawData.address``, and prints where each client of HTTP/3 is and moves to.

Have a server show it, and ask it by HTTP/3 (``curl --http3-only -k https://127.0.0.1:8000/``)::

    fastserver --observer examples.events.datagrams:Addresses --dev-cert --http3 examples.hello:app

A client that changes its network in the middle shows one line more, and its connection goes on.
"""

import fastserver
from fastserver.events import Closed, Direction, Event, RawData


class Addresses:
    """Prints each address from which the datagrams of a connection come; connections over TCP have none."""

    hears = (RawData, Closed)

    def __init__(self) -> None:
        self.places: dict[int, tuple[str, int]] = {}
        self.datagrams = 0

    def __call__(self, connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        if isinstance(event, Closed):
            if self.places.pop(connection.id, None) is not None:
                print(f"{connection.id} closed")
        elif isinstance(event, RawData) and event.address is not None and direction is Direction.IN:
            self.datagrams += 1
            self._note(connection.id, event.address)

    def _note(self, number: int, address: tuple[str, int]) -> None:
        known = self.places.get(number)
        if known != address:
            self.places[number] = address
            host, port = address
            print(f"{number} {'opened' if known is None else 'moved'} {host} {port}")
