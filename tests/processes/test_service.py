"""The order in which a process becomes what it is to the system; real servers are in ``tests/e2e/test_service.py``."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.processes import privileges, service
from fastserver.processes.privileges import Identity
from fastserver.processes.rollover import ReloadResult
from fastserver.processes.service import Service, take_service
from fastserver.processes.supervisor import Notice
from fastserver.processes.systemd import Activation, Notifier
from fastserver.processes.workers import WorkerState
from fastserver.transport.sockets import BindError

LOG = logging.getLogger("test.service")


@pytest.fixture(autouse=True)
def mask() -> Iterator[int]:
    mask = os.umask(0o22)
    yield mask
    os.umask(mask)


class Ear(Notifier):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__("/x")
        self.told: list[tuple[str, str]] = []

    def _send(self, **facts: object) -> None:
        self.told.append((next(iter(facts)), str(facts.get("STATUS", ""))))


@dataclass
class FakeCrew:
    slots: list[int] = field(default_factory=lambda: [1, 2])
    ready: int = 0

    def list_workers(self, state: WorkerState) -> list[int]:
        assert state is WorkerState.READY
        return self.slots[: self.ready]


@dataclass
class FakeSupervisor:
    crew: FakeCrew = field(default_factory=FakeCrew)
    observers: list[Callable[[Notice], None]] = field(default_factory=list)
    chores: list[Callable[[float], float]] = field(default_factory=list)
    at_fork: list[Callable[[], None]] = field(default_factory=list)
    last_reload: ReloadResult | None = None

    def notify(self, notice: Notice) -> None:
        for observer in self.observers:
            observer(notice)

    def turn(self) -> float:
        return min(chore(1.0) for chore in self.chores)


def test_the_environment_is_cleared_and_the_umask_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LISTEN_PID", "1")
    made = take_service(Config(umask="027"))
    assert os.umask(0o22) == 0o27
    assert not {"NOTIFY_SOCKET", "LISTEN_PID"} & os.environ.keys()
    assert made.notifier.address == "/run/notify"
    assert made.owner is None


def test_a_configuration_that_is_read_again_has_the_same_sockets() -> None:
    made = Service(Activation(((3, "web"),)), Notifier(), None)
    assert made.adopt(Config(), LOG).bind == ("fd://3",)
    assert made.wrap_reread(None, LOG) is None
    reread = made.wrap_reread(lambda: ("m:app", Config(bind="fd://web", backlog=7)), LOG)
    assert reread is not None
    app, config = reread()
    assert (app, config.bind, config.backlog) == ("m:app", ("fd://3",), 7)


def test_rights_are_given_up_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(privileges, "drop_privileges", lambda identity: seen.append(sorted(os.listdir(tmp_path))))
    identity = Identity(os.geteuid(), os.getegid(), "somebody")
    made = Service(Activation(), Notifier(), identity)
    assert made.owner == (os.geteuid(), os.getegid())
    made.establish(Config(pid=str(tmp_path / "pid"), control_socket=str(tmp_path / "control")), LOG)
    assert seen == [["control", "pid"]]
    assert made.owner is None  # from now on it owns what it makes
    made.close(0)
    made.close(0)
    assert os.listdir(tmp_path) == []


def test_what_was_made_before_a_failure_is_taken_back(tmp_path: Path) -> None:
    made = take_service(Config())
    with pytest.raises(BindError):
        made.establish(Config(pid=str(tmp_path / "pid"), control_socket=str(tmp_path / "none" / "control")), LOG)
    made.close(3)
    assert os.listdir(tmp_path) == []


def test_an_unknown_user_fails_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match="there is no user 'no_such_user'"):
        take_service(Config(user="no_such_user"))


def attach(ear: Ear) -> tuple[Service, FakeSupervisor]:
    made, supervisor = Service(Activation(), ear, None), FakeSupervisor()
    supervisor_: Any = supervisor
    made.attach(supervisor_)
    return made, supervisor


def test_ready_is_told_when_every_worker_is() -> None:
    ear = Ear()
    _, supervisor = attach(ear)
    supervisor.notify(Notice.READY)
    supervisor.turn()
    supervisor.crew.ready = 1
    supervisor.turn()
    assert ear.told == []
    supervisor.crew.ready = 2
    for _ in range(3):
        assert supervisor.turn() == float("inf")
    assert ear.told == [("READY", "2 workers")]


def test_reloads_and_the_stop_are_told() -> None:
    ear = Ear()
    made, supervisor = attach(ear)
    supervisor.crew.ready = 2
    supervisor.turn()
    supervisor.notify(Notice.RELOADING)
    supervisor.last_reload = ReloadResult(False, "no module named 'x'", 0.0, 0.0)
    supervisor.notify(Notice.READY)
    supervisor.notify(Notice.STOPPING)
    assert ear.told[1:] == [
        ("RELOADING", "reloading"),
        ("READY", "2 workers; the last reload has failed: no module named 'x'"),
        ("STOPPING", "stopping"),
    ]
    made.close(0)


def test_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr(service, "set_title", titles.append)
    for config in (Config(), Config(name="shop"), Config(name="shop", workers=2)):
        take_service(config).establish(config, LOG)
    assert titles == ["shop", "shop: supervisor"]
