"""Where the server listens and what it serves."""

from dataclasses import dataclass
from typing import Literal

from fastserver.config.bind import DEFAULT_PORT, WANT_BIND
from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where clients reach the server."""

    bind: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        Kind.REPEAT,
        "listening",
        f"Where to listen: {WANT_BIND}; may be given several times. The default port is {DEFAULT_PORT}, port 0 "
        "lets the system choose, an empty host is every interface.",
        short="-b",
        metavar="ADDRESS",
    )
    insecure_bind: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "listening",
        "Where to listen without TLS beside bind, in the same forms; may be given several times. Without certfile it "
        "is as bind.",
        metavar="ADDRESS",
        aliases=("insecure_binds",),
    )
    backlog: int = setting(
        2048,
        Kind.INT,
        "listening",
        "How many connections the system may hold that are not yet accepted.",
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    dual_stack: bool = setting(
        True,
        Kind.BOOL,
        "listening",
        "Whether a socket on [::] takes IPv4 connections too.",
        negations=("--ipv6-only",),
    )
    uds_permissions: int | None = setting(
        None,
        Kind.OCTAL,
        "listening",
        "Permission bits of Unix sockets, in octal such as 660. Without it the umask decides.",
        optional=True,
    )


@dataclass(frozen=True, kw_only=True)
class Application:
    """What it serves."""

    factory: bool = setting(
        False, Kind.BOOL, "application", "The application is a function without arguments that returns the application."
    )
    app_dir: str = setting(
        ".",
        Kind.PATH,
        "application",
        "Directory that goes to the front of the import path.",
        metavar="DIRECTORY",
        aliases=("pythonpath", "python_path"),
    )
    root_path: str = setting(
        "",
        Kind.TEXT,
        "application",
        "Path below which a proxy serves the application (ASGI root_path), such as /api.",
        metavar="PATH",
        aliases=("url_path_prefix",),
    )
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"] = setting(
        "auto",
        Kind.CHOICE,
        "application",
        "Interface of the application; auto finds out by how it can be called.",
        choices=("auto", "asgi3", "asgi2", "wsgi"),
        spellings={"asgi": "asgi3"},
    )
    lifespan: Literal["auto", "on", "off"] = setting(
        "auto",
        Kind.CHOICE,
        "application",
        "Whether the application gets lifespan events; with auto one that does not take them is served all the same.",
        aliases=("asgi_lifespan",),
        choices=("auto", "on", "off"),
    )


@dataclass(frozen=True, kw_only=True)
class WSGI:
    """How WSGI applications are run."""

    threads: int = setting(
        8,
        Kind.INT,
        "WSGI",
        "Threads of a worker in which a WSGI application runs. 0 runs it in the event loop's own thread: fastest, and "
        "the worker serves nothing else while the application is at work.",
        aliases=("blocking_threads", "wsgi_threads"),
        maximum=4096,
    )
    limit_queue: int = setting(
        1024, Kind.INT, "WSGI", "Requests of a worker that may wait for a thread; beyond it 503. 0 is no limit."
    )
    timeout_queue: float = setting(
        30.0, Kind.DURATION, "WSGI", "Seconds that a request waits for a thread; then 503. 0 is no limit."
    )
    wsgi_spool_size: int = setting(
        512 * 1024,
        Kind.SIZE,
        "WSGI",
        "Bytes of a request body that are kept in memory; a longer one goes to a temporary file, in TMPDIR.",
    )
