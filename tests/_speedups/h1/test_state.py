"""The table of HTTP/1 states: each of its lines is taken by real traffic, and no traffic takes another way."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups import is_compiled
from fastserver._speedups.bounds import LINGER_BYTES, LINGER_S
from fastserver._speedups.contract import Application, Exchange, ResponseHead
from fastserver._speedups.h1 import outlet
from fastserver._speedups.h1.bounds import DISCARD_BYTES, DISCARD_S
from fastserver._speedups.h1.connection import H1Connection
from fastserver._speedups.h1.state import MOVES, NO_MOVE, STEPS, TRANSITIONS, H1State, H1Step
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from fastserver.states import draw
from tests._speedups import plain
from tests.fakes import App, FakeConnection, Gate, Message, Receive, Send, Wire, echo, ignore, read_body, respond

GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
#: Frames of a client whose mask is zero.
HELLO = b"\x81\x85\0\0\0\0hello"
BYE = b"\x88\x82\0\0\0\0\x03\xe8"
LAST_POST = b"POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n\r\n"


# ---- The table -------------------------------------------------------------------------------------------------------


def test_every_state_can_be_reached() -> None:
    reached = {H1State.WAITING_REQUEST}
    while more := {after for state in reached for after in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert reached == set(H1State)
    assert set(TRANSITIONS) == set(H1State)


def test_every_state_but_the_last_can_end() -> None:
    for state in H1State:
        closes = TRANSITIONS[state].get(H1Step.CLOSE)
        assert closes is (None if state is H1State.CLOSED else H1State.CLOSED)


def test_nothing_leads_back_from_the_end() -> None:
    """The connection compares numbers: from `ENDING` on nothing more is parsed, and that is for good."""
    assert [state.value for state in H1State] == list(range(len(H1State)))
    assert [step.value for step in H1Step] == list(range(STEPS))
    ended = {state for state in H1State if state.value >= H1State.ENDING.value}
    assert ended == {H1State.ENDING, H1State.LINGERING, H1State.CLOSED}
    assert {after for state in ended for after in TRANSITIONS[state].values()} <= ended
    assert len(MOVES) == len(H1State) * STEPS
    assert NO_MOVE not in {state.value for state in H1State}
    assert max(MOVES) <= NO_MOVE


#: What follows a state (a row) by each step (a column), by their numbers.
EXPECTED = """
    1  .  .  .  .  .  .  .  .  . 10
    .  3  2  .  .  .  .  .  .  9 10
    .  .  .  3  4  .  .  .  .  9 10
    .  .  .  .  4  7  .  .  .  . 10
    .  .  .  4  .  .  6  5  8  . 10
    .  .  .  6  .  .  .  .  .  9 10
    1  .  .  .  .  .  .  .  .  . 10
    .  .  .  .  .  .  .  .  .  9 10
    .  .  .  .  .  .  .  .  .  9 10
    .  .  .  .  .  .  .  .  .  . 10
    .  .  .  .  .  .  .  .  .  .  .
"""


def test_the_flat_table_is_the_table() -> None:
    assert list(MOVES) == [255 if cell == "." else int(cell) for cell in EXPECTED.split()]


def test_the_diagram_shows_each_transition_once() -> None:
    lines = draw().split("\n")
    assert lines[:5] == [
        "stateDiagram-v2",
        "    [*] --> waiting_request",
        "    waiting_request --> receiving_headers: head_begins",
        "    waiting_request --> closed: close",
        "    receiving_headers --> processing: request_whole",
    ]
    assert lines[-2:] == ["    lingering --> closed: close", "    closed --> [*]"]
    assert len(set(lines)) == len(lines) == 3 + sum(cell != "." for cell in EXPECTED.split())


# ---- Traffic that takes each line of it ------------------------------------------------------------------------------


async def answer_in_parts(scope: Message, receive: Receive, send: Send) -> None:
    """The head first; the rest once the body has been read."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await read_body(receive)
    await send({"type": "http.response.body", "body": b"b"})


async def answer_after_a_part(scope: Message, receive: Receive, send: Send) -> None:
    """Reads one message of the body, and leaves the rest."""
    await receive()
    await receive()
    await respond(send, b"enough")


