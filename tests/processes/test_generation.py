"""What workers are made of, opened once and taken over by the next generation."""

import logging
import socket
from collections.abc import Iterator

import pytest

from fastserver import Config
from fastserver.config.errors import ConfigError
from fastserver.processes.crew import find_unused
from fastserver.processes.generation import Generation, keep_fixed, open_generation
from fastserver.server.endpoints import Purpose
from fastserver.transport.sockets import BindError, release

LOG = logging.getLogger("test.generation")


@pytest.fixture
def opened() -> Iterator[list[Generation]]:
    found: list[Generation] = []
    yield found
    for generation in found:
        release(generation.listeners)


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_the_same_addresses_are_the_same_sockets(opened: list[Generation]) -> None:
    config = Config(bind=["127.0.0.1:0"], metrics_bind="127.0.0.1:0", workers=2)
    one = open_generation("no:app", config, LOG)
    opened.append(one)
    other = open_generation("no:other", Config(bind="127.0.0.1:0", backlog=7, workers=3), LOG, one)
    opened.append(other)
    assert other.serial > one.serial
    assert (one.count, other.count) == (2, 3)
    assert other.listeners[0].sock is one.listeners[0].sock
    assert other.listeners[0].backlog == 7
    assert other.urls == [f"http://127.0.0.1:{one.listeners[0].sock.getsockname()[1]}"]
    assert find_unused(one.listeners, [other]) == [one.listeners[1]]
    assert one.endpoints[1].purpose is Purpose.METRICS
    assert find_unused(one.listeners, [one, other]) == []


def test_an_address_may_get_another_purpose(opened: list[Generation]) -> None:
    bind = f"127.0.0.1:{find_port()}"
    one = open_generation("no:app", Config(bind="127.0.0.1:0", metrics_bind=bind), LOG)
    opened.append(one)
    other = open_generation("no:app", Config(bind=bind), LOG, one)
    opened.append(other)
    assert other.listeners[0].sock is one.listeners[1].sock
    assert other.endpoints[0].purpose is Purpose.APPLICATION


def test_what_cannot_be_opened_leaves_nothing_open(opened: list[Generation]) -> None:
    port = find_port()
    one = open_generation("no:app", Config(bind="127.0.0.1:0"), LOG)
    opened.append(one)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        binds = ["127.0.0.1:0", f"127.0.0.1:{port}", f"127.0.0.1:{taken.getsockname()[1]}"]
        with pytest.raises(BindError, match="the address is in use"):
            open_generation("no:app", Config(bind=binds), LOG, one)
    with pytest.raises(ConfigError, match="certfile"):
        open_generation("no:app", Config(bind=f"127.0.0.1:{port}", certfile="/no/such/file"), LOG, one)
    assert one.listeners[0].sock.fileno() >= 0
    assert not one.listeners[0].sealed
    socket.create_server(("127.0.0.1", port)).close()


def test_what_was_done_once_stays_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    former = Config(umask="022", dual_stack=False)
    kept = keep_fixed(Config(umask="077", dual_stack=False, backlog=9), former, LOG)
    assert (kept.umask, kept.dual_stack, kept.backlog) == (former.umask, False, 9)
    assert [record.getMessage() for record in caplog.records] == [
        "umask cannot change while the server runs: it stays as it was until a restart"
    ]
    assert keep_fixed(former, former, LOG) is former


def test_preloading_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastserver.processes.generation.sys.platform", "plan9")
    with pytest.raises(ConfigError, match="preload: it needs Linux"):
        open_generation("no:app", Config(bind="127.0.0.1:0", preload=True), LOG)


def test_a_generation_with_a_template_waits_for_it() -> None:
    generation = Generation("no:app", Config(), [], None)
    assert generation.is_loaded

    class FakeTemplate:
        is_ready = False

    template = FakeTemplate()
    generation.template = template  # type: ignore[assignment]
    assert not generation.is_loaded
    template.is_ready = True
    assert generation.is_loaded
