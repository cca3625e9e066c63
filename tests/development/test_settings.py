"""What settings become in development."""

from pathlib import Path

import pytest

from fastserver import Config
from fastserver.config import ConfigError
from fastserver.development.settings import GRACE_S, STREAMS_S, adapt


def test_without_reload_they_are_as_they_are() -> None:
    config = Config(workers=4, drain_delay=3)
    assert adapt(config) is config
    assert (config.access_log, config.log_level) == (None, "info")


def test_with_reload_there_is_one_worker_that_ends_soon(tmp_path: Path) -> None:
    config = adapt(Config(reload=True, reload_dirs=str(tmp_path), workers=4, drain_delay=3, timeout_stream_shutdown=0))
    assert (config.workers, config.drain_delay) == (1, 0)
    assert (config.timeout_graceful_shutdown, config.timeout_stream_shutdown) == (GRACE_S, 0)
    assert config.timeout_keep_alive_min == STREAMS_S
    assert config.access_log is True
    assert adapt(Config(reload=True, preload=True)).preload is False
    assert adapt(Config(reload=True, access_log=False)).access_log is False
    with pytest.raises(ConfigError, match=r"^reload_dirs: "):
        adapt(Config(reload=True, reload_dirs=str(tmp_path / "nowhere")))


def test_debug_is_a_level_of_the_log_too() -> None:
    assert Config(debug=True).log_level == "debug"
    assert Config(debug=True, log_level="error").log_level == "debug"
