"""Other words for the choices of a setting: those of other servers, of ``ssl`` and of ``logging``.

Each maps a lower-case word to the choice that it means.
"""

import ssl
from collections.abc import Mapping
from typing import Final

LOOPS: Final[Mapping[str, str]] = {
    "uvicorn.workers.uvicornworker": "uvloop",
    "uvicorn_worker.uvicornworker": "uvloop",
}
VERIFY_MODES: Final[Mapping[str, str]] = {
    str(int(ssl.CERT_NONE)): "none",
    str(int(ssl.CERT_OPTIONAL)): "optional",
    str(int(ssl.CERT_REQUIRED)): "required",
    "cert_none": "none",
    "cert_optional": "optional",
    "cert_required": "required",
}
LEVELS: Final[Mapping[str, str]] = {
    "warn": "warning",
    "fatal": "critical",
    "10": "debug",
    "20": "info",
    "30": "warning",
    "40": "error",
    "50": "critical",
}
