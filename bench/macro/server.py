"""The table of servers: what each is called, how it is started and which workloads it can do.

Every command line is one worker on one loopback port.  A template knows ``{python}``, ``{port}`` and ``{dir}`` (the
server's own temporary directory); nothing else in it is replaced, so other braces may stand as they are.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.macro.app import BODY
from bench.macro.workload import WORKLOADS

HERE = Path(__file__).resolve().parent
ALL = tuple(WORKLOADS)
APP = "bench.macro.app:app"


@dataclass(frozen=True, slots=True)
class Server:
    """One row: ``argv`` starts it, ``version`` prints what it is, ``files`` are written to ``{dir}`` before it starts.

    ``files`` maps a name to text (a template like ``argv``) or bytes (copied).  A ``variant`` runs only where it is
    asked for by name.
    """

    name: str
    argv: tuple[str, ...]
    workloads: tuple[str, ...] = ALL
    env: Mapping[str, str] | None = None
    version: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] | None = None
    variant: bool = False


def expand(template: str, values: Mapping[str, str]) -> str:
    """``template`` with each ``{key}`` of ``values`` replaced and all other text kept."""
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template


def _distribution(name: str) -> tuple[str, ...]:
    return ("{python}", "-c", f"from importlib.metadata import version; print('{name}', version('{name}'))")


_OWN = Server(
    name="fastserver",
    argv=("{python}", "-m", "fastserver", APP, "-b", "127.0.0.1:{port}", "--workers", "1", "--loop", "uvloop"),
    version=("{python}", "-m", "fastserver", "--version"),
)


def _vary(name: str, *flags: str) -> Server:
    return replace(_OWN, name=name, argv=(*_OWN.argv, *flags), variant=True)


_TABLE = (
    _OWN,
    _vary("observed", "--observer", "bench.macro.observer:Count"),
    _vary("observed-async", "--observer", "bench.macro.observer:count_later"),
    _vary("metered", "--metrics-bind", "127.0.0.1:0"),
    Server(
        name="uvicorn",
        argv=(
            *("{python}", "-m", "uvicorn", APP, "--host", "127.0.0.1", "--port", "{port}"),
            *("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
            *("--timeout-keep-alive", "600"),
        ),
        version=_distribution("uvicorn"),
    ),
    Server(
        name="granian",
        argv=(
            *("{python}", "-m", "granian", APP, "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
            *("--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--http", "1", "--no-ws"),
            *("--backlog", "16384", "--log-level", "warning"),
        ),
        version=_distribution("granian"),
    ),
    Server(
        name="hypercorn",
        argv=(
            *("{python}", "-m", "hypercorn", APP, "--bind", "127.0.0.1:{port}", "--workers", "1"),
            *("--worker-class", "uvloop", "--keep-alive", "600", "--log-level", "warning"),
        ),
        version=_distribution("hypercorn"),
    ),
    Server(
        name="nginx",
        argv=("nginx", "-p", "{dir}", "-c", "{dir}/nginx.conf"),
        workloads=("plaintext", "browser", "json", "body"),
        version=("nginx", "-v"),
        files={"nginx.conf": (HERE / "nginx.conf").read_text(), "body": BODY},
    ),
    Server(
        name="floor",
        argv=("{python}", "-m", "bench.macro.floor", "{port}"),
        workloads=("plaintext", "browser"),
        version=_distribution("uvloop"),
    ),
)

SERVERS: dict[str, Server] = {server.name: server for server in _TABLE}


def parse_server(text: str) -> Server:
    """A ``Server`` from ``name=command template``, as the command line takes it.

    A name of the table keeps its workloads and gets the new command; another name is taken to do every workload.
    Raises ``ValueError`` where there is no ``=``, no command or no ``{port}`` in it.
    """
    name, separator, command = text.partition("=")
    argv = tuple(shlex.split(command))
    if not separator or not name or not argv:
        raise ValueError(f"expected name=command, got {text!r}")
    if not any("{port}" in word for word in argv):
        raise ValueError(f"the command of {name} has no {{port}}: {command}")
    if name in SERVERS:
        return replace(SERVERS[name], argv=argv, version=())
    return Server(name=name, argv=argv)
