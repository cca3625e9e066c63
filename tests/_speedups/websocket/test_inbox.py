"""The inbox: when it is full, by messages and by bytes, and that what is taken makes room."""

import pytest

from fastserver._speedups.websocket.bounds import QUEUE_BYTES
from fastserver._speedups.websocket.inbox import Inbox


def test_messages_are_taken_in_order() -> None:
    inbox = Inbox(2)
    assert inbox.is_empty()
    inbox.put("a")
    inbox.put(b"b")
    assert not inbox.is_empty()
    assert [inbox.take(), inbox.take()] == ["a", b"b"]
    assert inbox.is_empty()
    with pytest.raises(IndexError):
        inbox.take()


@pytest.mark.parametrize(("count", "full"), [(1, False), (2, True), (3, True)])
def test_it_is_full_of_messages(count: int, full: bool) -> None:
    inbox = Inbox(2)
    for _ in range(count):
        inbox.put("")
    assert inbox.is_full() is full


@pytest.mark.parametrize(("size", "full"), [(QUEUE_BYTES - 1, False), (QUEUE_BYTES, True), (QUEUE_BYTES + 1, True)])
def test_it_is_full_of_bytes(size: int, full: bool) -> None:
    inbox = Inbox(32)
    inbox.put("x")
    inbox.put(bytes(size - 1))
    assert inbox.is_full() is full
    inbox.take()
    inbox.take()
    inbox.put(bytes(QUEUE_BYTES - 1))
    assert not inbox.is_full()


def test_clearing_makes_room_for_everything() -> None:
    inbox = Inbox(1)
    inbox.put(bytes(QUEUE_BYTES))
    inbox.clear()
    assert inbox.is_empty()
    assert not inbox.is_full()
