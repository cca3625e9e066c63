"""The commands of the control socket on a supervisor that a test makes up."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fastserver.processes.control import Refused, Reply
from fastserver.processes.operator import LOOK_S, Operator
from fastserver.processes.rollover import ReloadResult


class FakeSupervisor:
    def __init__(self) -> None:
        self.workers = [(11, "ready", 1), (12, "ready", 1)]
        self.room = 8
        self.wanted = 2
        self.orders: list[str] = []
        self.reloads: list[Callable[[ReloadResult], None]] = []
        self.dumps: list[Callable[[str], None]] = []

    def stats(self) -> dict[str, Any]:
        keys = ("pid", "state", "generation")
        workers = [dict(zip(keys, worker, strict=True)) for worker in self.workers]
        return {"phase": "serving", "wanted": self.wanted, "workers": workers}

    def reload(self, done: Callable[[ReloadResult], None] | None = None) -> None:
        assert done is not None
        self.reloads.append(done)

    def scale(self, count: int) -> int:
        self.wanted = min(count, self.room)
        return self.wanted

    def dump(self, pid: int | None = None, done: Callable[[str], None] | None = None) -> bool:
        assert done is not None
        asked = [worker for worker, *_ in self.workers if pid in (None, worker)]
        self.dumps += [done] * len(asked)
        return bool(asked)

    @property
    def count_max(self) -> int:
        return self.room

    def drain(self) -> None:
        self.orders.append("drain")


class FakeClient:
    """What ``Reply`` wants of a client."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []

    def put(self, line: Mapping[str, Any], is_last: bool = False) -> None:
        self.lines.append(line)

    @property
    def texts(self) -> list[str]:
        return [line["text"] for line in self.lines if line["type"] == "progress"]

    @property
    def result(self) -> Any:
        """The data of the result, or the error."""
        last = self.lines[-1] if self.lines else {"type": "progress"}
        return None if last["type"] == "progress" else last["data"] if last["ok"] else last["error"]


class Desk:
    def __init__(self) -> None:
        self.supervisor = FakeSupervisor()
        self.operator = Operator(self.supervisor)

    def ask(self, command: str, **request: Any) -> FakeClient:
        client = FakeClient()
        self.operator.commands[command](request, Reply(client))  # type: ignore[arg-type]
        return client


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_status_is_what_the_supervisor_knows(desk: Desk) -> None:
    data = desk.ask("status").result
    assert data["workers"] == desk.supervisor.stats()["workers"]
    assert data["uptime"] >= 0
    assert data["version"]


def test_nobody_waits_and_nothing_is_due(desk: Desk) -> None:
    assert desk.operator.tick(5.0) == float("inf")


def test_a_reload_is_followed_to_its_end(desk: Desk) -> None:
    client = desk.ask("reload")
    assert desk.operator.tick(5.0) == 5.0 + LOOK_S
    assert desk.operator.tick(5.1) == 5.1 + LOOK_S
    desk.supervisor.workers.append((13, "starting", 2))
    desk.operator.tick(5.2)
    assert client.texts == ["serving: 2 ready", "serving: 2 old ready, 1 starting"]
    desk.supervisor.reloads[0](ReloadResult(True, "2 workers", 1000.0, 0.5))
    assert client.result == {"text": "2 workers", "took": 0.5}
    assert desk.operator.tick(6.0) == float("inf")


def test_a_reload_that_fails_says_why(desk: Desk) -> None:
    client = desk.ask("reload")
    desk.supervisor.reloads[0](ReloadResult(False, "no module named 'x'", 1000.0, 0.5))
    assert client.result == "no module named 'x'"


def test_several_reloads_have_each_its_result(desk: Desk) -> None:
    one, two = desk.ask("reload"), desk.ask("reload")
    desk.supervisor.reloads[0](ReloadResult(True, "", 0.0, 0.0))
    assert (one.result is None, two.result is None) == (False, True)
    desk.operator.end(0)
    assert two.result == "the server has stopped"


def test_scale(desk: Desk) -> None:
    assert desk.ask("scale", count=5).result == {"before": 2, "workers": 5}
    with pytest.raises(Refused, match="is too many: there is room for 8 workers"):
        desk.ask("scale", count=9)


@pytest.mark.parametrize("count", [None, 0, -1, True, "3", 1.5])
def test_a_count_that_is_none(desk: Desk, count: object) -> None:
    with pytest.raises(Refused, match="want a number of workers, at least 1"):
        desk.ask("scale", count=count)
    assert desk.supervisor.wanted == 2


def test_a_drain_is_one_stop_however_many_ask(desk: Desk) -> None:
    one, two = desk.ask("drain"), desk.ask("drain")
    assert desk.supervisor.orders == ["drain"]
    desk.supervisor.workers.pop()
    desk.operator.tick(1.0)
    assert (one.texts, two.texts) == (["serving: 1 ready"], ["serving: 1 ready"])
    desk.supervisor.workers.clear()
    desk.operator.tick(2.0)
    assert one.texts[-1] == "serving: no workers"
    desk.operator.end(0)
    assert (one.result, two.result) == ({"code": 0}, {"code": 0})


def test_a_drain_that_was_cut_short(desk: Desk) -> None:
    client = desk.ask("drain")
    desk.operator.end(143)
    assert client.result == "the server has ended with exit code 143"


def test_who_asks_while_it_stops_does_not_hurry_it(desk: Desk) -> None:
    desk.operator.note_stop()
    client = desk.ask("drain")
    assert desk.supervisor.orders == []
    for command in ("reload", "scale"):
        with pytest.raises(Refused, match="the server is stopping"):
            desk.ask(command, count=3)
    desk.operator.end(0)
    assert client.result == {"code": 0}


def test_a_dump_waits_for_every_worker(desk: Desk) -> None:
    client = desk.ask("dump")
    desk.supervisor.dumps[0]("worker [11]\nhere")
    assert client.result is None
    desk.supervisor.dumps[1]("worker [12]\nthere")
    assert client.result == {"text": "worker [11]\nhere\n\nworker [12]\nthere"}
    one = desk.ask("dump", pid=12)
    desk.supervisor.dumps[2]("alone")
    assert one.result == {"text": "alone"}


@pytest.mark.parametrize(
    ("pid", "error"),
    [
        (99, "there is no worker with the process id 99"),
        ("11", "pid '11' is not allowed: want the number of a worker's process"),
        (True, "pid True is not allowed: want the number of a worker's process"),
    ],
)
def test_a_dump_of_nobody(desk: Desk, pid: object, error: str) -> None:
    with pytest.raises(Refused, match=error):
        desk.ask("dump", pid=pid)
    desk.supervisor.workers.clear()
    with pytest.raises(Refused, match="there is no worker"):
        desk.ask("dump")
