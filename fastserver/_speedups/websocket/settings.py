"""What the configuration says of WebSockets, as the exchange wants it; ``bounds`` has what has no flag.

Not compiled: it is read once a session.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastserver.config.model import Config


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """Sizes in bytes, times in seconds; a time of 0 means never.

    ``allowed_origins`` are lower-case values of Origin; empty means that any is allowed.
    """

    max_size: int = 16 * 1024 * 1024
    max_queue: int = 32
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    per_message_deflate: bool = False
    allowed_origins: frozenset[bytes] = frozenset()

    @classmethod
    def from_config(cls, config: Config) -> WebSocketSettings | None:
        """The settings of a configuration, ``None`` where it wants no WebSockets."""
        if not config.ws:
            return None
        return cls(
            max_size=config.ws_max_size,
            max_queue=config.ws_max_queue,
            ping_interval_s=config.ws_ping_interval,
            ping_timeout_s=config.ws_ping_timeout,
            per_message_deflate=config.ws_per_message_deflate,
            allowed_origins=frozenset(
                origin.lower().rstrip("/").encode("utf-8") for origin in config.ws_allowed_origins
            ),
        )
