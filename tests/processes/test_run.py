"""``run`` without processes of its own: what it refuses before anything is started."""

import asyncio
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest
import uvloop

import fastserver
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.errors import StartupFailed
from fastserver.processes.signals import ECHO_S, SignalWatch, name_signal
from fastserver.processes.worker import new_event_loop


def test_every_public_name_is_there() -> None:
    for name in fastserver.__all__:
        assert getattr(fastserver, name) is not None
        assert name in dir(fastserver)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fastserver.nothing
    assert fastserver.StartupFailed is StartupFailed
    assert fastserver.ConfigError is ConfigError
    assert issubclass(fastserver.ClientDisconnected, OSError)


def test_settings_make_a_config() -> None:
    with pytest.raises(ConfigError, match="no_such_setting"):
        fastserver.run("main:app", no_such_setting=1)
    with pytest.raises(TypeError, match="a config or settings, not both"):
        fastserver.run("main:app", Config(), workers=2)


def test_a_running_loop_is_told_of_serve() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="use 'await serve\\(\\)'"):
            fastserver.run("main:app", Config(bind="127.0.0.1:0"))

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_bound_or_read_is_exit_code_3(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert fastserver.run("main:app", bind=f"127.0.0.1:{port}", workers=workers) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"startup failed: cannot bind 127.0.0.1:{port}: the address is in use")
    assert fastserver.run("main:app", bind="127.0.0.1:0", certfile="/no/such/file", workers=workers) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "startup failed: certfile" in line


def test_an_error_log_that_cannot_be_opened_is_exit_code_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert fastserver.run("main:app", bind="127.0.0.1:0", error_logfile=str(tmp_path / "no" / "log")) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "startup failed: error_logfile: " in line


def test_an_application_that_cannot_be_loaded_leaves_no_socket_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "app.sock"
    assert fastserver.run("no_such_module:app", bind=f"unix:{path}", loop="asyncio") == 3
    assert not path.exists()
    assert "startup failed: no module named 'no_such_module'" in capsys.readouterr().err


def test_run_works_outside_of_the_main_thread(tmp_path: Path) -> None:
    """Without signal handlers, which Python allows only there; the start fails, so it returns."""
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(fastserver.run("no_such_module:app", bind="127.0.0.1:0", loop="asyncio"))
    )
    thread.start()
    thread.join()
    assert codes == [3]


# Loops and signals.


def test_loops_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("asyncio", asyncio.BaseEventLoop), ("uvloop", uvloop.Loop), ("auto", uvloop.Loop)):
        loop = new_event_loop(name)
        assert isinstance(loop, kind)
        loop.close()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop("auto")
    assert isinstance(loop, asyncio.BaseEventLoop)
    loop.close()
    with pytest.raises(StartupFailed, match="uvloop is not installed"):
        new_event_loop("uvloop")


def test_signals_are_watched_and_given_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    seen: list[int] = []
    with SignalWatch([signal.SIGUSR1], seen.append):
        signal.raise_signal(signal.SIGUSR1)
    assert seen == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_signal_that_is_delivered_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("fastserver.processes.signals.time.monotonic", lambda: now)
    seen: list[int] = []
    with SignalWatch([signal.SIGTERM, signal.SIGINT], seen.append):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert seen == [signal.SIGTERM, signal.SIGINT]
        now += ECHO_S
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]


def test_what_stops_nothing_is_never_an_echo() -> None:
    seen: list[int] = []
    with SignalWatch([signal.SIGHUP], seen.append):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
    assert seen == [signal.SIGHUP, signal.SIGHUP]


def test_signals_have_names() -> None:
    assert (name_signal(15), name_signal(9), name_signal(200)) == ("SIGTERM", "SIGKILL", "signal 200")