async def fail_late(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    raise ValueError("late")


async def converse(scope: Message, receive: Receive, send: Send) -> None:
    """Sends back each message of a session, until it ends."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Watch:
    """A `Wire` and the states that its connection was seen in: at each thing that it sends, and after each step."""

    def __init__(self, app: App, **limits: float) -> None:
        self.states: list[str] = []
        self.wire = Wire(app, **limits)
        self.wire.host.application = HTTPApplication(app, self.wire.host, websocket=WebSocketSettings())
        self.look()

    def look(self) -> None:
        state = self.wire.protocol.state.name
        assert self.wire.protocol.describe_state() == state.lower()
        if not self.states or self.states[-1] != state:
            self.states.append(state)

    def __getattr__(self, name: str) -> Callable[..., "Watch"]:
        def step(*arguments: Any) -> "Watch":
            getattr(self.wire, name)(*arguments)
            self.look()
            return self

        return step


async def wait_for_the_end(scope: Message, receive: Receive, send: Send) -> None:
    """Answers nobody: the client has left when it comes to it."""
    while (await receive())["type"] != "http.disconnect":
        pass


SCENARIOS: dict[str, Callable[[], Watch]] = {
    "silent": lambda: Watch(echo).eof(),
    "silent for too long": lambda: Watch(echo).advance(60),
    "vanishes in a head": lambda: Watch(echo).feed(GET[:9]).vanish(),
    "leaves in a head": lambda: Watch(echo).feed(GET[:9]).eof(),
    "head takes too long": lambda: Watch(echo).feed(GET[:9]).advance(11).vanish(),
    "malformed": lambda: Watch(echo).feed(b"no request\r\n\r\n").feed(GET).advance(LINGER_S + 1).feed(GET),
    "lingers and sends too much": lambda: Watch(echo).feed(b"x\r\n\r\n").feed(bytes(LINGER_BYTES + 1)),
    "kept": lambda: Watch(echo).feed(GET).feed(GET).eof(),
    "kept and vanishes": lambda: Watch(echo).feed(GET).vanish(),
    "pipelined": lambda: Watch(echo).feed(GET * 3).eof(),
    "the last": lambda: Watch(echo).feed(LAST).vanish(),
    "the last, and more behind it": lambda: Watch(echo).feed(LAST + GET).advance(LINGER_S + 1),
    "body in its own time": lambda: Watch(echo).feed(POST).feed(b"bo", b"dy").eof(),
    "body with the head": lambda: Watch(echo).feed(POST + b"body").eof(),
    "body stops": lambda: Watch(echo).feed(POST).advance(60).vanish(),
    "body cut by the end": lambda: Watch(echo).feed(POST).eof().vanish(),
    "vanishes in a body": lambda: Watch(echo).feed(POST).vanish(),
    "vanishes before the answer": lambda: Watch(wait_for_the_end).feed(GET).vanish(),
    "answer begins before the body is there": lambda: Watch(answer_in_parts).feed(POST).feed(b"body").eof(),
    "vanishes in an answer": lambda: Watch(answer_in_parts).feed(POST).vanish(),
    "answer is cut": lambda: Watch(fail_late).feed(GET),
    "body ends while the answer begins": lambda: Watch(answer_in_parts).feed(POST + b"bo").eof(),
    "answer before the body, which comes": lambda: Watch(ignore).feed(POST).feed(b"body").feed(GET).eof(),
    "answer before the body, which stops": lambda: Watch(ignore).feed(POST).advance(DISCARD_S + 1).vanish(),
    "answer before the body, and gone": lambda: Watch(ignore).feed(POST).vanish(),
    "answer before a large body": lambda: Watch(ignore).feed(
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % (DISCARD_BYTES + 1), bytes(9)
    ),
    "the last answer, and the body in the same read": lambda: Watch(ignore).feed(LAST_POST + b"body").vanish(),
    "the last answer amid a body": lambda: Watch(answer_after_a_part).feed(LAST_POST, b"b").feed(b"ody").vanish(),
    "session": lambda: Watch(converse).feed(UPGRADE).feed(HELLO).feed(BYE).eof(),
    "session, its first words behind the head": lambda: Watch(converse).feed(UPGRADE + HELLO + BYE).vanish(),
    "session without a goodbye": lambda: Watch(converse).feed(UPGRADE).eof(),
    "vanishes in a session": lambda: Watch(converse).feed(UPGRADE).vanish(),
    "drained": lambda: Watch(echo).feed(GET).drain().feed(GET).vanish(),
}


def record_scenarios() -> dict[str, Any]:
    """For each scenario the states that were seen, and every `[state, step]` that was taken; in the plain build only.

    There the connection looks its moves up in a table that may be another one, as long as it answers alike.
    """
    assert not is_compiled()
    moves: list[list[str]] = []

    class RecordingMoves(tuple[int, ...]):
        def __getitem__(self, index: Any) -> Any:
            state, step = divmod(index, STEPS)
            moves.append([H1State(state).name, H1Step(step).name])
            return MOVES[index]

    outlet._MOVES = RecordingMoves(MOVES)
    found = {}
    for name, run in SCENARIOS.items():
        moves.clear()
        found[name] = {"states": run().states, "moves": list(moves)}
    return found


@pytest.fixture(scope="module")
def recorded() -> Any:
    return plain.call("tests._speedups.h1.test_state:record_scenarios")


def test_every_line_is_taken_and_no_other(recorded: Any) -> None:
    taken = {tuple(move) for scenario in recorded.values() for move in scenario["moves"]}
    assert taken == {(state.name, step.name) for state, steps in TRANSITIONS.items() for step in steps}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_state_is_the_one_that_the_table_says(recorded: Any, scenario: str) -> None:
    """In this build: what is seen between two steps is what the plain build, whose every move is known, comes to."""
    watch = SCENARIOS[scenario]()
    assert watch.states == recorded[scenario]["states"]
    walked = [H1State.WAITING_REQUEST]
    for _, step in recorded[scenario]["moves"]:
        walked.append(TRANSITIONS[walked[-1]][H1Step[step]])
    names = iter(state.name for state in walked)
    assert all(state in names for state in watch.states), (watch.states, walked)
    watch.wire.hang_up()


# ---- A way that is not in the table ----------------------------------------------------------------------------------


class Twice(Exchange):
    """Breaks the contract of a sink: begins two responses to one request."""

    def __init__(self, sink: Any) -> None:
        self.sink = sink

    def start(self) -> None:
        for _ in range(2):
            head = ResponseHead()
            head.status, head.content_length = 200, -1
            self.sink.respond(head, b"", True)

    def on_disconnect(self) -> None:
        pass


class Careless(Application):
    def open(self, sink: Any, request: Any) -> Exchange:
        return Twice(sink)


def test_a_step_that_is_not_in_the_table() -> None:
    wire = Wire(echo)
    wire.host.application = Careless()
    with pytest.raises(AssertionError) as caught:
        wire.feed(GET)
    assert str(caught.value) == "H1Step.RESPONSE_BEGINS in H1State.SENDING_RESPONSE"
    assert wire.protocol.state is H1State.SENDING_RESPONSE


# ---- The table is complete -------------------------------------------------------------------------------------------

HEADS = [GET, LAST, POST, LAST_POST, b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"]
EXPECTING = b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
PIECES = [
    *HEADS,
    UPGRADE,
    HELLO,
    BYE,
    EXPECTING,
    OLD,
    GET[:7],
    GET[7:],
    b"body",
    b"bo",
    b"4\r\nbody\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"\x00",
]
reads = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(b"".join)
peer_steps = st.one_of(
    st.tuples(st.just("feed"), reads),
    st.tuples(st.just("feed"), reads),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 12.0, 80.0])),
    st.sampled_from([(name,) for name in ("eof", "vanish", "drain", "block", "unblock", "open", "open", "settle")]),
)
MESSAGES = [
    *HEADS[:2],
    OLD,
    POST + b"body",
    LAST_POST + b"body",
    HEADS[4] + b"4\r\nbody\r\n0\r\n\r\n",
    EXPECTING + b"body",
    UPGRADE + HELLO,
]


@st.composite
def peer_scripts(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What a peer, its clock and its worker do: anything, and whole messages with something before their last bytes."""
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            message = draw(st.sampled_from(MESSAGES))
            cut = len(message) - draw(st.integers(0, 4))
            steps += [("feed", message[:cut]), *draw(st.lists(peer_steps, max_size=1)), ("feed", message[cut:])]
        else:
            steps.append(draw(peer_steps))
    return steps


app_steps = st.sampled_from(["receive", "wait", "start", "body", "end", "large", "fail", "close", "accept", "say"])


def perform(script: list[str], gate: Gate) -> App:
    """An application that does what `script` says, in an order that need make no sense."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for step in script:
            if step == "receive":
                await receive()
            elif step == "wait":
                await gate.wait()
            elif step == "fail":
                raise LookupError
            elif step == "accept":
                await send({"type": "websocket.accept"})
            elif step == "say":
                await send({"type": "websocket.send", "text": "text"})
            elif step in ("start", "close"):
                headers = [(b"connection", b"close")] if step == "close" else []
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            else:
                body = bytes(70_000) if step == "large" else b"part"
                await send({"type": "http.response.body", "body": body, "more_body": step != "end"})

    return app


@settings(max_examples=300)
@given(script=st.lists(app_steps, max_size=6), begins=st.booleans(), steps=peer_scripts())
def test_no_order_of_events_leaves_the_table(script: list[str], begins: bool, steps: list[tuple[Any, ...]]) -> None:
    gate = Gate()
    app = perform(["start", *script] if begins else script, gate)
    wire = Wire(app, keep_alive_max_requests=5)
    wire.host.application = HTTPApplication(app, wire.host, websocket=WebSocketSettings())
    for name, *arguments in steps:
        if name == "open":
            gate.open(wire)
        elif not wire.connection.lost:
            getattr(wire, name)(*arguments)
    while gate.waiting:
        gate.open(wire)
    wire.eof()
    wire.vanish()
    while gate.waiting:
        gate.open(wire)
    assert wire.loop.faults == []
    assert not [record for record in wire.log if record.exc_info and isinstance(record.exc_info[1], AssertionError)]
    assert wire.protocol.state is H1State.CLOSED


def test_a_new_connection_waits() -> None:
    wire = Wire(echo)
    protocol = H1Connection(FakeConnection(wire.host), wire.host)
    assert protocol.state is H1State.WAITING_REQUEST
    assert protocol.describe_state() == "waiting_request"
