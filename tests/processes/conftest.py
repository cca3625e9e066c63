"""The error log is put back after every test here too."""

from tests.server.conftest import parts, restore

__all__ = ["parts", "restore"]
