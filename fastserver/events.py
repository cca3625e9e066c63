"""The events of a connection, as users see them: ``from fastserver.events import Event, RawData, Closed, Updated``."""

from ._speedups.events import Closed, Event, RawData, Updated

__all__ = ["Closed", "Event", "RawData", "Updated"]
