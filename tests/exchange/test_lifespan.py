"""The lifespan protocol: L1 to L4 and B1 of the ASGI checklist, with applications that follow it, break it or hang."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from fastserver.exchange.lifespan import Lifespan, LifespanFailed

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LOG = logging.getLogger("test.lifespan")


def make(app: Any, mode: str = "auto", startup: float = 5, shutdown: float = 5) -> Lifespan:
    return Lifespan(app, mode, startup, shutdown, LOG)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` and see that nothing is left in the loop."""

    async def checked() -> None:
        await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(checked(), debug=True)


class Polite:
    """An application that follows the protocol and remembers what it was given."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []
        self.heard: list[str] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        while True:
            kind = (await receive())["type"]
            self.heard.append(kind)
            if kind == "lifespan.startup":
                scope["state"]["pool"] = "open"
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


def test_startup_then_shutdown() -> None:
    app = Polite()

    async def main() -> None:
        lifespan = make(app)
        await lifespan.startup()
        assert app.heard == ["lifespan.startup"]
        assert lifespan.state == {"pool": "open"}
        await lifespan.shutdown()
        await lifespan.shutdown()  # safe to repeat
        assert app.heard == ["lifespan.startup", "lifespan.shutdown"]

    run(main())
    (scope,) = app.scopes
    assert type(scope) is dict
    assert scope == {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": {"pool": "open"},
    }


def test_off_never_calls_the_application() -> None:
    app = Polite()

    async def main() -> None:
        lifespan = make(app, "off")
        await lifespan.startup()
        await lifespan.shutdown()
        assert lifespan.state is None

    run(main())
    assert app.scopes == []


def test_it_runs_in_one_task_with_a_context_of_its_own() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    tasks = []
    values = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for kind in ("startup", "shutdown"):
            await receive()
            tasks.append(asyncio.current_task())
            values.append(variable.get())
            variable.set(kind)
            await send({"type": f"lifespan.{kind}.complete"})

    async def main() -> None:
        lifespan = make(app)
        await lifespan.startup()
        await lifespan.shutdown()
        assert tasks[0] is tasks[1] is not asyncio.current_task()

    run(main())
    assert values == ["unset", "startup"]
    assert variable.get() == "unset"


# Applications that do not know the protocol.


async def returns(scope: Message, receive: Receive, send: Send) -> None:
    return None


async def raises(scope: Message, receive: Receive, send: Send) -> None:
    raise NotImplementedError(scope["type"])


async def raises_after_receiving(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    raise RuntimeError("no database")


async def sends_another_message(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})


@pytest.mark.parametrize("app", [returns, raises, raises_after_receiving, sends_another_message])
def test_auto_goes_without(app: Any) -> None:
    async def main() -> None:
        lifespan = make(app)
        await lifespan.startup()
        assert lifespan.state is None
        await lifespan.shutdown()

    run(main())


@pytest.mark.parametrize(
    ("app", "reason", "detail"),
    [
        (returns, "the application's lifespan returned before its startup was complete", ""),
        (raises, "the application's lifespan raised NotImplementedError: lifespan", "in raises"),
        (raises_after_receiving, "the application's lifespan raised RuntimeError: no database", "no database"),
    ],
)
def test_on_takes_no_refusal(app: Any, reason: str, detail: str) -> None:
    async def main() -> None:
        with pytest.raises(LifespanFailed) as caught:
            await make(app, "on").startup()
        assert str(caught.value) == reason
        assert detail in caught.value.details
        assert "exchange/lifespan.py" not in caught.value.details.partition("in raises")[0]

    run(main())


def test_a_startup_that_went_wrong_is_not_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """An application that took the startup message knows the protocol, so its exception is told even in auto."""
    run(make(raises_after_receiving).startup())
    assert "raised RuntimeError: no database; serving without lifespan" in caplog.text
    caplog.clear()
    run(make(raises).startup())
    assert caplog.text == ""


# Startups that fail.


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize(
    ("message", "reason", "details"),
    [
        ("no database", "the application refused to start: no database", ""),
        ("", "the application refused to start: the application gave no reason", ""),
        (
            'Traceback:\n  File "a.py"\nKeyError: 1\n',
            "the application refused to start: KeyError: 1",
            'Traceback:\n  File "a.py"\nKeyError: 1',
        ),
    ],
)
def test_startup_failed_is_a_failed_start(mode: str, message: str, reason: str, details: str) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": message})
        raise RuntimeError("told already")

    async def main() -> None:
        lifespan = make(app, mode)
        with pytest.raises(LifespanFailed) as caught:
            await lifespan.startup()
        assert (str(caught.value), caught.value.details) == (reason, details)
        assert lifespan.state is None
        await lifespan.shutdown()

    run(main())


def test_a_startup_without_answer_ends_at_its_timeout() -> None:
    cancelled = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        with pytest.raises(LifespanFailed, match=r"the application's startup took longer than 0\.01 s"):
            await make(app, startup=0.01).startup()

    run(main())
    assert cancelled == [True]


def test_sys_exit_is_a_failed_start_and_not_the_end_of_the_loop() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise SystemExit(4)

    async def main() -> None:
        with pytest.raises(LifespanFailed, match=r"the application called sys\.exit\(4\)"):
            await make(app).startup()

    run(main())


def test_a_cancelled_startup_cancels_the_application() -> None:
    ended = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        lifespan = make(app)
        starting = asyncio.create_task(lifespan.startup())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert ended == [True]
        await lifespan.shutdown()

    run(main())


# Shutdowns that fail.


def with_shutdown(end: Callable[[Send], Awaitable[None]]) -> Any:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await end(send)

    return app


async def fail(send: Send) -> None:
    await send({"type": "lifespan.shutdown.failed", "message": "pool is stuck"})


async def fail_with_exception(send: Send) -> None:
    raise RuntimeError("pool is gone")


async def hang(send: Send) -> None:
    await asyncio.Event().wait()


async def leave(send: Send) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (fail, "the application's shutdown failed: pool is stuck"),
        (fail_with_exception, "RuntimeError: pool is gone"),
        (hang, "the application's shutdown took longer than 0.01 s"),
        (leave, "the application called sys.exit(1)"),
    ],
)
def test_a_bad_shutdown_is_logged_and_ends(
    end: Callable[[Send], Awaitable[None]], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        lifespan = make(with_shutdown(end), shutdown=0.01 if end is hang else 5)
        await lifespan.startup()
        await lifespan.shutdown()

    run(main())
    assert line in caplog.text


def test_an_application_may_return_without_an_answer_to_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    async def end(send: Send) -> None:
        return None

    async def main() -> None:
        lifespan = make(with_shutdown(end))
        await lifespan.startup()
        await lifespan.shutdown()

    run(main())
    assert caplog.text == ""


def test_an_application_that_ends_early_is_told_and_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("background job died")

    async def main() -> None:
        lifespan = make(app)
        await lifespan.startup()
        assert lifespan.state == {}
        await asyncio.sleep(0)
        await lifespan.shutdown()

    run(main())
    assert "the application's lifespan ended with an exception" in caplog.text


# What may be sent.


@pytest.mark.parametrize(
    "messages",
    [
        ["lifespan.startup.complete", "lifespan.startup.complete"],
        ["lifespan.shutdown.complete"],
        ["http.response.start"],
    ],
)
def test_a_message_out_of_turn_raises_out_of_send(messages: list[str]) -> None:
    errors = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for kind in messages:
            try:
                await send({"type": kind})
            except RuntimeError as error:
                errors.append(str(error))

    async def main() -> None:
        lifespan = make(app)
        await lifespan.startup()
        await lifespan.shutdown()

    run(main())
    assert len(errors) == 1
    assert errors[0].startswith(f"unexpected ASGI message {messages[-1]!r}: the lifespan is ")


def test_an_answer_after_the_timeout_is_ignored() -> None:
    sent = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await send({"type": "lifespan.startup.complete"})
            sent.append(True)

    async def main() -> None:
        with pytest.raises(LifespanFailed):
            await make(app, startup=0.01).startup()

    run(main())
    assert sent == [True]
