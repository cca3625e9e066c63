"""What settings become in development."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastserver.config.model import Config
from fastserver.development.selection import select

#: Seconds for open requests when the server starts anew; event streams and WebSockets hear of it at once.
GRACE_S: Final = 1.0
STREAMS_S: Final = 0.1


def adapt(config: Config) -> Config:
    """``config`` as it is served: with ``reload`` by one worker, which ends within moments.

    Raises ``ConfigError`` where a directory is to be watched that there is not.
    """
    if not config.reload:
        return config
    select(config)
    return replace(
        config,
        workers=1,
        preload=False,  # which imports the application once
        timeout_graceful_shutdown=min(config.timeout_graceful_shutdown, GRACE_S),
        timeout_stream_shutdown=min(config.timeout_stream_shutdown, STREAMS_S),
        timeout_keep_alive_min=min(config.timeout_keep_alive_min, STREAMS_S),
        drain_delay=0.0,
        access_log=config.access_log is None or config.access_log,
    )
