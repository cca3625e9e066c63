"""The example handlers: how they read what comes in any pieces, and where their buffers end."""

import pytest

from examples.events.protocol_handler import (
    LONGEST_ARGUMENT_BYTES,
    LONGEST_LINE_BYTES,
    LONGEST_REQUEST_BYTES,
    MOST_ARGUMENTS,
    Echo,
    Ping,
)
from fastserver._speedups.bounds import CORK_BYTES
from tests.fakes import every_cut
from tests.protocol.bench import Bench


def array(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(bulk(word) for word in words)


def bulk(word: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word)


CASES = [
    (b"PING\r\n", b"+PONG\r\n"),
    (b"ping\nPiNg\r\n", b"+PONG\r\n+PONG\r\n"),
    (b"\r\n\r\nping hello\r\n", b"$5\r\nhello\r\n"),
    (array(b"PING"), b"+PONG\r\n"),
    (array(b"ping", b"a\r\nb"), bulk(b"a\r\nb")),
    (array(b"ECHO", b"") + array() + array(b"ECHO", b"*1\r\n"), bulk(b"") + bulk(b"*1\r\n")),
    (array(b"COMMAND", b"COUNT"), b":4\r\n"),
    (b"COMMAND LIST\r\n", array(b"command", b"echo", b"ping", b"quit")),
    (array(b"SET", b"a", b"1") + b"echo\r\n", b"-ERR unknown command\r\n-ERR wrong arguments\r\n"),
]
ENDS = [
    (array(b"QUIT") + array(b"PING"), b"+OK\r\n"),
    (b"ping\r\nquit\r\nping\r\n", b"+PONG\r\n+OK\r\n"),
    (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*-1\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*%d\r\n" % (MOST_ARGUMENTS + 1), b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n+PING\r\n", b"-ERR Protocol error: expected '$'\r\n"),
    (b"*1\r\n$%d\r\n" % (LONGEST_ARGUMENT_BYTES + 1), b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$4\r\nPINGxx", b"-ERR Protocol error: expected CRLF behind a bulk string\r\n"),
    (b"*" + b"1" * 100, b"-ERR Protocol error: invalid multibulk length\r\n"),
]


@pytest.mark.parametrize(("sent", "replies"), CASES)
def test_ping_answers(sent: bytes, replies: bytes) -> None:
    for reads in every_cut(sent):
        bench = Bench(Ping).feed(*reads)
        assert (bench.out, bench.connection.finished) == (replies, False)
        bench.hang_up()


@pytest.mark.parametrize(("sent", "replies"), ENDS)
def test_ping_ends(sent: bytes, replies: bytes) -> None:
    for reads in every_cut(sent):
        bench = Bench(Ping).feed(*reads)
        assert (bench.out, bench.connection.finished, bench.faults) == (replies, True, [])
        bench.hang_up()


def test_pipelined_pings_leave_in_one_write() -> None:
    assert Bench(Ping).feed(array(b"PING") * 100).writes == [b"+PONG\r\n" * 100]


@pytest.mark.parametrize("size", [LONGEST_ARGUMENT_BYTES - 1, LONGEST_ARGUMENT_BYTES, LONGEST_ARGUMENT_BYTES + 1])
def test_the_longest_argument(size: int) -> None:
    bench = Bench(Ping).feed(array(b"ECHO", bytes(size)))
    assert bench.connection.finished is (size > LONGEST_ARGUMENT_BYTES)
    assert len(bench.out) > size or bench.connection.finished


@pytest.mark.parametrize("size", [LONGEST_ARGUMENT_BYTES - 1, LONGEST_ARGUMENT_BYTES, LONGEST_ARGUMENT_BYTES + 1])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_longest_line_of_ping(size: int, end: bytes) -> None:
    line = b"ping " + b"x" * (size - 5) + end
    for reads in ([line], [line[:-1], line[-1:]], [line[:100], line[100:]]):
        assert Bench(Ping).feed(*reads).connection.finished is (size > LONGEST_ARGUMENT_BYTES)


def test_the_longest_request() -> None:
    words = [bytes(LONGEST_ARGUMENT_BYTES)] * (LONGEST_REQUEST_BYTES // LONGEST_ARGUMENT_BYTES)
    bench = Bench(Ping).feed(array(*words[1:]))
    assert bench.out == b"-ERR unknown command\r\n"
    bench.feed(array(*words))
    assert b"too big request" in bench.out


def test_echo() -> None:
    sent = b"one\ntwo\r\n\nrest"
    for reads in every_cut(sent):
        bench = Bench(Echo).feed(*reads)
        assert bench.out == b"one\ntwo\r\n\n"
        bench.hang_up()


@pytest.mark.parametrize("size", [LONGEST_LINE_BYTES - 1, LONGEST_LINE_BYTES, LONGEST_LINE_BYTES + 1])
def test_the_longest_line_of_echo(size: int) -> None:
    line = b"x" * size
    for reads in ([line + b"\n"], [line, b"\n"]):
        bench = Bench(Echo).feed(*reads)
        assert bench.out == (line if size <= LONGEST_LINE_BYTES else b"line too long") + b"\n"
        assert bench.connection.finished is (size > LONGEST_LINE_BYTES)


def test_echo_waits_for_a_slow_peer() -> None:
    line = b"x" * (LONGEST_LINE_BYTES - 1) + b"\n"
    full = line * (CORK_BYTES // len(line))
    bench = Bench(Echo)
    bench.connection.full_at = full
    bench.feed(full + b"rest\n")
    assert bench.writes == [full]
    bench.unblock()
    assert bench.writes == [full, b"rest\n"]
    bench.hang_up()
