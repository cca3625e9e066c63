"""``log_config`` where it is no file: a program's dictionary, as ``logging.config`` takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False, slots=True)
class LogSettings:
    """``mapping`` as it was given: it may hold objects, and is compared by identity."""

    mapping: Mapping[str, Any]

    def __str__(self) -> str:
        return "a dictionary"
