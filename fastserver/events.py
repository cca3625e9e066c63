"""The events of a connection, as users see them: ``from fastserver.events import Event, RawData, Closed, Updated``.

``Direction`` and ``ConnectionState`` are what observers hear with them.
"""

from ._speedups.events import Closed, Event, RawData, Updated
from ._speedups.lifecycle import ConnectionState, Direction

__all__ = ["Closed", "ConnectionState", "Direction", "Event", "RawData", "Updated"]
