"""The exchange against a model: any sequence of sends, and any order of body bytes, receives and cancellations."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.events import RawData
from tests.fakes import App, Message, Receive, Send, Wire

# ---- What an application may send ------------------------------------------------------------------------------------


@dataclass
class Model:
    """What becomes of a response, told without looking at how the exchange does it."""

    bodyless: bool
    length: int | None
    trailers: bool
    phase: str = "nothing"  # started, body, trailers, complete, gone
    #: The client has all of the response, whatever the application goes on to say.
    whole: bool = False
    body: bytes = b""
    hints: int = 0
    events: list[str] = field(default_factory=list)

    def take(self, message: Message) -> type[Exception] | None:
        """The class of the exception that `send(message)` is to raise, or `None`."""
        kind = message["type"].rpartition(".")[2]
        if self.phase == "gone":
            return ClientDisconnected
        if kind == "start" and self.phase == "nothing":
            self.phase = "started"
        elif kind == "body" and self.phase in ("started", "body"):
            return self._take_body(message["body"], message["more_body"])
        elif kind == "trailers" and self.phase == "trailers":
            if not message["more_trailers"]:
                self.phase = "complete"
        elif kind == "early_hint" and self.phase != "complete":
            self.hints += self.phase in ("nothing", "started")
        else:
            return RuntimeError
        return None

    def _take_body(self, body: bytes, more: bool) -> type[Exception] | None:
        if self.length is not None and not self.bodyless:
            excess = len(self.body) + len(body) > self.length
            if not excess and not more and len(self.body) + len(body) < self.length:
                self.phase = "gone"
                return RuntimeError
            self.body = (self.body + body)[: self.length]
            if excess:
                self.phase = "complete"
                return RuntimeError
        else:
            self.body += body
        self.whole = self.bodyless
        self.phase = "body" if more else "trailers" if self.trailers else "complete"
        return None


def start_of(model: Model, status: int) -> Message:
    headers = [] if model.length is None else [(b"content-length", b"%d" % model.length)]
    return {"type": "http.response.start", "status": status, "headers": headers, "trailers": model.trailers}


def messages_of(model: Model, status: int) -> st.SearchStrategy[Message]:
    return st.one_of(
        st.just(start_of(model, status)),
        st.builds(
            lambda body, more: {"type": "http.response.body", "body": body, "more_body": more},
            st.sampled_from([b"", b"a", b"bcd", b"e" * 20_000]),
            st.booleans(),
        ),
        st.just({"type": "http.response.early_hint", "links": [b"</a>"]}),
        st.builds(
            lambda more: {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": more},
            st.booleans(),
        ),
    )


def send_all(messages: Sequence[Message], pauses: Sequence[bool], model: Model, raises: bool) -> App:
    """An application that sends `messages`, holds each result against the model, and returns or raises."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message, pause in zip(messages, pauses, strict=False):
            expected = model.take(message)
            raised: type[BaseException] | None = None
            try:
                await send(message)
            except Exception as error:
                raised = type(error)
            model.events.append(f"{message['type']}: {raised}")
            assert raised is expected, model.events
            if pause:
                await asyncio.sleep(0)
        model.events.append("end")
        if raises:
            raise LookupError

    return app


@settings(max_examples=300)
@given(data=st.data())
def test_any_sequence_of_sends_does_what_the_model_says(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(["GET", "HEAD"]))
    status = data.draw(st.sampled_from([200, 204, 304]))
    length = data.draw(st.sampled_from([None, 0, 1, 4, 20_001])) if status != 204 else None
    model = Model(method == "HEAD" or status in (204, 304), length, data.draw(st.booleans()))
    messages = data.draw(st.lists(messages_of(model, status), max_size=8))
    if data.draw(st.booleans()):
        messages.insert(0, start_of(model, status))
    pauses = data.draw(st.lists(st.booleans(), min_size=len(messages), max_size=len(messages)))
    wire = Wire(send_all(messages, pauses, model, data.draw(st.booleans())))
    wire.feed(method.encode() + b" / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n")
    assert model.events[-1] == "end", model.events
    check_response(wire, model, method, status)


def check_response(wire: Wire, model: Model, method: str, status: int) -> None:
    responses = wire.responses(method)
    assert [response.status for response in responses[: model.hints]] == [103] * model.hints
    finals = responses[model.hints :]
    if model.phase in ("nothing", "started"):
        assert [(final.status, final.complete) for final in finals] == [(500, True)]
    elif model.whole or model.phase == "complete":
        body = b"" if model.bodyless else model.body
        assert [(final.status, final.complete, final.body) for final in finals] == [(status, True, body)]
        assert not wire.connection.aborted
    else:
        assert wire.connection.aborted
    wire.hang_up()


# ---- What an application may receive ---------------------------------------------------------------------------------


@settings(max_examples=200)
@given(data=st.data())
def test_no_byte_is_lost_or_doubled_however_receives_are_cancelled(data: st.DataObject) -> None:
    """`receive` begins to receive in a task of its own, `cancel` cancels one that waits, `both` as a read wakes it."""
    parts = data.draw(st.lists(st.binary(min_size=1, max_size=3), max_size=6))
    steps = data.draw(st.lists(st.sampled_from(["receive", "cancel", "feed", "both"]), max_size=20))
    messages: list[Message] = []
    receivers: list[asyncio.Future[Any]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        callables.append(receive)
        await asyncio.get_running_loop().create_future()

    def keep(task: "asyncio.Future[Any]") -> None:
        receivers.remove(task)
        if not task.cancelled():
            messages.append(task.result())

    def begin() -> None:
        task = wire.loop.create_task(callables[0]())
        receivers.append(task)
        task.add_done_callback(keep)

    callables: list[Any] = []
    wire = Wire(app)
    body = b"".join(parts)
    wire.feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
    for step in steps:
        with wire.loop.running():
            if step == "receive":
                begin()
            elif step in ("feed", "both") and parts:
                wire.protocol.handle(RawData(parts.pop(0)))
            if step in ("cancel", "both") and receivers:
                receivers[0].cancel()
        wire.settle()
    wire.feed(*parts)
    while not messages or messages[-1]["more_body"]:
        with wire.loop.running():
            begin()
        wire.settle()
    assert b"".join(message.get("body", b"") for message in messages) == body
    assert [message["more_body"] for message in messages] == [True] * (len(messages) - 1) + [False]
    for task in [*receivers, *wire.host.tasks]:
        with wire.loop.running():
            task.cancel()
    wire.settle()
    wire.hang_up()
