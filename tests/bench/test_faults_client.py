"""Who checks the checker: the client of ``bench.faults`` against servers that fail it in every way there is."""

import asyncio
import socket
from pathlib import Path

import pytest

from bench.faults.h1 import H1Client, Request
from bench.faults.h2 import H2Client
from bench.faults.load import perform_late
from bench.faults.outcome import FAILED, Attempt, Book, Outcome
from bench.faults.truth import START, TruthReader, Witness
from bench.faults.wire import Target, make_context
from bench.faults.ws import WSClient
from tests.bench import badserver
from tests.bench.badserver import (
    Handler,
    answer_once,
    answer_with,
    find_ident,
    meet,
    read_head,
    render,
    right,
    serve_h2,
    serve_ws,
)

ANSWER_S = 5.0


def ask(handler: Handler, count: int = 1, answer_s: float = ANSWER_S, pause_s: float = 0.0) -> list[Attempt]:
    """``count`` requests one after the other by one client."""
    book = Book("t")

    async def talk(port: int) -> None:
        client = H1Client(Target(port), answer_s=answer_s)
        for _ in range(count):
            await client.perform(book.open("test"), Request())
            await asyncio.sleep(pause_s)
        client.close()

    asyncio.run(meet(handler, talk))
    return book.attempts


def chunked(ident: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-id: {ident}\r\n\r\n".encode()
    return head + b"20\r\n" + b"x" * 32 + b"\r\n"


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (answer_with(right), Outcome.OK),
        (answer_with(lambda ident: render("another", fill_of(ident))), Outcome.WRONG),
        (answer_with(lambda ident: render(ident, fill_of("another"))), Outcome.WRONG),
        (answer_with(lambda ident: render(ident, fill_of(ident)[:-1] + b"?")), Outcome.WRONG),
        (answer_with(lambda ident: render(ident, fill_of(ident)[:-1])), Outcome.WRONG),
        (answer_with(lambda ident: render(ident, fill_of(ident), status="503 Busy")), Outcome.WRONG),
        (answer_with(lambda ident: b"SSH-2.0-server\r\n\r\n"), Outcome.WRONG),
        (answer_once(lambda ident: right(ident)[:-1]), Outcome.CUT),
        (answer_once(lambda ident: right(ident)[:20]), Outcome.CUT),
        (answer_once(chunked), Outcome.CUT),
        (badserver.reset_in_answer, Outcome.CUT),
        (badserver.reset_unanswered, Outcome.RESET),
        (badserver.close_unanswered, Outcome.ENDED),
    ],
)
def test_each_wrong_is_told_from_each_other(handler: Handler, outcome: Outcome) -> None:
    (attempt,) = ask(handler)
    assert attempt.outcome is outcome, attempt.describe()
    assert attempt.failed == (outcome is not Outcome.OK)


def fill_of(ident: str) -> bytes:
    return right(ident).split(b"\r\n\r\n", 1)[1]


@pytest.mark.parametrize("handler", [badserver.stay_silent, answer_with(chunked)])
def test_silence_is_a_timeout(handler: Handler) -> None:
    (attempt,) = ask(handler, answer_s=0.1)
    assert attempt.outcome is Outcome.TIMEOUT


def test_nothing_listening_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    attempt = asyncio.run(H1Client(Target(port)).perform(Book("t").open("test"), Request()))
    assert attempt.outcome is Outcome.REFUSED
    assert attempt.outcome not in FAILED


def test_no_tls_on_an_accepted_connection_is_a_failure() -> None:
    book = Book("t")

    async def talk(port: int) -> None:
        await H1Client(Target(port, tls=True)).perform(book.open("test"), Request())

    async def hang_up(reader: badserver.Reader, writer: badserver.Writer) -> None:
        await reader.read(10)

    asyncio.run(meet(hang_up, talk))
    assert book.attempts[0].outcome is Outcome.HANDSHAKE


# Connections that are kept.


def test_a_kept_connection_that_was_closed_while_idle_costs_nothing() -> None:
    first, second = ask(answer_once(right), count=2, pause_s=0.05)
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.OK)
    assert not second.reused


def test_a_kept_connection_that_is_closed_on_a_request_is_stale_and_failed() -> None:
    first, second = ask(badserver.drop_the_second, count=2)
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.STALE)
    assert second.failed
    assert second.owner == 7


def test_an_announced_end_is_not_used_again() -> None:
    attempts = ask(answer_with(lambda ident: render(ident, fill_of(ident), "connection: close")), count=2)
    assert [attempt.outcome for attempt in attempts] == [Outcome.OK, Outcome.OK]
    assert attempts[0].closing
    assert not attempts[1].reused


def test_a_connection_that_ends_before_it_is_used_is_a_failure_of_the_late_client() -> None:
    async def hang_up(reader: badserver.Reader, writer: badserver.Writer) -> None:
        pass

    book = Book("t")

    async def talk(port: int) -> None:
        await perform_late(H1Client(Target(port)), book.open("late"), wait_s=0.1)

    asyncio.run(meet(hang_up, talk))
    assert book.attempts[0].outcome is Outcome.ENDED


# Several at once.


