"""The channel between a supervisor and a worker: whole messages, no waiting, and the end of the other side."""

import socket

import pytest

from fastserver.processes.channel import Channel, Message, open_channel


@pytest.mark.parametrize("message", Message)
def test_a_message_arrives(message: Message) -> None:
    one, other = open_channel()
    one.send(message)
    other.send(message, reason="a\nb", details="\u20ac")
    assert other.receive() == [(message, {})]
    assert one.receive() == [(message, {"reason": "a\nb", "details": "\u20ac"})]
    assert (one.receive(), one.ended, other.ended) == ([], False, False)
    one.close()
    other.close()


def test_a_message_in_pieces_waits_for_its_end() -> None:
    near, far = socket.socketpair()
    channel = Channel(near)
    seen = []
    for byte in b"ready\nleaving\n":
        far.send(bytes([byte]))
        seen.append([message for message, _ in channel.receive()])
    assert seen == [[]] * 5 + [[Message.READY]] + [[]] * 7 + [[Message.LEAVING]]
    far.close()
    channel.close()


def test_last_words_are_heard_and_the_end_is_seen() -> None:
    one, other = open_channel()
    one.send(Message.FAILED, reason="no database")
    one.close()
    assert other.receive() == [(Message.FAILED, {"reason": "no database"})]
    assert other.ended
    other.send(Message.STOP)  # to nobody
    assert other.receive() == []
    other.close()


@pytest.mark.parametrize("timeout_s", [0.0, 0.01])
def test_a_reader_that_is_stuck_holds_up_nobody(timeout_s: float) -> None:
    one, other = open_channel()
    for _ in range(3):
        one.send(Message.FAILED, timeout_s, details="x" * (1 << 20))
    assert not one.ended
    assert other.receive() == []
    one.send(Message.READY)
    one.send(Message.LEAVING)
    assert other.receive() == [(Message.LEAVING, {})]  # what follows a message that was cut off is lost with it
    one.close()
    other.close()
