"""The configuration: what can be set, how it is read, and what derives from it.  It imports nothing of the server."""

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config

__all__ = ["Config", "ConfigError"]