def pipeline(handler: Handler) -> list[Outcome]:
    book = Book("t")

    async def talk(port: int) -> None:
        client = H1Client(Target(port), answer_s=ANSWER_S)
        await client.perform_pipelined([book.open("pipelined"), book.open("pipelined")], [Request(), Request()])
        client.close()

    asyncio.run(meet(handler, talk))
    return [attempt.outcome for attempt in book.attempts]


def test_pipelined_answers_belong_to_their_requests() -> None:
    assert pipeline(answer_with(right)) == [Outcome.OK, Outcome.OK]
    assert pipeline(badserver.swap_pipelined) == [Outcome.WRONG, Outcome.WRONG]


def test_what_follows_an_announced_end_was_told_so() -> None:
    async def answer_one(reader: badserver.Reader, writer: badserver.Writer) -> None:
        ident = find_ident(await read_head(reader))
        await read_head(reader)
        writer.write(render(ident, fill_of(ident), "connection: close"))

    assert pipeline(answer_one) == [Outcome.OK, Outcome.TOLD]


def test_what_follows_an_end_without_a_word_has_failed() -> None:
    async def answer_one(reader: badserver.Reader, writer: badserver.Writer) -> None:
        ident = find_ident(await read_head(reader))
        await read_head(reader)
        writer.write(right(ident))

    assert pipeline(answer_one) == [Outcome.OK, Outcome.ENDED]


# What the application says.


def test_executed_twice_and_executed_though_disclaimed_are_found_out(tmp_path: Path) -> None:
    witness, reader, book = Witness(tmp_path), TruthReader(tmp_path), Book("t")
    outcomes = (Outcome.OK, Outcome.OK, Outcome.OK, Outcome.TOLD, Outcome.TOLD, Outcome.REFUSED, Outcome.RESET)
    attempts = [book.open("test").judge(outcome) for outcome in outcomes]
    for index in (0, 1, 1, 3, 5, 6, 6):
        witness.note(START, attempts[index].ident)
    book.settle(reader.read())
    assert [attempt.outcome for attempt in attempts] == [
        Outcome.OK,
        Outcome.REPEATED,
        Outcome.WRONG,  # answered without the application
        Outcome.WRONG,
        Outcome.TOLD,
        Outcome.WRONG,
        Outcome.REPEATED,
    ]


# HTTP/2.


def ask_h2(misdeed: badserver.Misdeed, count: int = 1) -> list[Attempt]:
    book = Book("t")

    async def talk(port: int) -> None:
        client = H2Client(Target(port), make_context("h2"), ANSWER_S)
        for _ in range(count):
            await client.perform(book.open("h2"), Request())
        client.close()

    asyncio.run(meet(serve_h2(misdeed), talk))
    return book.attempts


@pytest.mark.parametrize(
    ("misdeed", "outcome"),
    [
        (badserver.h2_answer, Outcome.OK),
        (badserver.h2_answer_other, Outcome.WRONG),
        (badserver.h2_goaway_before, Outcome.TOLD),
        (badserver.h2_goaway_promise, Outcome.ENDED),
        (badserver.h2_refuse, Outcome.TOLD),
        (badserver.h2_reset_in_answer, Outcome.CUT),
        (badserver.h2_vanish, Outcome.ENDED),
    ],
)
def test_each_end_of_a_stream_is_told_from_each_other(misdeed: badserver.Misdeed, outcome: Outcome) -> None:
    (attempt,) = ask_h2(misdeed)
    assert attempt.outcome is outcome, attempt.describe()


def test_streams_after_a_goaway_go_to_a_new_connection() -> None:
    def answer_and_go(connection: badserver.H2, stream_id: int, ident: str) -> bool:
        badserver.h2_answer(connection, stream_id, ident)
        connection.close_connection(last_stream_id=stream_id)
        return False

    first, second = ask_h2(answer_and_go, count=2)
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.OK)
    assert not second.reused


# WebSockets.


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (serve_ws(badserver.ws_echo), Outcome.OK),
        (serve_ws(badserver.ws_echo_other), Outcome.WRONG),
        (serve_ws(badserver.ws_close(1012)), Outcome.TOLD),
        (serve_ws(badserver.ws_close(1001)), Outcome.TOLD),
        (serve_ws(badserver.ws_close(1011)), Outcome.WRONG),
        (serve_ws(badserver.ws_vanish), Outcome.ENDED),
    ],
)
def test_each_end_of_a_session_is_told_from_each_other(handler: Handler, outcome: Outcome) -> None:
    book = Book("t")

    async def talk(port: int) -> None:
        client = WSClient(Target(port), answer_s=ANSWER_S)
        await client.open(book.open("ws-open"))
        await client.echo(book.open("ws"))
        client.close()

    asyncio.run(meet(handler, talk))
    opened, echoed = book.attempts
    assert opened.outcome is Outcome.OK
    assert echoed.outcome is outcome, echoed.describe()


def test_a_refused_upgrade_is_wrong() -> None:
    book = Book("t")

    async def talk(port: int) -> None:
        client = WSClient(Target(port), answer_s=ANSWER_S)
        await client.open(book.open("ws-open"))
        assert not client.is_open

    asyncio.run(meet(answer_with(lambda ident: render(ident, b"", status="503 Busy")), talk))
    assert book.attempts[0].outcome is Outcome.WRONG
