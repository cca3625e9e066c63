"""The servers under test: how each is told what a fault needs of it, and what it cannot do.

A server's ``build`` makes its command line out of ``Wants``; ``Lacking`` says that it has nothing for one of them, and
then the fault is "n/a" for it.  Each server runs with what its documentation recommends for production where there is a
choice: with a supervisor and two workers, uvloop where it knows it, crashed workers replaced.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ASGI = "bench.faults.app:app"
WSGI = "bench.faults.wsgi:app"
#: Seconds after which this server tells WebSockets and streams that it stops; else each stop would take ten.
STREAM_S = 2


class Lacking(Exception):
    """The server has no such feature; the text names it."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a fault asks of a server.

    ``port`` is without TLS, ``tls_port`` with it, 0 for none.  ``grace_s`` is what open requests get at a stop;
    ``silence_s`` after which a worker's event loop counts as hung; ``recycle`` names one of ``requests``, ``lifetime``,
    ``rss`` with its value (requests, seconds, megabytes).
    """

    port: int = 0
    tls_port: int = 0
    certificate: Path = Path()
    key: Path = Path()
    workers: int = 2
    grace_s: int = 10
    silence_s: int = 0
    recycle: tuple[str, int] | None = None
    access_log: str = ""
    error_log: str = ""
    threads: int = 8


@dataclass(frozen=True, slots=True)
class Server:
    """One row of the table.  ``plain`` and ``tls`` are what it speaks on each; ``both`` says that it has both at once.

    A ``variant`` is run only where it is asked for by name.
    """

    name: str
    distribution: str
    build: Callable[[Wants], list[str]]
    plain: frozenset[str] = frozenset({"h1", "ws"})
    tls: frozenset[str] = frozenset({"h1", "ws"})
    both: bool = False
    wsgi: bool = False
    variant: bool = False
    env: dict[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """What has to be importable."""
        return self.distribution


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _single(wants: Wants) -> int:
    """The one port of a server that has TLS on all or on none."""
    if wants.port and wants.tls_port:
        raise Lacking("TLS and cleartext at once")
    return wants.port or wants.tls_port


def _fastserver(wants: Wants) -> list[str]:
    argv = [*_python("fastserver"), ASGI, "--workers", str(wants.workers)]
    argv += ["--timeout-graceful-shutdown", str(wants.grace_s)]
    argv += ["--timeout-stream-shutdown", str(min(STREAM_S, wants.grace_s))]
    if wants.tls_port:
        argv += ["--bind", f"127.0.0.1:{wants.tls_port}"]
        argv += ["--certfile", str(wants.certificate), "--keyfile", str(wants.key)]
    if wants.port:
        argv += ["--insecure-bind" if wants.tls_port else "--bind", f"127.0.0.1:{wants.port}"]
    if wants.silence_s:
        argv += ["--timeout-worker-healthcheck", str(wants.silence_s)]
    if wants.recycle is not None:
        kind, value = wants.recycle
        argv += {
            "requests": ["--max-requests", str(value), "--max-requests-jitter", str(value // 4)],
            "lifetime": ["--worker-lifetime", str(value)],
            "rss": ["--worker-max-rss", f"{value}m"],
        }[kind]
    argv += ["--access-logfile", wants.access_log] if wants.access_log else []
    argv += ["--error-logfile", wants.error_log] if wants.error_log else []
    return argv


def _fastserver_wsgi(wants: Wants) -> list[str]:
    argv = [WSGI if word == ASGI else word for word in _fastserver(wants)]
    return [*argv, "--threads", str(wants.threads)]


def _uvicorn(wants: Wants) -> list[str]:
    argv = [*_python("uvicorn"), ASGI, "--host", "127.0.0.1", "--port", str(_single(wants))]
    argv += ["--workers", str(wants.workers), "--timeout-graceful-shutdown", str(wants.grace_s), "--ws", "websockets"]
    argv += ["--loop", "uvloop", "--http", "httptools"]
    if wants.tls_port:
        argv += ["--ssl-certfile", str(wants.certificate), "--ssl-keyfile", str(wants.key)]
    if wants.silence_s:
        argv += ["--timeout-worker-healthcheck", str(wants.silence_s)]
    if wants.recycle is not None:
        argv += _recycle(wants, {"requests": ["--limit-max-requests", "{}", "--limit-max-requests-jitter", "{}"]})
    if wants.error_log or wants.access_log not in ("", "-"):
        raise Lacking("log files")
    return [*argv, "--access-log" if wants.access_log else "--no-access-log"]


def _gunicorn(wants: Wants) -> list[str]:
    return _gunicorn_of(wants, "uvicorn_worker.UvicornWorker", ASGI)


def _gunicorn_asgi(wants: Wants) -> list[str]:
    return _gunicorn_of(wants, "asgi", ASGI)


def _gunicorn_gthread(wants: Wants) -> list[str]:
    return [*_gunicorn_of(wants, "gthread", WSGI), "--threads", str(wants.threads)]


def _gunicorn_of(wants: Wants, worker: str, app: str) -> list[str]:
    argv = [*_python("gunicorn"), app, "-k", worker, "-b", f"127.0.0.1:{_single(wants)}", "--no-control-socket"]
    argv += ["-w", str(wants.workers), "--graceful-timeout", str(wants.grace_s)]
    if wants.tls_port:
        argv += ["--certfile", str(wants.certificate), "--keyfile", str(wants.key)]
    if wants.silence_s:
        argv += ["--timeout", str(wants.silence_s)]
    if wants.recycle is not None:
        argv += _recycle(wants, {"requests": ["--max-requests", "{}", "--max-requests-jitter", "{}"]})
    argv += ["--access-logfile", wants.access_log] if wants.access_log else []
    argv += ["--error-logfile", wants.error_log] if wants.error_log else []
    return argv


def _hypercorn(wants: Wants) -> list[str]:
    argv = [*_python("hypercorn"), ASGI, "--workers", str(wants.workers), "--graceful-timeout", str(wants.grace_s)]
    argv += ["--worker-class", "uvloop"]
    if wants.tls_port:
        argv += ["--bind", f"127.0.0.1:{wants.tls_port}"]
        argv += ["--certfile", str(wants.certificate), "--keyfile", str(wants.key)]
    if wants.port:
        argv += ["--insecure-bind" if wants.tls_port else "--bind", f"127.0.0.1:{wants.port}"]
    if wants.silence_s:
        raise Lacking("a watch on hung workers")
    if wants.recycle is not None:
        argv += _recycle(wants, {"requests": ["--max-requests", "{}", "--max-requests-jitter", "{}"]})
    argv += ["--access-logfile", wants.access_log] if wants.access_log else []
    argv += ["--error-logfile", wants.error_log] if wants.error_log else []
    return argv


def _granian(wants: Wants) -> list[str]:
    argv = [*_python("granian"), "--interface", "asgi", ASGI, "--host", "127.0.0.1", "--port", str(_single(wants))]
    argv += ["--workers", str(wants.workers), "--workers-kill-timeout", str(wants.grace_s), "--loop", "uvloop"]
    argv += ["--respawn-failed-workers", "--respawn-interval", "0.1"]
    if wants.tls_port:
        argv += ["--ssl-certificate", str(wants.certificate), "--ssl-keyfile", str(wants.key)]
    if wants.silence_s:
        raise Lacking("a watch on hung workers")
    if wants.recycle is not None:
        argv += _recycle(
            wants, {"rss": ["--workers-max-rss", "{}", "--rss-sample-interval", "1", "--rss-samples", "1"]}
        )
    if wants.error_log or wants.access_log not in ("", "-"):
        raise Lacking("log files")
    return [*argv, *(["--access-log"] if wants.access_log else [])]


_KINDS = {"requests": "by requests", "lifetime": "by lifetime in seconds", "rss": "by memory"}


def _recycle(wants: Wants, known: dict[str, list[str]]) -> list[str]:
    """The words for what is wanted: the first ``{}`` is the value, a second one its jitter.  Raises ``Lacking``."""
    if wants.recycle is None:
        return []
    kind, value = wants.recycle
    if kind not in known:
        raise Lacking(f"recycling {_KINDS[kind]}")
    values = iter((value, value // 4))
    return [str(next(values)) if word == "{}" else word for word in known[kind]]


H1, H2, WS = "h1", "h2", "ws"
_ALL = frozenset({H1, H2, WS})

_TABLE = (
    Server("fastserver", "fastserver", _fastserver, tls=_ALL, both=True),
    Server("uvicorn", "uvicorn", _uvicorn),
    Server("gunicorn", "gunicorn", _gunicorn),
    Server("hypercorn", "hypercorn", _hypercorn, tls=_ALL, both=True),
    Server("granian", "granian", _granian, tls=_ALL),
    Server("gunicorn-asgi", "gunicorn", _gunicorn_asgi, variant=True),
    Server(
        "gunicorn-gthread", "gunicorn", _gunicorn_gthread, frozenset({H1}), frozenset({H1}), wsgi=True, variant=True
    ),
    Server(
        "fastserver-wsgi",
        "fastserver",
        _fastserver_wsgi,
        frozenset({H1}),
        frozenset({H1, H2}),
        both=True,
        wsgi=True,
        variant=True,
    ),
)

SERVERS: dict[str, Server] = {server.name: server for server in _TABLE}


def choose_servers(names: str) -> list[Server]:
    """Those of a list with commas; ``all`` is every one that is no variant.  Raises ``ValueError``."""
    if names == "all":
        return [server for server in _TABLE if not server.variant]
    unknown = [name for name in names.split(",") if name not in SERVERS]
    if unknown:
        raise ValueError(f"no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    return [SERVERS[name] for name in names.split(",")]
