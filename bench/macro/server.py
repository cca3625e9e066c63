"""The table of servers: what each is called, how it is started and which workloads it can do.

Every command line is one worker on one loopback port.  A template knows ``{python}``, ``{port}``, ``{dir}`` (the
server's own temporary directory), ``{cert}`` and ``{key}`` (files in PEM, the key as PKCS#8); nothing else in it is
replaced, so other braces may stand as they are.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.macro.app import BODY
from bench.macro.workload import WORKLOADS, Wire, Workload

HERE = Path(__file__).resolve().parent
ALL = tuple(WORKLOADS)
APP = "bench.macro.app:app"


@dataclass(frozen=True, slots=True)
class Server:
    """One row: ``argv`` starts it, ``version`` prints what it is, ``files`` are written to ``{dir}`` before it starts.

    ``wires`` says what it speaks, and which words ``argv`` gets more for that.  ``files`` maps a name to text (a
    template like ``argv``) or bytes (copied).  A ``variant`` runs only where it is asked for by name.
    """

    name: str
    argv: tuple[str, ...]
    wires: Mapping[Wire, tuple[str, ...]] = field(default_factory=lambda: {Wire.H1: ()})
    workloads: tuple[str, ...] = ALL
    env: Mapping[str, str] | None = None
    version: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] | None = None
    variant: bool = False

    def offers(self, workload: Workload) -> bool:
        """Whether it can be expected to answer ``workload``."""
        return workload.wire in self.wires and workload.name in self.workloads


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
    wires={
        Wire.H1: (),
        Wire.H2C: ("--h2c",),
        Wire.H2: ("--certfile", "{cert}", "--keyfile", "{key}"),
        Wire.H3: ("--http3", "--certfile", "{cert}", "--keyfile", "{key}"),
        Wire.WS: ("--ws-per-message-deflate",),
    },
    version=("{python}", "-m", "fastserver", "--version"),
)


def _vary(name: str, *flags: str) -> Server:
    return replace(_OWN, name=name, argv=(*_OWN.argv, *flags), variant=True)


_UVICORN = Server(
    name="uvicorn",
    argv=(
        *("{python}", "-m", "uvicorn", APP, "--host", "127.0.0.1", "--port", "{port}"),
        *("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
        *("--timeout-keep-alive", "600"),
    ),
    wires={Wire.H1: (), Wire.WS: ("--ws", "websockets")},
    version=_distribution("uvicorn"),
)

_NGINX = (HERE / "nginx.conf").read_text()
_NGINX_WSGI = ("wsgi-plaintext", "wsgi-browser", "wsgi-json")
_NGINX_TLS = "http {\n    ssl_certificate {cert};\n    ssl_certificate_key {key};"


def _serve_wsgi(name: str, distribution: str, *argv: str) -> Server:
    """A server of the WSGI application; nothing else is measured with it."""
    return Server(name, argv, {Wire.WSGI: ()}, version=_distribution(distribution))


#: Threads of each server that has some.
_THREADS = "8"
_WSGI = "bench.macro.wsgi:app"
_OWN_WSGI = (
    *("{python}", "-m", "fastserver", _WSGI, "-b", "127.0.0.1:{port}", "--workers", "1", "--loop", "uvloop"),
    "--threads",
)

_TABLE = (
    _OWN,
    _vary("observed", "--observer", "bench.macro.observer:Count"),
    _vary("observed-async", "--observer", "bench.macro.observer:count_later"),
    _vary("metered", "--metrics-bind", "127.0.0.1:0"),
    _UVICORN,
    replace(_UVICORN, name="uvicorn-sansio", wires={Wire.WS: ("--ws", "websockets-sansio")}, variant=True),
    replace(_UVICORN, name="uvicorn-wsproto", wires={Wire.WS: ("--ws", "wsproto")}, variant=True),
    Server(
        name="granian",
        argv=(
            *("{python}", "-m", "granian", APP, "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
            *("--workers", "1", "--runtime-threads", "1", "--loop", "uvloop"),
            *("--backlog", "16384", "--log-level", "warning"),
        ),
        wires={
            Wire.H1: ("--http", "1", "--no-ws"),
            Wire.H2C: ("--http", "2", "--no-ws"),
            Wire.H2: ("--http", "auto", "--no-ws", "--ssl-certificate", "{cert}", "--ssl-keyfile", "{key}"),
            Wire.WS: ("--http", "1", "--ws"),
        },
        version=_distribution("granian"),
    ),
    Server(
        name="hypercorn",
        argv=(
            *("{python}", "-m", "hypercorn", APP, "--bind", "127.0.0.1:{port}", "--workers", "1"),
            *("--worker-class", "uvloop", "--keep-alive", "600", "--log-level", "warning"),
        ),
        wires={
            Wire.H1: (),
            # Hypercorn ends an HTTP/2 connection after 1,000 requests, and only its file can say otherwise.
            Wire.H2C: ("--config", "{dir}/hypercorn.toml"),
            Wire.H2: ("--config", "{dir}/hypercorn.toml", "--certfile", "{cert}", "--keyfile", "{key}"),
            Wire.H3: (
                *("--quic-bind", "127.0.0.1:{port}", "--config", "{dir}/hypercorn.toml"),
                *("--certfile", "{cert}", "--keyfile", "{key}"),
            ),
            Wire.WS: (),
        },
        files={"hypercorn.toml": "keep_alive_max_requests = 1000000000\n"},
        version=_distribution("hypercorn"),
    ),
    Server(
        name="peregrine",
        argv=("peregrine", APP, "--host", "127.0.0.1", "--port", "{port}", "--keep-alive", "600000"),
        wires={Wire.H3: ("--http3", "--tls-cert", "{cert}", "--tls-key", "{key}")},
        version=_distribution("peregrine-server"),
    ),
    Server(
        name="nginx",
        argv=("nginx", "-p", "{dir}", "-c"),
        wires={
            Wire.H1: ("{dir}/h1.conf",),
            Wire.H2C: ("{dir}/h2c.conf",),
            Wire.H2: ("{dir}/h2.conf",),
            Wire.WSGI: ("{dir}/h1.conf",),
        },
        workloads=(*_NGINX_WSGI, "plaintext", "browser", "json", "body", "h2-many", "h2-wide", "h2-browser", "h2-tls"),
        version=("nginx", "-v"),
        files={
            "h1.conf": _NGINX.replace("{listen}", ""),
            "h2c.conf": _NGINX.replace("{listen}", " http2"),
            "h2.conf": _NGINX.replace("{listen}", " ssl http2").replace("http {", _NGINX_TLS),
            "body": BODY,
        },
    ),
    replace(_serve_wsgi("wsgi", "fastserver", *_OWN_WSGI, _THREADS), version=_OWN.version),
    replace(_serve_wsgi("wsgi-inline", "fastserver", *_OWN_WSGI, "0"), version=_OWN.version),
    _serve_wsgi(
        *("gunicorn", "gunicorn", "{python}", "-m", "gunicorn", _WSGI, "-b", "127.0.0.1:{port}", "-k", "gthread"),
        *("--threads", _THREADS, "--workers", "1", "--keep-alive", "600", "--log-level", "warning"),
    ),
    _serve_wsgi(
        *("granian-wsgi", "granian", "{python}", "-m", "granian", _WSGI, "--interface", "wsgi", "--host", "127.0.0.1"),
        *("--port", "{port}", "--workers", "1", "--runtime-threads", "1", "--blocking-threads", _THREADS),
        *("--http", "1", "--no-ws", "--backlog", "16384", "--log-level", "warning"),
    ),
    _serve_wsgi(
        *("peregrine-wsgi", "peregrine-server", "peregrine", _WSGI, "--host", "127.0.0.1", "--port", "{port}"),
        *("--keep-alive", "600000", "--wsgi-threads", _THREADS),
    ),
    _serve_wsgi(
        *("peregrine-wsgi-1", "peregrine-server", "peregrine", _WSGI, "--host", "127.0.0.1", "--port", "{port}"),
        *("--keep-alive", "600000"),
    ),
    Server(
        name="floor",
        argv=("{python}", "-m", "bench.macro.floor", "{port}"),
        wires={Wire.H1: (), Wire.WS: ()},
        workloads=("plaintext", "browser", "ws-125"),
        version=_distribution("uvloop"),
    ),
)

SERVERS: dict[str, Server] = {server.name: server for server in _TABLE}


def parse_server(text: str) -> Server:
    """A ``Server`` from ``name=command template``, as the command line takes it.

    A name of the table keeps its workloads and gets the new command; another name is taken to do every workload.  The
    command is used as it stands, whatever the wire.
    Raises ``ValueError`` where there is no ``=``, no command or no ``{port}`` in it.
    """
    name, separator, command = text.partition("=")
    argv = tuple(shlex.split(command))
    if not separator or not name or not argv:
        raise ValueError(f"expected name=command, got {text!r}")
    if not any("{port}" in word for word in argv):
        raise ValueError(f"the command of {name} has no {{port}}: {command}")
    if name in SERVERS:
        wires: dict[Wire, tuple[str, ...]] = dict.fromkeys(SERVERS[name].wires, ())
        return replace(SERVERS[name], argv=argv, wires=wires, version=())
    return Server(name=name, argv=argv, wires=dict.fromkeys(Wire, ()))
