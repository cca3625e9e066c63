"""The messages of a session that its application has not taken yet (WS-9)."""

from sys import getsizeof

from .bounds import QUEUE_BYTES


class Inbox:
    """A queue that says when it is full: ``max_messages`` wait, or ``QUEUE_BYTES`` do.

    It takes what it is given even then; whoever fills it asks first.
    """

    def __init__(self, max_messages):
        self._max_messages = max_messages
        self._messages = []
        self._bytes = 0

    def is_empty(self):
        return not self._messages

    def is_full(self):
        return len(self._messages) >= self._max_messages or self._bytes >= QUEUE_BYTES

    def put(self, message):
        """Add a ``str`` or ``bytes``."""
        self._messages.append(message)
        self._bytes += measure(message)

    def take(self):
        """The oldest message; ``IndexError`` where there is none."""
        message = self._messages.pop(0)
        self._bytes -= measure(message)
        return message

    def clear(self):
        """The application takes no more messages."""
        self._messages.clear()
        self._bytes = 0


def measure(message):
    """Bytes that a message holds: one with a single wide character takes up to four for each."""
    if type(message) is bytes or message.isascii():
        return len(message)
    return getsizeof(message)
