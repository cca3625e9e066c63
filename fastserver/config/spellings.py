"""Other words for the values of a setting: those of other servers, of ``ssl`` and of ``logging``.

Each maps a lower-case word to the value that it means.
"""

import ssl
from collections.abc import Mapping
from typing import Final

LOOPS: Final[Mapping[str, str]] = {
    "uvicorn.workers.uvicornworker": "uvloop",
    "uvicorn_worker.uvicornworker": "uvloop",
    "uvicorn.workers.uvicornh11worker": "asyncio",
    "uvicorn_worker.uvicornh11worker": "asyncio",
    "none": "auto",
    # gunicorn's: threads and the application's interface are settings of their own.
    "sync": "auto",
    "gthread": "auto",
    "asgi": "auto",
    "gunicorn.workers.sync.syncworker": "auto",
    "gunicorn.workers.gthread.threadworker": "auto",
}
#: Worker classes that there will not be.
GREENLETS: Final[Mapping[str, str]] = dict.fromkeys(
    ("gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet", "tornado"),
    "threads run WSGI applications",
)
VERIFY_MODES: Final[Mapping[str, str]] = {
    str(int(ssl.CERT_NONE)): "none",
    str(int(ssl.CERT_OPTIONAL)): "optional",
    str(int(ssl.CERT_REQUIRED)): "required",
    "cert_none": "none",
    "cert_optional": "optional",
    "cert_required": "required",
}
#: How h2c is switched on elsewhere, where there is a choice of ways.
PRIOR_KNOWLEDGE: Final[Mapping[str, str]] = {"prior": "yes", "prior-knowledge": "yes"}
#: uvicorn's names for its implementations of WebSockets.
WEBSOCKETS: Final[Mapping[str, str]] = {
    "auto": "yes",
    "websockets": "yes",
    "websockets-sansio": "yes",
    "wsproto": "yes",
    "none": "no",
}
#: What uvicorn takes for a boolean on its command line, beside the words that every switch takes.
BOOLEANS: Final[Mapping[str, str]] = {"t": "yes", "y": "yes", "f": "no", "n": "no"}
LEVELS: Final[Mapping[str, str]] = {
    "warn": "warning",
    "fatal": "critical",
    "trace": "debug",  # uvicorn's; there is nothing below debug
    "notset": "debug",
    "5": "debug",
    "10": "debug",
    "20": "info",
    "30": "warning",
    "40": "error",
    "50": "critical",
}
TLS_VERSIONS: Final[Mapping[str, str]] = {"tls1.2": "1.2", "tlsv1.2": "1.2", "tls1.3": "1.3", "tlsv1.3": "1.3"}
