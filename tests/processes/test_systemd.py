"""Sockets that systemd hands over, and what it is told, on sockets of the test's own."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastserver.config.bind import FDBind
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.processes import systemd
from fastserver.processes.systemd import Activation, Notifier, take_notifier, take_sockets

PAIR = Activation(((3, "web"), (4, "")))
Listen = Callable[..., dict[str, str]]


def compose(count: str, names: str = "", pid: str = "") -> dict[str, str]:
    environ = {"LISTEN_PID": pid or str(os.getpid()), "LISTEN_FDS": count, "HOME": "/"}
    return {**environ, "LISTEN_FDNAMES": names} if names else environ


@pytest.fixture
def first_fd(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The first of two inheritable descriptors in a row, in the place of 3 and 4."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    first = max(held) + 1
    for fd in (first, first + 1):
        os.dup2(held[0], fd)
    monkeypatch.setattr(systemd, "FIRST_FD", first)
    yield first
    for fd in (*held, first, first + 1):
        os.close(fd)


def test_sockets_are_taken_and_their_variables_are_gone(first_fd: int) -> None:
    environ = compose("2", "web:metrics")
    assert take_sockets(environ) == Activation(((first_fd, "web"), (first_fd + 1, "metrics")))
    assert environ == {"HOME": "/"}
    assert not os.get_inheritable(first_fd)
    assert not os.get_inheritable(first_fd + 1)
    assert take_sockets(compose("1")) == Activation(((first_fd, ""),))


@pytest.mark.parametrize("environ", [{}, compose("2", pid="1"), compose("x", pid="1"), {"LISTEN_FDS": "1"}])
def test_what_is_for_another_process_is_taken_away_unread(environ: dict[str, str]) -> None:
    environ = dict(environ)
    assert take_sockets(environ) == Activation()
    assert not any(key.startswith("LISTEN_") for key in environ)


@pytest.mark.parametrize(
    ("count", "names", "reason"),
    [
        ("x", "", "LISTEN_FDS: 'x' is not allowed"),
        ("-1", "", "LISTEN_FDS: '-1' is not allowed"),
        ("1025", "", "LISTEN_FDS: '1025' is not allowed"),
        ("9" * 5000, "", "LISTEN_FDS: '9999"),
        ("1", "a:b", "LISTEN_FDNAMES: has 2 names for 1 sockets"),
    ],
)
def test_variables_without_sense_are_told(count: str, names: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        take_sockets(compose(count, names))
    assert str(caught.value).startswith(reason)


def test_a_descriptor_that_is_not_open_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "FIRST_FD", 65000)
    with pytest.raises(ConfigError, match="descriptor 65000 cannot be used: Bad file descriptor"):
        take_sockets(compose("1"))


def test_sockets_stand_in_for_a_bind_that_is_not_given() -> None:
    assert PAIR.apply(Config()).bind == ("fd://3", "fd://4")
    assert Activation().apply(Config()).bind == Config().bind


def test_sockets_are_named(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("test")
    assert PAIR.apply(Config(bind="fd://web", metrics_bind="fd://4"), log).bind == ("fd://3",)
    assert PAIR.apply(Config(metrics_bind="fd://web"), log).bind == ("fd://4",)  # what is left
    assert PAIR.apply(Config(bind=["fd://web", "127.0.0.1:1"]), log).bind == ("fd://3", "127.0.0.1:1")
    assert [record.getMessage() for record in caplog.records] == [
        "sockets that were handed over are not used, since bind is given: fd://4"
    ]


def test_one_name_may_stand_for_several_sockets() -> None:
    both = Activation(((3, "web"), (4, "web")))
    assert both.apply(Config(bind="fd://web")).bind == ("fd://3", "fd://4")
    with pytest.raises(ConfigError, match="protocols: 'fd://web' is the name of 2 sockets: want a number"):
        both.apply(Config(protocols="fd://web=m:P"))


def test_a_handler_has_its_socket_by_name() -> None:
    config = PAIR.apply(Config(protocols="fd://web=m:P"))
    (binding,) = config.protocols
    assert (binding.bind, binding.where) == (FDBind(3), "fd://3")
    assert config.bind == ("fd://4",)


def test_applying_again_changes_nothing() -> None:
    config = PAIR.apply(Config(metrics_bind="fd://web"))
    assert PAIR.apply(config) == config


@pytest.mark.parametrize(
    ("activation", "tail"), [(PAIR, ": those that were have the names web"), (Activation(), ": none was")]
)
def test_a_name_that_was_not_handed_over_is_told(activation: Activation, tail: str) -> None:
    with pytest.raises(ConfigError) as caught:
        activation.apply(Config(bind="fd://other"))
    assert str(caught.value) == f"bind: no socket with the name 'other' was handed over{tail}"


# Notifications.


class Manager:
    """A service manager's end."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.sock.settimeout(10)

    def hear(self) -> dict[str, str]:
        lines = self.sock.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, Notifier]]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    address = f"@fastserver-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address}
    made = Manager(address)
    yield made, take_notifier(environ)
    made.sock.close()
    assert environ == {}


def test_the_states_of_a_life(manager: tuple[Manager, Notifier]) -> None:
    ear, notifier = manager
    notifier.ready("3 workers\nserve")
    assert ear.hear() == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "3 workers serve"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading("reloading")
    heard = ear.hear()
    assert before <= int(heard.pop("MONOTONIC_USEC")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert heard == {"RELOADING": "1", "STATUS": "reloading"}
    notifier.ready()
    assert ear.hear() == {"READY": "1", "MAINPID": str(os.getpid())}
    notifier.tell("2 workers")
    assert ear.hear() == {"STATUS": "2 workers"}
    notifier.stopping("draining")
    assert ear.hear() == {"STOPPING": "1", "STATUS": "draining"}


def test_signs_of_life_come_at_half_of_the_interval(tmp_path: Path) -> None:
    ear = Manager(str(tmp_path / "notify"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = take_notifier(environ)
    assert environ == {}
    assert [notifier.tick(now) for now in (100.0, 101.0, 101.5, 101.6)] == [101.5, 101.5, 103.0, 103.0]
    assert [ear.hear(), ear.hear()] == [{"WATCHDOG": "1"}] * 2
    ear.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        ear.hear()
    ear.sock.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": "/x"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "5"},
    ],
)
def test_no_signs_of_life_where_none_is_wanted(environ: dict[str, str]) -> None:
    assert take_notifier(dict(environ)).tick(1.0) == float("inf")


@pytest.mark.parametrize("address", ["", "@", "relative", "vsock:2:1234", "/no/such/socket", "/" + "x" * 200])
def test_nobody_there_is_no_fault(address: str) -> None:
    notifier = take_notifier({"NOTIFY_SOCKET": address})
    notifier.ready("serves")
    notifier.stopping()


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    ear = Manager(str(tmp_path / "notify"))
    notifier = Notifier(str(tmp_path / "notify"))
    for _ in range(5000):
        notifier.tell("x" * 1000)
    ear.sock.close()


def test_children_do_not_see_any_of_it(tmp_path: Path) -> None:
    code = "import os, fastserver.processes.systemd as s; s.take_sockets(); s.take_notifier(); os.execlp('env', 'env')"
    environ = {**os.environ, "NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert not [line for line in done.stdout.splitlines() if line.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))]
